"""Plots as SVG: text stays text, the background is white in light and dark pages, and no sign is a colour alone.

The same figures give the same bits.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from evaluation.report.estimates import Estimate, difference, estimate
from evaluation.tables import Cell, Table
from saft_core.clip.flat import tower_of

STYLE: Any = {
    "svg.hashsalt": "saft",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.axisbelow": True,
    "hatch.linewidth": 0.6,
}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Told apart by people with any common kind of colour vision (M. Okabe and K. Ito, Color Universal Design)."""
MARKERS = "osD^vP*X<>"
DASHES = ("-", "--", ":", "-.")
TOWERS = {"image": ("image tower", COLOURS[0], ""), "text": ("text tower", COLOURS[1], "///")}


class Plot:
    """One figure that is being drawn, and the SVG that comes of it."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self.svg = ""

    def panels(self, rows: int = 1, columns: int = 1) -> list[Any]:
        """Its axes, row by row, with one scale upwards."""
        return list(self.figure.subplots(rows, columns, squeeze=False, sharey=True).flat)


@contextmanager
def plot(width: float, height: float) -> Iterator[Plot]:
    """A figure of that size in inches; its `svg` is there after the context."""
    with mpl.rc_context(STYLE):
        drawn = Plot(Figure(figsize=(width, height), layout="constrained"))
        yield drawn
        text = io.StringIO()
        drawn.figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        drawn.svg = text.getvalue()


@dataclass(frozen=True, eq=False)
class Trade:
    """Accuracy on the distribution that was trained on (`inside`) and on shifted ones (`outside`)."""

    inside: Cell
    outside: Cell


def density_curve(by_density: Mapping[float, Trade], others: Mapping[str, Trade]) -> str:
    """ID against OOD accuracy: SAFT at every density, joined in order of density, and other methods as single marks."""
    with plot(6, 4.5) as drawn:
        (panel,) = drawn.panels()
        points = [(density, *_trade(by_density[density])) for density in sorted(by_density)]
        points = [point for point in points if point[1].known and point[2].known]
        panel.plot(*_means(points), "-", color=COLOURS[0], linewidth=1)
        _crosses(panel, points, {"color": COLOURS[0], "marker": MARKERS[0], "label": "SAFT, by density"})
        for density, inside, outside in points:
            panel.annotate(f"{density:g}", (inside.mean, outside.mean), xytext=(5, 5), textcoords="offset points")
        for number, (name, trade) in enumerate(others.items(), start=1):
            inside, outside = _trade(trade)
            if inside.known and outside.known:
                _crosses(panel, [(name, inside, outside)], _look(number) | {"linestyle": "", "label": name})
        panel.set(xlabel="ID accuracy, %", ylabel="OOD accuracy, %")
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, fontsize=8)
    return drawn.svg


def _trade(trade: Trade) -> tuple[Estimate, Estimate]:
    return estimate(trade.inside), estimate(trade.outside)


def _means(points: Sequence[tuple[Any, Estimate, Estimate]]) -> tuple[list[float], list[float]]:
    return [inside.mean for _, inside, _ in points], [outside.mean for _, _, outside in points]


def _crosses(panel: Any, points: Sequence[tuple[Any, Estimate, Estimate]], look: dict[str, Any]) -> None:
    across, up = _means(points)
    panel.errorbar(
        across,
        up,
        xerr=_arms([inside for _, inside, _ in points]),
        yerr=_arms([outside for _, _, outside in points]),
        **look | {"linestyle": "", "elinewidth": 0.6},
    )


def difference_by_column(table: Table, method: str, other: str) -> str:
    """How many points `method` is above `other` in each column that both have a figure in, the largest gain on top.

    A filled mark: the interval leaves out zero. Raises KeyError when the table lacks one of the methods.
    """
    first, second = table.rows[method].cells, table.rows[other].cells
    shared = [column for column in table.columns if column in first and column in second]
    found = {column: difference(first[column], second[column]) for column in shared}
    ranked = sorted((column for column in found if found[column].known), key=lambda column: found[column].mean)
    with plot(6, 1.2 + 0.28 * len(ranked)) as drawn:
        (panel,) = drawn.panels()
        panel.axvline(0, color="black", linewidth=0.8)
        for height, column in enumerate(ranked):
            one = found[column]
            sure = one.low > 0 or one.high < 0
            look = {"marker": "o", "color": COLOURS[0], "markerfacecolor": COLOURS[0] if sure else "white"}
            panel.errorbar([one.mean], [height], xerr=_arms([one]), capsize=3, **look)
            panel.annotate(
                f"{one.mean:+.1f}", (one.mean, height), xytext=(0, 5), textcoords="offset points", ha="center"
            )
        panel.set_yticks(range(len(ranked)), ranked)
        panel.set_ylim(-0.7, len(ranked) - 0.3)
        panel.set_xlabel(f"{method} less {other}, points, 95% interval (filled: without zero)")
        panel.grid(axis="x", alpha=0.3)
    return drawn.svg


def entries_by_block(blocks: Sequence[Mapping[str, Any]]) -> str:
    """How many entries a delta changes in each block of both towers, in model order, as `Outcome.blocks` has it."""
    with plot(9, 4) as drawn:
        for panel, (tower, (title, colour, hatch)) in zip(drawn.panels(1, 2), TOWERS.items(), strict=True):
            here = [block for block in blocks if tower_of(f"{block['block']}.") == tower]
            counts = [block["selected"] for block in here]
            panel.bar(range(len(here)), counts, facecolor="white" if hatch else colour, edgecolor=colour, hatch=hatch)
            panel.set_xticks(range(len(here)), [_short(block["block"]) for block in here], rotation=90, fontsize=7)
            panel.set(title=f"{title}: {sum(counts):,} entries", ylabel="entries that change")
            panel.label_outer()
            panel.grid(axis="y", alpha=0.3)
    return drawn.svg


def _short(block: str) -> str:
    """`visual.transformer.resblocks.3` as `resblocks.3`: the tower is in the title."""
    parts = block.split(".")
    return ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])


def accuracy_by_shots(curves: Mapping[str, Mapping[int, Cell]], zero_shot: Cell) -> str:
    """Accuracy over shots a class, a curve a method with its intervals; zero-shot, which takes none, as a flat line."""
    with plot(7, 4.5) as drawn:
        (panel,) = drawn.panels()
        for number, (name, cells) in enumerate(curves.items()):
            found = {shots: estimate(cells[shots]) for shots in sorted(cells)}
            found = {shots: one for shots, one in found.items() if one.known}
            if found:
                heights = [one.mean for one in found.values()]
                look = _look(number) | {"label": name, "capsize": 2, "linewidth": 1}
                panel.errorbar(list(found), heights, yerr=_arms(list(found.values())), **look)
        if (flat := estimate(zero_shot)).known:
            panel.axhline(flat.mean, color="black", linestyle=(0, (1, 1)), label="zero-shot")
            panel.axhspan(flat.low, flat.high, color="black", alpha=0.08, linewidth=0)
        shots = sorted(set(itertools.chain.from_iterable(curves.values())))
        panel.set_xscale("log", base=2)
        panel.set_xticks(shots, [str(count) for count in shots])
        panel.minorticks_off()
        panel.set(xlabel="shots a class", ylabel="accuracy, %, 95% interval")
        panel.grid(axis="y", alpha=0.3)
        panel.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawn.svg


def _look(number: int) -> dict[str, Any]:
    """Colour, mark and dashes of the method with this number: marks alone tell ten of them apart."""
    dashes = DASHES[number // len(MARKERS) % len(DASHES)]
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": dashes,
        "markersize": 5,
        "elinewidth": 0.8,
    }


def _arms(found: Sequence[Estimate]) -> list[list[float]]:
    """As `errorbar` takes them: how far down and how far up; a resampled interval may lie on one side of its mean."""
    down = [max(one.mean - one.low, 0) for one in found]
    return [down, [max(one.high - one.mean, 0) for one in found]]
