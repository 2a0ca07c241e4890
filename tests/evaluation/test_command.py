"""`saft evaluate` on a small scale: what is written, and what a typing mistake is told."""

from __future__ import annotations

import csv
import fcntl
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evaluation import command
from evaluation.command import Asked, evaluate
from evaluation.conditions import Conditions
from saft_core.clip.backbone import Base
from saft_core.errors import InvalidConfig
from tests.fixtures.models import make_base

CONDITIONS = Conditions(2, (1,), 1, 8, "none", 0.01, 0.1, tune=False)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The bundled pictures with a tiny base."""
    loaded: Callable[[str, str], Base] = lambda *_: make_base("vit")  # noqa: E731
    monkeypatch.setattr(command, "load_base", loaded)
    methods = ("zero-shot", "full fine-tuning", "SAFT")
    return Asked("", "cpu", None, (), methods, ("1", "2"), (), CONDITIONS, tmp_path / "out")


def test_tables_figures_and_what_they_are_made_of_lie_in_one_folder(asked: Asked) -> None:
    said: list[str] = []
    report = evaluate(replace(asked, figures=("3", "4", "6")), said.append).read_text("utf-8")
    assert "### Table 1. Distribution shift, trained on samples" in report
    assert "| SAFT |" in report
    assert "**SAFT against full fine-tuning**: samples " in report
    for number in ("4", "6"):
        assert f"](figure-{number}.svg)" in report
        assert ET.parse(asked.out / f"figure-{number}.svg").getroot().tag.endswith("svg")
    assert Image.open(asked.out / "figure-3.png").width > 500
    with (asked.out / "tables.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == set(asked.methods)
    assert len(said) == len((asked.out / "results.jsonl").read_text("utf-8").splitlines()) == 6


def test_a_second_call_makes_nothing_anew_and_writes_the_same(asked: Asked) -> None:
    first = evaluate(asked, lambda _: None).read_bytes()
    said: list[str] = []
    assert evaluate(asked, said.append).read_bytes() == first
    assert not said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tables": ("99",)}, "no table 99 here; there are 1, 2"),
        ({"figures": ("2",)}, "no figure 2 here; there are 1, 3"),
        ({"methods": ("soft",)}, "no method 'soft'; there are zero-shot, "),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(asked: Asked, change: dict[str, tuple[str]], told: str) -> None:
    with pytest.raises(InvalidConfig, match=told):
        evaluate(replace(asked, **change), lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"density": 0.0}, "--density 0.0"),
        ({"density": float("nan")}, "--density nan"),
        ({"weight_decay": -1.0}, "--weight-decay -1.0"),
        ({"seeds": (1, 1)}, "--seeds"),
        ({"seeds": tuple(range(32))}, "at most 31"),
    ],
)
def test_conditions_that_no_fit_could_follow_are_told_before_any_fit(
    asked: Asked, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidConfig, match=told):
        evaluate(replace(asked, conditions=replace(CONDITIONS, **change)), lambda _: None)


def test_places_that_cannot_be_used_are_told(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for change, told in (
        ({"out": tmp_path / "file"}, "--out"),
        ({"out": Path("/proc/nowhere")}, "--out"),
        ({"data": tmp_path / "typo"}, "is no folder"),
        ({"data": tmp_path, "datasets": ("a", "a")}, "names one twice"),
    ):
        with pytest.raises(InvalidConfig, match=told):
            evaluate(replace(asked, **change), lambda _: None)


def test_two_at_once_do_not_write_into_one_folder(asked: Asked) -> None:
    asked.out.mkdir()
    with (asked.out / command.RESULTS).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InvalidConfig, match="another saft evaluate"):
            evaluate(asked, lambda _: None)


def test_figures_of_a_data_set_that_is_nowhere_are_told_in_the_report(asked: Asked, tmp_path: Path) -> None:
    few = replace(asked, data=tmp_path, datasets=("eurosat",), tables=("1",), figures=("1", "3", "4", "5", "6"))
    report = evaluate(few, lambda _: None).read_text("utf-8")
    for number in few.figures:
        assert f"There is no figure {number}: " in report


def test_a_data_set_that_is_nowhere_is_told_in_the_table(asked: Asked, tmp_path: Path) -> None:
    report = evaluate(replace(asked, data=tmp_path, datasets=("eurosat",), tables=("1",)), lambda _: None)
    assert str(tmp_path / "eurosat") in report.read_text("utf-8")
