"""The figures as a picture for the documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Row
from benchmarks.models import BATCH_SIZE, EMBEDDED

PLOT = Path(__file__).parents[2] / "docs" / "serving.svg"
MODES = {
    "base": ("base alone, own kernels", "0.5", "--"),
    "open_clip": ("base, open_clip", "0.5", ":"),
    "onnxruntime": ("base, onnxruntime", "black", "-."),
    "openvino": ("base, OpenVINO", "tab:purple", "-."),
    "compiled": ("compiled towers (ours)", "tab:pink", "v-"),
    "mixed": ("mixed batch (ours)", "tab:blue", "o-"),
    "selected": ("the same, on selected places", "tab:cyan", "o--"),
    "swap": ("grouped swap", "tab:orange", "s-"),
    "peft": ("peft LoRA r=2, q v", "tab:green", "^-"),
    "merged": ("a model per tenant", "tab:red", "d-"),
}
MODEL = "ViT-B-32"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Four panels of CPU rows: a batch on each base; registered adapters and HTTP on ViT-B/32; those with any rows."""
    import matplotlib as mpl  # noqa: PLC0415 (an extra)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    chosen = [row for row in rows if row["device"] == "cpu"]
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "saft", "font.size": 9})
    figure, grid = plt.subplots(2, 2, figsize=(11, 7.4), layout="constrained")
    panels = grid.flatten()
    _batch(panels[0], "embedded base", _of(chosen, "batch", EMBEDDED))
    _batch(panels[1], "ViT-B/32", _of(chosen, "batch", MODEL))
    _registered(panels[2], [row for row in _of(chosen, "registered", MODEL) if "p50_ms" in row])
    _http(panels[3], _of(chosen, "http", MODEL))
    for panel in panels:
        if panel.has_data():
            panel.legend(frameon=False, fontsize=8)
        panel.set_ylim(bottom=0)
        panel.grid(axis="y", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _of(rows: Sequence[Row], bench: str, model: str) -> list[Row]:
    return [row for row in rows if row["bench"] == bench and row["model"] == model]


def _batch(panel: Any, model: str, rows: Sequence[Row]) -> None:
    rows = [row for row in rows if row.get("batch") == BATCH_SIZE]
    for mode, (label, colour, style) in MODES.items():
        points = sorted((row["adapters"], row["images_per_second"]) for row in rows if row.get("mode") == mode)
        if points and points[-1][0] == 0:  # of the base alone, however many adapters there are
            panel.axhline(points[0][1], color=colour, linestyle=style, label=label)
        elif points := [point for point in points if point[0]]:
            panel.plot(*zip(*points, strict=True), style, color=colour, label=label)
    panel.set_xscale("log", base=2)
    panel.set(title=f"Batch of {BATCH_SIZE} images, {model}", xlabel="adapters in the batch", ylabel="images / s")
    _ticks(panel, [row["adapters"] for row in rows if row.get("adapters")])


def _registered(panel: Any, rows: Sequence[Row]) -> None:
    for name, style in (("p50_ms", "o-"), ("p95_ms", "s--")):
        points = sorted((row["adapters"], row[name]) for row in rows)
        if points:
            panel.plot(*zip(*points, strict=True), style, color="tab:blue", label=name.removesuffix("_ms"))
    panel.set_xscale("log")
    panel.set(
        title="Registered adapters, Zipf requests, ViT-B/32",
        xlabel="registered adapters",
        ylabel="ms at concurrency 16",
    )
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
    panel.set(title="HTTP, ViT-B/32", xlabel="callers at once", ylabel="images / s")
    _ticks(panel, [row["concurrency"] for row in rows])


def _ticks(panel: Any, values: Sequence[int]) -> None:
    wanted = sorted(set(values))
    panel.set_xticks(wanted, [f"{value:,}" for value in wanted])
    panel.minorticks_off()
