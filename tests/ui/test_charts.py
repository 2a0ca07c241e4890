from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

from saft_client import BlockCount, ClassCount
from ui import charts


def points(svg: str) -> list[tuple[float, float]]:
    found = re.search(r'points="([^"]*)"', svg)
    assert found
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in found[1].split())]


def test_the_curve_falls_as_the_loss_falls_and_grows_into_the_steps() -> None:
    drawn = points(charts.loss_curve([(0, 2.0), (50, 1.0)], steps=100))
    assert drawn[0][1] < drawn[1][1]
    assert drawn[1][0] == (charts.LEFT + charts.WIDTH - charts.RIGHT) / 2


def test_a_loss_that_is_no_number_is_left_out() -> None:
    assert len(points(charts.loss_curve([(1, 2.0), (2, math.nan), (3, math.inf), (4, 1.0)], 4))) == 2


def test_a_flat_curve_can_be_drawn() -> None:
    assert all(math.isfinite(value) for point in points(charts.loss_curve([(1, 0.0), (2, 0.0)], 2)) for value in point)


def test_no_loss_yet_is_said() -> None:
    assert "appears" in charts.loss_curve([], 0)


def test_charts_are_well_formed_and_escape_names() -> None:
    nasty = "<b>&\"'"
    for html in (
        charts.loss_curve([(1, 2.0)], 1),
        charts.class_bars([ClassCount(nasty, 3)]),
        charts.block_bars([BlockCount(nasty, 10, 0)]),
        charts.accuracy_bars(0.25, None),
        charts.confusion([nasty, "b"], [[1, 0], [0, 2]], nasty),
        charts.confusion([f"{nasty}{i}" for i in range(40)], [[1] * 40] * 40, nasty),
    ):
        ET.fromstring(html)
        assert "<b>" not in html


def test_the_matrix_marks_hits_and_their_share_of_the_row() -> None:
    html = charts.confusion(["a", "b"], [[3, 1], [0, 0]], "Adapted")
    assert 'class="saft-hit" style="--share:0.750">3' in html
    assert 'class="saft-miss" style="--share:0.250">1' in html


def test_many_classes_become_a_list_of_the_most_frequent_mistakes() -> None:
    size = charts.MAX_MATRIX_CLASSES + 1
    matrix = [[0] * size for _ in range(size)]
    matrix[0][1], matrix[2][3], matrix[4][4] = 2, 7, 50
    html = charts.confusion([f"class {i}" for i in range(size)], matrix, "Adapted")
    assert html.index("<td>class 2</td><td>class 3</td><td>7</td>") < html.index("<td>class 0</td>")
    assert "class 4" not in html


def test_accuracy_is_written_out() -> None:
    html = charts.accuracy_bars(0.41, 0.634)
    assert "41.0%" in html
    assert "63.4%" in html
