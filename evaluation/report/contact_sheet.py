"""The first hits of a search side by side: of the base above, of the adapter below; right ones framed and ticked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps

TILE = 128
"""Side of a picture in pixels, its frame included."""
FRAME = 5
GAP = 12
NAMES = 90
"""Width of the column that says who found it."""
LINE = 22
"""Height of a line of text."""
DASH = 8
SIGN = 26
"""Side of the corner that holds the tick or the cross."""
RIGHT, WRONG = (0, 130, 60), (200, 30, 30)
INK, PAPER = "black", "white"


@dataclass(frozen=True, eq=False)
class Hit:
    """One picture that was found, and what it shows."""

    image: Image.Image
    label: str


@dataclass(frozen=True, eq=False)
class Query:
    """What was searched for, which label is right for it, and what was found, best first."""

    text: str
    label: str
    base: Sequence[Hit]
    adapter: Sequence[Hit]


def contact_sheet(queries: Sequence[Query], *, hits: int = 5) -> Image.Image:
    """An RGB picture of the first `hits` of each query, two rows a query.

    A right hit has a whole green frame and a tick, a wrong one a dashed red frame and a cross; below it, what it shows.
    """
    row = TILE + LINE + GAP
    block = LINE + GAP + 2 * row
    sheet = Image.new("RGB", (NAMES + hits * (TILE + GAP) + GAP, GAP + len(queries) * block), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, query in enumerate(queries):
        top = GAP + number * block
        draw.text((GAP, top), _fitting(query.text, sheet.width - 2 * GAP), fill=INK, font=_font(16))
        for name, found, down in (("base", query.base, 0), ("adapter", query.adapter, row)):
            line = top + LINE + GAP + down
            draw.text((GAP, line + TILE // 2), name, fill=INK, font=_font(14), anchor="lm")
            for position, hit in enumerate(found[:hits]):
                _place(sheet, draw, (NAMES + position * (TILE + GAP), line), hit, right=hit.label == query.label)
    return sheet


def _place(sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], hit: Hit, *, right: bool) -> None:
    left, top = corner
    inner = TILE - 2 * FRAME
    sheet.paste(ImageOps.fit(hit.image.convert("RGB"), (inner, inner)), (left + FRAME, top + FRAME))
    colour = RIGHT if right else WRONG
    draw.rectangle((left, top, left + TILE - 1, top + TILE - 1), outline=colour, width=FRAME)
    if not right:
        _cut(draw, left, top)
    _sign(draw, (left + TILE - SIGN, top + TILE - SIGN), colour, right=right)
    draw.text((left, top + TILE + 2), _fitting(hit.label, TILE, 12), fill=INK, font=_font(12))


def _cut(draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """Make dashes of a whole frame."""
    far = TILE - FRAME
    for start in range(DASH, TILE - DASH, 2 * DASH):
        end = start + DASH - 1
        for across in (0, far):
            draw.rectangle((left + start, top + across, left + end, top + across + FRAME - 1), fill=PAPER)
            draw.rectangle((left + across, top + start, left + across + FRAME - 1, top + end), fill=PAPER)


def _sign(draw: ImageDraw.ImageDraw, corner: tuple[int, int], colour: tuple[int, int, int], *, right: bool) -> None:
    """A white tick or cross on a corner in the colour of the frame."""
    left, top = corner
    draw.rectangle((left, top, left + SIGN - 1, top + SIGN - 1), fill=colour)
    strokes = [((5, 14), (11, 20), (21, 6))] if right else [((6, 6), (20, 20)), ((20, 6), (6, 20))]
    for stroke in strokes:
        draw.line([(left + x, top + y) for x, y in stroke], fill=PAPER, width=3)


def _fitting(text: str, width: int, size: int = 16) -> str:
    """As much of `text` as a line of that width takes."""
    if _font(size).getlength(text) <= width:
        return text
    cuts = range(len(text))
    end = bisect_right(cuts, float(width), key=lambda cut: float(_font(size).getlength(f"{text[:cut]}…")))
    return f"{text[: end - 1]}…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one that Pillow brings, so that a sheet is the same everywhere."""
    return ImageFont.load_default(size)
