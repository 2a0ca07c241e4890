"""Gradio's part of the look: its frame in the page's fonts. Colours are in static/styles/1-tokens.css."""

from __future__ import annotations

import gradio as gr

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif")
MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """Fonts that the computer has: Gradio's own would be loaded from elsewhere."""
    return gr.themes.Base(font=FONTS, font_mono=MONO_FONTS)
