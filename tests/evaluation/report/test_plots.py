from collections.abc import Callable
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from evaluation.report.plots import (
    Trade,
    accuracy_by_shots,
    density_curve,
    difference_by_column,
    entries_by_block,
)
from evaluation.tables import Cell, Row, Table

SVG = "{http://www.w3.org/2000/svg}"


def _cell(share: float) -> Cell:
    return Cell([[np.random.default_rng(seed).random(200) < share for seed in range(3)]])


ABSENT = Cell(missing="no data")
TABLE = Table(
    "1",
    "Shift",
    ("photo", "sketch", "cartoon"),
    {
        "SAFT": Row({"photo": _cell(0.9), "sketch": _cell(0.5), "cartoon": ABSENT}),
        "full": Row({"photo": _cell(0.4), "sketch": _cell(0.5), "cartoon": _cell(0.2)}),
    },
)
BLOCKS = [
    {"block": "token_embedding", "parameters": 100, "selected": 3},
    {"block": "visual.transformer.resblocks.0", "parameters": 1000, "selected": 1200},
    {"block": "visual", "parameters": 10, "selected": 34},
    {"block": "transformer.resblocks.0", "parameters": 1000, "selected": 40},
    {"block": "logit_scale", "parameters": 1, "selected": 0},
]


def _density() -> str:
    curve = {0.01: Trade(_cell(0.8), _cell(0.5)), 0.001: Trade(_cell(0.7), _cell(0.6)), 0.1: Trade(_cell(0.9), ABSENT)}
    return density_curve(curve, {"zero-shot": Trade(_cell(0.6), _cell(0.6)), "CoOp": Trade(ABSENT, ABSENT)})


def _difference() -> str:
    return difference_by_column(TABLE, "SAFT", "full")


def _blocks() -> str:
    return entries_by_block(BLOCKS)


def _shots() -> str:
    curves = {"SAFT": {16: _cell(0.8), 1: _cell(0.6)}, "CoOp": {1: _cell(0.5), 4: ABSENT}, "MaPLe": {1: ABSENT}}
    return accuracy_by_shots(curves, _cell(0.55))


PLOTS = pytest.mark.parametrize("draw", [_density, _difference, _blocks, _shots])


def _texts(svg: str) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ET.fromstring(svg).iter(f"{SVG}text")]


@PLOTS
def test_a_plot_is_svg_and_the_same_bits_every_time(draw: Callable[[], str]) -> None:
    first = draw()

    assert ET.fromstring(first).tag == f"{SVG}svg"
    assert draw() == first
    assert "dc:date" not in first


@PLOTS
def test_a_plot_has_a_white_ground(draw: Callable[[], str]) -> None:
    ground = next(
        group for group in ET.fromstring(draw()).iter(f"{SVG}g") if (group.get("id") or "").startswith("patch_1")
    )

    assert "fill: #ffffff" in (ground[0].get("style") or "")


def test_the_densities_that_have_figures_stand_at_their_marks() -> None:
    texts = _texts(_density())

    assert {"0.001", "0.01", "SAFT, by density", "zero-shot"} <= set(texts)
    assert "0.1" not in texts
    assert "CoOp" not in texts


def test_differences_are_of_the_columns_that_both_have() -> None:
    texts = _texts(_difference())

    assert {"photo", "sketch"} <= set(texts)
    assert "cartoon" not in texts


def test_a_difference_is_filled_where_its_interval_leaves_out_zero() -> None:
    svg = _difference()

    assert "+0.0" in _texts(svg)
    marks = [use.get("style") or "" for use in ET.fromstring(svg).iter(f"{SVG}use")]
    assert sum("fill: #0072b2" in style and "stroke: #0072b2" in style for style in marks) >= 1
    assert sum("fill: #ffffff" in style and "stroke: #0072b2" in style for style in marks) == 1


def test_both_towers_have_their_blocks_and_the_sums_of_their_entries() -> None:
    texts = _texts(_blocks())

    assert {"image tower: 1,234 entries", "text tower: 43 entries"} <= set(texts)
    assert texts.count("resblocks.0") == 2
    assert "logit_scale" not in texts
    assert "<pattern" in _blocks()


def test_zero_shot_is_a_line_beside_the_methods_that_have_figures() -> None:
    texts = _texts(_shots())

    assert {"zero-shot", "SAFT", "CoOp", "1", "16"} <= set(texts)
    assert "MaPLe" not in texts
