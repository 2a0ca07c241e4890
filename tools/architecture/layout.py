"""Where each box of the picture stands, and the ways of the arrows between them, in pixels.

The order of the rows is the order of who may import whom: arrows lead down. A new package needs a place here; an arrow
for which no clear way is found is an error that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from tools.architecture.imports import Import

WIDTH, HEIGHT = 1140, 968
LANE = 40
"""Between two columns of boxes, where arrows pass."""
STEP = 14
"""Between two arrows that pass side by side."""
Point = tuple[float, float]
NO_PLACE = "no place in BOXES of tools/architecture/layout.py"


@dataclass(frozen=True)
class Box:
    """A rectangle: its left upper corner, its width and its height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> Point:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2

    def meets(self, start: Point, end: Point) -> bool:
        """Whether an upright or level line passes through its inside."""
        (left, right), (top, bottom) = sorted((start[0], end[0])), sorted((start[1], end[1]))
        return left < self.right and right > self.x and top < self.bottom and bottom > self.y


_COLUMNS = ((20, 178), (238, 178), (456, 228), (724, 178), (942, 178))
"""Left edge and width of each."""


def _place(first: int, last: int, y: float, height: float) -> Box:
    left, (right, width) = _COLUMNS[first][0], _COLUMNS[last]
    return Box(left, y, right + width - left, height)


BOXES: Mapping[str, Box] = {
    "saft": _place(0, 4, 20, 58),
    "ui": _place(0, 0, 116, 108),
    "api": _place(1, 1, 116, 108),
    "migrations": _place(2, 2, 116, 108),
    "worker": _place(3, 3, 116, 108),
    "evaluation": _place(4, 4, 116, 108),
    "saft_client": _place(0, 0, 266, 92),
    "saft_core.serving": _place(1, 1, 266, 92),
    "saft_core.store": _place(2, 2, 266, 92),
    "saft_core.tuning": _place(3, 3, 266, 92),
    "saft_core.export": _place(0, 0, 404, 92),
    "PostgreSQL": Box(456, 390, 107, 66),
    "files": Box(577, 390, 107, 66),
    "Valkey": _place(2, 2, 478, 54),
    "saft_core.data": _place(2, 2, 564, 76),
    "saft_core.sparse": _place(1, 3, 676, 74),
    "saft_core.clip": _place(0, 1, 790, 76),
    "saft_core.delta": _place(3, 4, 790, 76),
}
FOUNDATION = _place(0, 4, 890, 58)
"""Of the modules that everything stands on."""


def ways(arrows: Iterable[Import]) -> dict[Import, list[Point]]:
    """The corners of each arrow, from the one who imports to what is imported.

    Raises ValueError for a package without a place, an arrow that does not lead down, and one without a clear way.
    """
    arrows = sorted(arrows)
    missing = sorted({name for arrow in arrows for name in arrow} - BOXES.keys())
    if missing:
        raise ValueError(f"{', '.join(missing)}: {NO_PLACE}")
    return {arrow: _way(arrow, arrows) for arrow in arrows}


def _way(arrow: Import, arrows: list[Import]) -> list[Point]:
    importer, imported = (BOXES[name] for name in arrow)
    others = [box for name, box in BOXES.items() if name not in arrow]
    if importer.bottom > imported.y:
        raise ValueError(f"{arrow[0]} imports {arrow[1]}, which stands no lower in tools/architecture/layout.py")
    for way in (_down(importer, imported), _aside(arrow, arrows), _around(importer, imported)):
        if way and not any(box.meets(*line) for line in pairwise(way) for box in others):
            return way
    raise ValueError(
        f"{arrow[0]} imports {arrow[1]}: no clear way between their places in tools/architecture/layout.py"
    )


def _down(importer: Box, imported: Box) -> list[Point]:
    """Straight, where one stands above the other."""
    left, right = max(importer.x, imported.x), min(importer.right, imported.right)
    x = (left + right) / 2
    return [(x, importer.bottom), (x, imported.y)] if left < right else []


def _aside(arrow: Import, arrows: list[Import]) -> list[Point]:
    """Out of one side, down the lane beside the imported box, and into its side."""
    importer, imported = (BOXES[name] for name in arrow)
    lane, side = _lane(*arrow)
    start, end = (importer.x, imported.right) if side > 0 else (importer.right, imported.x)
    beside = sorted(
        {one for one, other in arrows if _lane(one, other) == (lane, side) and not _down(BOXES[one], BOXES[other])},
        key=lambda name: BOXES[name].y,
    )
    place = beside.index(arrow[0]) if arrow[0] in beside else 0
    x = lane + side * STEP * (place - (len(beside) - 1) / 2)
    level = importer.middle[1] + STEP
    return [(start, level), (x, level), (x, imported.middle[1]), (end, imported.middle[1])]


def _lane(importer: str, imported: str) -> tuple[float, int]:
    """Where the lane beside the imported box lies, and on which side of it: 1 is its right."""
    one, other = BOXES[importer], BOXES[imported]
    return (other.right + LANE / 2, 1) if one.middle[0] > other.middle[0] else (other.x - LANE / 2, -1)


def _around(importer: Box, imported: Box) -> list[Point]:
    """Down to just above the imported box's row, along it, and down into the box."""
    level = imported.y - LANE / 2
    x, target = importer.middle[0], imported.x + 2 * STEP
    return [(x, importer.bottom), (x, level), (target, level), (target, imported.y)]
