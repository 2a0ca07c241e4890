"""What the text of the paper states, to stand beside what was measured here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

PAPER = "arXiv 2407.03036"


@dataclass(frozen=True)
class Claim:
    """One figure of the paper, in percent, or in points above another method's.

    section: where the text states it. setting: what it was measured on, which is hardly ever what was measured here.
    over: the method that the figure is a gain over; None for an accuracy.
    """

    table: str
    method: str
    column: str
    value: float
    section: str
    setting: str
    over: str | None = None

    def __str__(self) -> str:
        stated = f"{self.value:g}" if self.over is None else f"{self.value:+g} over {self.over}"
        return f"{stated} ({self.section})"


@cache
def claims() -> tuple[Claim, ...]:
    """All of them."""
    text = resources.files(__package__).joinpath("claims.json").read_text(encoding="utf-8")
    return tuple(Claim(**stated) for stated in json.loads(text))


def claim(table: str, method: str, column: str) -> Claim | None:
    """What the paper states of a method in a column of one of its tables; names are the same in any case."""
    wanted = _key(table, method, column)
    return next((found for found in claims() if _key(found.table, found.method, found.column) == wanted), None)


def _key(*names: str) -> tuple[str, ...]:
    return tuple(name.casefold().strip() for name in names)
