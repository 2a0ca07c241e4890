"""The page: Gradio over HTTP."""
