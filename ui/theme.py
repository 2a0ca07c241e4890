"""How the page looks: a quiet theme with the fonts that the computer has, so that nothing is loaded from elsewhere."""

from __future__ import annotations

import gradio as gr

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif")
MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """The theme of every tab."""
    return gr.themes.Soft(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        font=FONTS,
        font_mono=MONO_FONTS,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
    ).set(
        **_flat_labels("block_title"),
        **_flat_labels("block_label"),
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_shadow="none",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_hover="*neutral_200",
        button_primary_shadow="none",
        button_secondary_shadow="none",
        checkbox_border_color="*neutral_400",
        checkbox_label_background_fill_selected="*primary_700",
        color_accent="*primary_600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
    )


def _flat_labels(part: str) -> dict[str, str]:
    """Labels as plain dark text: teal on pale teal is hard to read."""
    return {
        f"{part}_background_fill": "transparent",
        f"{part}_background_fill_dark": "transparent",
        f"{part}_text_color": "*neutral_800",
        f"{part}_text_color_dark": "*neutral_200",
        f"{part}_text_weight": "600",
    }
