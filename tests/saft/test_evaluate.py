"""What the command line of `saft evaluate` becomes, and what a mistake on it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluation import command
from evaluation.command import Asked
from evaluation.language import command as language
from saft.cli import app
from saft_core.errors import InvalidConfig


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Asked]:
    """All that `evaluation` was asked, which says one report of everything."""
    found: list[Asked] = []
    report = tmp_path / "report.md"
    report.write_text("a table", "utf-8")

    def evaluate(what: Asked, say: Any) -> Path:
        found.append(what)
        return report

    monkeypatch.setattr(command, "evaluate", evaluate)
    return found


def test_options_are_asked_as_they_are_named(asked: list[Asked]) -> None:
    line = "evaluate --base ViT-B-16/openai --data /data --tables 1,12 --figures 1 --seeds 1,3 --tune --datasets a,b:c"
    result = CliRunner().invoke(app, line.split())
    assert (result.exit_code, "a table" in result.output) == (0, True)
    (one,) = asked
    assert (one.base, one.data, one.tables, one.figures) == ("ViT-B-16/openai", Path("/data"), ("1", "12"), ("1",))
    assert (one.datasets, one.methods) == (("a", "b:c"), ())
    assert (one.conditions.seeds, one.conditions.tune, one.conditions.epochs) == ((1, 3), True, None)


def test_nothing_said_asks_for_all_of_the_bundled_pictures(asked: list[Asked]) -> None:
    CliRunner().invoke(app, ["evaluate"])
    (one,) = asked
    assert (one.base, one.data, one.datasets, one.methods) == ("", None, (), ())
    assert (one.conditions.seeds, one.conditions.shots, one.conditions.density) == ((1, 2, 3), 16, 0.001)
    assert len(one.tables) == 9


@pytest.mark.parametrize("seeds", ["", "one", "1,,x", "-1"])
def test_seeds_that_are_none_are_told(asked: list[Asked], seeds: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", "--seeds", seeds])
    assert isinstance(result.exception, InvalidConfig)
    assert "--seeds" in str(result.exception)
    assert not asked


def test_a_language_model_is_asked_of_its_own_room(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def run(model: str, data: Path, **options: Any) -> Any:
        asked.update(options, model=model, data=data)
        return language.LanguageReport(("said first",), ())

    monkeypatch.setattr(language, "run", run)
    result = CliRunner().invoke(app, ["evaluate-language", "t5", "--data", "/boss", "--tasks", "SA", "--device", "cpu"])
    assert "said first" in result.output
    assert (asked["model"], asked["data"], asked["tasks"], asked["device"]) == ("t5", Path("/boss"), ("SA",), "cpu")
