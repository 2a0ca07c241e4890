"""The picture of docs/architecture.md: which package imports which, drawn from the code."""
