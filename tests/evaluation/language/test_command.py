from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from evaluation.language import command
from evaluation.language.boss import TASKS
from evaluation.language.command import run
from saft_core.errors import InvalidConfig, Unavailable
from tests.evaluation.language.tiny import deberta, files, t5, tokenizer


def saved(folder: Path, model: Any) -> str:
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 4, "density": 0.01, "rank": 2}


@pytest.mark.hf
def test_each_task_has_a_table_of_all_methods_and_data_sets(tmp_path: Path) -> None:
    report = run(saved(tmp_path / "t5", t5()), files(tmp_path / "boss"), seeds=(0, 1), **QUICK)
    assert [table.task.name for table in report.tables] == list(TASKS)
    for table in report.tables:
        if table.task.name == "NER":
            assert "DeBERTa" in table.missing[""]
            continue
        assert list(table.rows) == ["as it is", "full fine-tuning", "LoRA", "SAFT"]
        present = {table.task.trained, *table.task.shifted[:-1]}
        for row in table.rows.values():
            assert row.scores.keys() == present
            assert all(len(scores) == 2 and all(0 <= score <= 1 for score in scores) for scores in row.scores.values())
        assert table.task.shifted[-1] in table.missing
        assert table.rows["as it is"].trainable == 0 < table.rows["SAFT"].trainable
    printed = report.markdown()
    assert "| method | amazon | dynasent | semeval | sst5 | mean of shifted | trainable |" in printed
    assert "sst5/test.tsv: No such file" in printed
    assert "± 0.00" in printed
    assert "Learning rates, none of which was searched for: as it is 0.0001" in printed


@pytest.mark.hf
def test_an_encoder_does_all_tasks_and_again_the_same(tmp_path: Path) -> None:
    """Saved without a head: each task draws its own, of as many classes as it has."""
    model, data = saved(tmp_path / "deberta", deberta("SequenceClassification").deberta), files(tmp_path / "boss")
    chosen = {"methods": ("full fine-tuning", "SAFT"), "learning_rates": {"SAFT": 1e-2}, **QUICK}
    first, again = (run(model, data, tasks=("TD", "NER", "EQA"), **chosen) for _ in range(2))
    assert [list(table.rows) for table in first.tables] == [["full fine-tuning", "SAFT"]] * 3
    assert first.markdown() == again.markdown()
    assert "full fine-tuning 0.0001, SAFT 0.01" in first.markdown()


@pytest.mark.hf
def test_a_training_that_diverges_is_a_row_without_figures(tmp_path: Path) -> None:
    model, data = saved(tmp_path / "t5", t5()), files(tmp_path / "boss")
    quick = QUICK | {"epochs": 9, "learning_rate": 1e30}
    report = run(model, data, tasks=("TD",), methods=("as it is", "full fine-tuning", "SAFT"), **quick)
    rows = report.tables[0].rows
    assert rows["as it is"].scores
    assert not rows["SAFT"].scores
    assert "try a learning rate below" in report.markdown()


@pytest.mark.hf
def test_a_model_that_is_not_there_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nowhere cannot be loaded"):
        run(str(tmp_path / "nowhere"), files(tmp_path / "boss"), tasks=("SA",))


@pytest.mark.hf
def test_a_task_without_training_data_says_so(tmp_path: Path) -> None:
    report = run("unread", tmp_path, tasks=("SA",))
    assert report.tables[0].missing.keys() == {""}
    assert "amazon/train.tsv: No such file" in report.markdown()


def test_unknown_names_are_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="no task 'POS'; there are SA, TD, NLI, NER, EQA"):
        run("t5", tmp_path, tasks=("POS",))
    with pytest.raises(InvalidConfig, match="no method 'BitFit'"):
        run("t5", tmp_path, methods=("BitFit",))


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "peft" else found(name))
    monkeypatch.setattr(command, "PACKAGES", ("peft",))
    with pytest.raises(Unavailable, match=r"language models need peft: pip install 'saft\[language\]'"):
        run("t5", tmp_path)
