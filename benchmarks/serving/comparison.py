"""The CPU rows of `batches.py` and `texts.py` as the table of docs/serving.md.

python -m benchmarks.serving.comparison    writes it, and the plot, anew from results/serve.json
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, read
from benchmarks.models import BATCH_SIZE, EMBEDDED
from benchmarks.serving.plot import PLOT, draw

PAGE = PLOT.parent / "serving.md"
START, END = "<!-- table of make bench-serve -->\n", "<!-- end of the table -->\n"
NAMES = {EMBEDDED: "embedded base", "ViT-B-32": "ViT-B/32"}
RATES = {"batch": ("picture", "images_per_second"), "texts": ("text", "texts_per_second")}
BATCHES = (1, BATCH_SIZE)


class Line(NamedTuple):
    """A line of the table: its name, and the mode that it shows; `adapted` if each row of the batch has an adapter."""

    name: str
    mode: str
    adapted: bool


LINES = (
    Line("base, compiled", "compiled", adapted=False),
    Line("base, own kernels", "base", adapted=False),
    Line("an adapter for each, compiled", "compiled", adapted=True),
    Line("an adapter for each, mixed", "mixed", adapted=True),
    Line("the same on selected places", "selected", adapted=True),
    Line("an adapter for each, swapped", "swap", adapted=True),
    Line("peft LoRA for each, mixed", "peft", adapted=True),
    Line("a merged model for each", "merged", adapted=True),
    Line("base, open_clip", "open_clip", adapted=False),
    Line("base, onnxruntime", "onnxruntime", adapted=False),
    Line("base, OpenVINO", "openvino", adapted=False),
)


class Column(NamedTuple):
    """A column of the table: the rows of a bench and a model that have so many pictures or texts in a batch."""

    bench: str
    model: str
    batch: int

    def __str__(self) -> str:
        """The column's heading."""
        noun, _ = RATES[self.bench]
        return f"{NAMES[self.model]}, {self.batch} {noun}{'' if self.batch == 1 else 's'}"


def markdown(rows: Iterable[Row]) -> str:
    """Throughput a second and, in brackets, over that of onnxruntime with the base; only what was measured."""
    columns = [Column(bench, model, batch) for bench in RATES for model in NAMES for batch in BATCHES]
    cells = {
        (row["bench"], row["model"], row["batch"], row["mode"], row["adapters"]): row
        for row in rows
        if row["bench"] in RATES and row["device"] == "cpu" and "mode" in row
    }
    shown = [column for column in columns if any(key[:3] == column for key in cells)]
    lines = [["a second (over onnxruntime)", *map(str, shown)], ["---"] * (len(shown) + 1)]
    for line in LINES:
        adapters = [column.batch if line.adapted else 0 for column in shown]
        own = [cells.get((*column, line.mode, count)) for column, count in zip(shown, adapters, strict=True)]
        if any(own):
            lines.append([line.name, *map(_text, own)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(row: Row | None) -> str:
    if row is None:
        return "–"
    rate = row[RATES[row["bench"]][1]]
    shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
    return f"{shown} ({row['vs_onnxruntime']:.2f})" if "vs_onnxruntime" in row else shown


def write_into(page: Path, rows: Iterable[Row]) -> None:
    """Put the table between the two comments of `page` that mark its place. Raises ValueError if they are not there."""
    before, start, rest = page.read_text("utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{page} has no place for the table: put {START.strip()} and {END.strip()} there")
    page.write_text(f"{before}{START}\n{markdown(rows)}\n\n{END}{after}", "utf-8")


def main() -> None:
    """Write both."""
    rows = read("serve")
    write_into(PAGE, rows)
    draw(rows, PLOT)


if __name__ == "__main__":
    main()
