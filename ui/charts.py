"""Charts as small inline SVG and HTML; colours come from style.css, so they follow the light and the dark theme."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite

from saft_client import BlockCount, ClassCount
from ui.wording import count, percent

WIDTH, HEIGHT = 640.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 12.0, 34.0
MAX_MATRIX_CLASSES = 30
MAX_CONFUSED_PAIRS = 25


def loss_curve(losses: Sequence[tuple[int, float]], steps: int) -> str:
    """The loss over the steps so far; the axis reaches to `steps`, so the curve grows into its place."""
    points = [(step, loss) for step, loss in losses if isfinite(loss)]
    if not points:
        return '<p class="saft-empty">The loss curve appears with the first training steps.</p>'
    last = max(steps, points[-1][0], 1)
    low, high = _loss_range([loss for _, loss in points])
    path = " ".join(f"{_x(step, last):.1f},{_y(loss, low, high):.1f}" for step, loss in points)
    ticks = "".join(_loss_tick(low + (high - low) * part / 4, low, high) for part in range(5))
    end_x, end_y = _x(points[-1][0], last), _y(points[-1][1], low, high)
    summary = f"Loss over the steps: from {points[0][1]:.3g} to {points[-1][1]:.3g}, step {points[-1][0]} of {last}."
    return (
        f'<figure class="saft-chart"><svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img"'
        f' aria-label="{escape(summary)}">'
        f'{ticks}<text class="saft-axis" x="{LEFT}" y="{HEIGHT - 10}">0</text>'
        f'<text class="saft-axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">step {last:,}</text>'
        f'<polyline class="saft-line" points="{path}"/>'
        f'<circle class="saft-dot" cx="{end_x:.1f}" cy="{end_y:.1f}" r="3.5"/></svg>'
        f"<figcaption>Training loss, now {points[-1][1]:.3g}</figcaption></figure>"
    )


def _loss_range(losses: Sequence[float]) -> tuple[float, float]:
    low, high = min(losses), max(losses)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return max(0.0, low - margin) if low >= 0 else low - margin, high + margin


def _x(step: float, last: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * step / last


def _y(loss: float, low: float, high: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)


def _loss_tick(loss: float, low: float, high: float) -> str:
    y = _y(loss, low, high)
    return (
        f'<line class="saft-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="saft-axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{loss:.3g}</text>'
    )


def bar(label: str, share: float, value: str, kind: str = "") -> str:
    """One labelled horizontal bar; `share` is 0..1 of the full width."""
    width = min(max(share, 0.0), 1.0)
    return (
        f'<div class="saft-bar {kind}"><span class="saft-bar-label">{escape(label)}</span>'
        f'<span class="saft-bar-track" aria-hidden="true"><span style="width:{width:.2%}"></span></span>'
        f'<span class="saft-bar-value">{escape(value)}</span></div>'
    )


def accuracy_bars(zero_shot: float | None, adapted: float | None) -> str:
    """Accuracy before and after, 0..1; None where nothing could be measured."""
    return '<div class="saft-bars">' + (
        bar("Before (zero-shot)", zero_shot or 0.0, percent(zero_shot, 1), "saft-before")
        + bar("After (adapted)", adapted or 0.0, percent(adapted, 1), "saft-after")
        + "</div>"
    )


def class_bars(classes: Sequence[ClassCount]) -> str:
    """How many images each class has."""
    most = max((entry.count for entry in classes), default=1)
    rows = (bar(entry.name, entry.count / most, count(entry.count, "image")) for entry in classes)
    return f'<div class="saft-bars saft-scroll">{"".join(rows)}</div>'


def block_bars(blocks: Sequence[BlockCount]) -> str:
    """Where in the model the chosen parameters are; the bar is relative to the fullest block."""
    most = max((entry.selected for entry in blocks), default=0) or 1
    rows = (bar(entry.block, entry.selected / most, f"{entry.selected:,} of {entry.parameters:,}") for entry in blocks)
    return f'<div class="saft-bars saft-scroll saft-wide">{"".join(rows)}</div>'


def confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]], title: str) -> str:
    """Which class was taken for which: rows are the true classes, columns what the model said."""
    if len(labels) > MAX_MATRIX_CLASSES:
        return _confused_pairs(labels, matrix, title)
    head = "".join(f'<th scope="col"><span>{escape(label)}</span></th>' for label in labels)
    rows = "".join(
        _matrix_row(label, row, position) for position, (label, row) in enumerate(zip(labels, matrix, strict=True))
    )
    return (
        f'<figure class="saft-matrix"><figcaption>{escape(title)}. Rows: the true class; columns: what the model said.'
        f"</figcaption><table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></figure>"
    )


def _matrix_row(label: str, row: Sequence[int], position: int) -> str:
    total = sum(row) or 1
    cells = "".join(
        f'<td class="{"saft-hit" if column == position else "saft-miss"}" style="--share:{number / total:.3f}">'
        f"{number or ''}</td>"
        for column, number in enumerate(row)
    )
    return f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>'


def _confused_pairs(labels: Sequence[str], matrix: Sequence[Sequence[int]], title: str) -> str:
    """A matrix of many classes says nothing to the eye: list the most frequent mistakes instead."""
    pairs = [
        (number, labels[true], labels[said])
        for true, row in enumerate(matrix)
        for said, number in enumerate(row)
        if number and true != said
    ]
    pairs.sort(key=lambda pair: -pair[0])
    rows = "".join(
        f"<tr><td>{escape(true)}</td><td>{escape(said)}</td><td>{number}</td></tr>"
        for number, true, said in pairs[:MAX_CONFUSED_PAIRS]
    )
    return (
        f'<table class="saft-table"><caption>{escape(title)}: most frequent mistakes</caption>'
        f"<thead><tr><th>True class</th><th>Taken for</th><th>Images</th></tr></thead><tbody>{rows}</tbody></table>"
    )
