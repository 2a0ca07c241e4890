"""A film of a page as an animated GIF: what README can show everywhere."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

WIDTH = 800
COLOURS = 160
SAMPLED = 8
"""Frames, or a few more, that the colours are taken from."""


class Film:
    """Frames of a page, each with the time that it stays."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[Image.Image] = []
        self._milliseconds: list[int] = []

    def hold(self, seconds: float) -> None:
        """Show what the page looks like now for so long."""
        shown = Image.open(BytesIO(self._page.screenshot())).convert("RGB")
        height = round(shown.height * WIDTH / shown.width)
        self._frames.append(shown.resize((WIDTH, height), Image.Resampling.LANCZOS))
        self._milliseconds.append(round(seconds * 1000))

    def save(self, target: Path) -> None:
        """Write the film, which starts again at its end. All frames have the same colours, those of all of them."""
        side = max(1, len(self._frames) // SAMPLED)
        sampled = self._frames[::side]
        sheet = Image.new("RGB", (WIDTH, sum(frame.height for frame in sampled)))
        for number, frame in enumerate(sampled):
            sheet.paste(frame, (0, number * frame.height))
        palette = sheet.quantize(COLOURS)
        frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self._frames]
        frames[0].save(
            target, save_all=True, append_images=frames[1:], duration=self._milliseconds, loop=0, optimize=True
        )
