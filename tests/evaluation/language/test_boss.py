from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.datasets.dataset import MissingData
from evaluation.language.boss import TASKS, Question, Sentence, Text
from tests.evaluation.language.tiny import files


def written(root: Path, task: str, content: str) -> Path:
    folder = root / TASKS[task].folder / TASKS[task].trained
    folder.mkdir(parents=True)
    (folder / f"test.{'json' if task == 'EQA' else 'tsv'}").write_text(content, encoding="utf-8")
    return root


def refused(root: Path, task: str) -> str:
    with pytest.raises(MissingData) as reason:
        TASKS[task].read(root, TASKS[task].trained, "test")
    return str(reason.value)


def test_texts_have_a_header_quotes_and_a_label_last(tmp_path: Path) -> None:
    root = files(tmp_path)
    assert TASKS["SA"].read(root, "amazon", "train")[:2] == [Text(("it was bad",), 0), Text(("it was good",), 1)]
    assert TASKS["TD"].read(root, "civil_comments", "test")[-1] == Text(('a bad, "bad"\tfilm',), 1)
    assert TASKS["NLI"].read(root, "anli", "test")[0] == Text(("the food was bad", "it was not good"), 0)


def test_rows_without_a_text_or_a_label_are_passed_over(tmp_path: Path) -> None:
    root = written(tmp_path, "SA", "Text\tLabel\ngood\t1\n\t0\nbad\t\nbad\tx\nfine\t2.0\n")
    assert TASKS["SA"].read(root, "amazon", "test") == [Text(("good",), 1), Text(("fine",), 2)]


def test_sentences_end_at_an_empty_line(tmp_path: Path) -> None:
    root = files(tmp_path)
    first, second = TASKS["NER"].read(root, "conll", "test")
    assert first == Sentence(("ann", "lives", "in", "paris"), ("B-person", "O", "O", "B-location"))
    assert isinstance(second, Sentence)
    assert second.words == ("bob", "works", "at", "initech")


def test_lines_of_one_cell_belong_to_no_sentence_and_end_none(tmp_path: Path) -> None:
    root = written(tmp_path, "NER", "ann\tB-person\n\t\tO\n \u00a0\tO\nlives\tO\n\n\nbob O\n")
    found = TASKS["NER"].read(root, "fewnerd", "test")
    assert [one.words for one in found if isinstance(one, Sentence)] == [("ann", "lives"), ("bob",)]


def test_questions_have_any_of_their_answers_where_the_context_has_it(tmp_path: Path) -> None:
    found = TASKS["EQA"].read(files(tmp_path), "squad", "train")
    assert [one.span() for one in found if isinstance(one, Question)] == [(13, 18), (0, 4), (21, 24)]
    assert found[1] == Question("who works at acme", "Carl works at acme", ("carl b", "Carl"))


def test_some_of_a_file_are_drawn_by_the_seed(tmp_path: Path) -> None:
    root, task = files(tmp_path), TASKS["SA"]
    everything = task.read(root, "amazon", "train")
    drawn = {tuple(task.read(root, "amazon", "train", 2, seed)) for seed in range(20)}
    assert len(drawn) > 1
    assert all(len(one) == 2 and [s for s in everything if s in one] == list(one) for one in drawn)
    assert task.read(root, "amazon", "train", 2, 3) == task.read(root, "amazon", "train", 2, 3)
    assert task.read(root, "amazon", "train", 99) == everything


@pytest.mark.parametrize(
    ("task", "content", "reason"),
    [
        ("SA", "good\t1\nbad\t0\n", "the first line must name"),
        ("SA", "Text\tLabel\ngood\t7\n", "line 2: label 7 is none of 0 to 2"),
        ("SA", "Text\tLabel\n", "no sample"),
        ("NER", "ann\tB-planet\n", "line 1: there is no tag 'B-planet'"),
        ("EQA", '{"question": "who"}\n', "answers"),
        ("EQA", "who\n", "Expecting value"),
    ],
)
def test_what_is_not_as_boss_has_it_is_refused_by_name(tmp_path: Path, task: str, content: str, reason: str) -> None:
    said = refused(written(tmp_path, task, content), task)
    assert TASKS[task].trained in said
    assert reason in said


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "QuestionAnswering" / "squad" / "test.json") in refused(tmp_path, "EQA")
