"""The figures as a picture for the documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Row

PLOT = Path(__file__).parents[2] / "docs" / "serving.svg"
MODES = {
    "base": ("base alone", "0.5", "--"),
    "mixed": ("mixed batch (ours)", "tab:blue", "o-"),
    "selected": ("the same, on selected places", "tab:cyan", "o--"),
    "swap": ("grouped swap", "tab:orange", "s-"),
    "peft": ("peft LoRA r=2, q v", "tab:green", "^-"),
    "merged": ("a model per tenant", "tab:red", "d-"),
}
MODEL = "ViT-B-32"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Three panels of the CPU rows of ViT-B/32: a batch, registered adapters, HTTP; those that there are rows for."""
    import matplotlib as mpl  # noqa: PLC0415 (an extra)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    chosen = [row for row in rows if row["model"] == MODEL and row["device"] == "cpu"]
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "saft", "font.size": 9})
    figure, panels = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    _batch(panels[0], [row for row in chosen if row["bench"] == "batch"])
    _registered(panels[1], [row for row in chosen if row["bench"] == "registered" and "p50_ms" in row])
    _http(panels[2], [row for row in chosen if row["bench"] == "http"])
    for panel in panels:
        if panel.has_data():
            panel.legend(frameon=False, fontsize=8)
        panel.set_ylim(bottom=0)
        panel.grid(axis="y", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _batch(panel: Any, rows: Sequence[Row]) -> None:
    for mode, (label, colour, style) in MODES.items():
        points = sorted((row["adapters"], row["images_per_second"]) for row in rows if row.get("mode") == mode)
        if mode == "base" and points:
            panel.axhline(points[0][1], color=colour, linestyle=style, label=label)
        elif points:
            panel.plot(*zip(*points, strict=True), style, color=colour, label=label)
    panel.set_xscale("log", base=2)
    panel.set(title="Batch of 32 images", xlabel="adapters in the batch", ylabel="images / s")
    _ticks(panel, [row["adapters"] for row in rows if row.get("adapters")])


def _registered(panel: Any, rows: Sequence[Row]) -> None:
    for name, style in (("p50_ms", "o-"), ("p95_ms", "s--")):
        points = sorted((row["adapters"], row[name]) for row in rows)
        if points:
            panel.plot(*zip(*points, strict=True), style, color="tab:blue", label=name.removesuffix("_ms"))
    panel.set_xscale("log")
    panel.set(title="Registered adapters, Zipf requests", xlabel="registered adapters", ylabel="ms at concurrency 16")
    _ticks(panel, [row["adapters"] for row in rows])


def _http(panel: Any, rows: Sequence[Row]) -> None:
    for via, label, colour, style in (
        ("engine", "engine called directly", "tab:orange", "s-"),
        ("http", "POST /classify", "tab:blue", "o-"),
    ):
        points = sorted((row["concurrency"], row["images_per_second"]) for row in rows if row.get("via") == via)
        if points:
            panel.plot(*zip(*points, strict=True), style, color=colour, label=label)
    panel.set_xscale("log", base=2)
    panel.set(title="HTTP", xlabel="callers at once", ylabel="images / s")
    _ticks(panel, [row["concurrency"] for row in rows])


def _ticks(panel: Any, values: Sequence[int]) -> None:
    wanted = sorted(set(values))
    panel.set_xticks(wanted, [f"{value:,}" for value in wanted])
    panel.minorticks_off()
