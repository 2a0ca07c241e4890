"""Outcomes that were written are found again, whatever happened to the process."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.journal import Journal
from evaluation.outcomes import Outcome, Run
from saft_core.errors import InvalidConfig

RUN = Run(
    base="tiny", dataset="squares", classes="all", shots=4, method="SAFT", learning_rate=0.01, epochs=2, batch_size=8,
    weight_decay=0.1, density=0.001, augment="none", seed=1,
)  # fmt: skip
OUTCOME = Outcome(
    RUN, {"squares": "101"}, ["other"], 12, 1.5, 7, "ab", "cd", [{"block": "x", "parameters": 3, "selected": 1}]
)


def test_an_outcome_is_found_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    Journal(path).add(OUTCOME)
    assert Journal(path).find(RUN, "cd") == OUTCOME
    assert Journal(path).find(replace(RUN, seed=2), "cd") is None


def test_a_line_of_an_earlier_version_whose_fields_stand_in_another_order_is_read(tmp_path: Path) -> None:
    written = json.loads(json.dumps(OUTCOME.as_json()))
    first = ("base", "dataset", "classes", "shots", "method")
    run = {name: written["run"].pop(name) for name in first} | written["run"]
    (tmp_path / "results.jsonl").write_text(json.dumps({"run": run} | written | {"run": run}) + "\n", "utf-8")
    assert Journal(tmp_path / "results.jsonl").find(RUN, "cd") == OUTCOME


def test_what_was_made_of_other_images_does_not_count_and_is_replaced(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "results.jsonl")
    journal.add(OUTCOME)
    assert journal.find(RUN, "ef") is None
    later = replace(OUTCOME, right={"squares": "111"}, data_sha256="ef")
    journal.add(later)
    assert Journal(tmp_path / "results.jsonl").find(RUN, "ef") == later
    assert len(journal) == 1


def test_what_a_base_cannot_run_is_not_tried_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "results.jsonl")
    journal.add(Outcome(RUN, unsuited="it has no tokens", data_sha256="cd"))
    found = journal.find(RUN, "cd")
    assert found is not None
    assert found.unsuited == "it has no tokens"


def test_a_line_that_was_cut_off_is_not_written_and_the_next_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    journal = Journal(path)
    journal.add(OUTCOME)
    journal.add(replace(OUTCOME, run=replace(RUN, seed=2)))
    path.write_bytes(path.read_bytes()[:-9])
    again = Journal(path)
    assert len(again) == 1
    again.add(replace(OUTCOME, run=replace(RUN, seed=3)))
    assert len(Journal(path)) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"run": OUTCOME.as_json()["run"] | {"temperature": 1}}, "run.temperature"),
        ({"run": {"base": "tiny"}}, "run.learning_rate"),
        ({"seconds": "long"}, "seconds"),
    ],
    ids=["unknown", "unknown of the run", "missing", "of another type"],
)
def test_a_line_with_other_fields_is_refused_with_file_line_and_field(
    tmp_path: Path, change: dict[str, object], field: str
) -> None:
    path = tmp_path / "results.jsonl"
    Journal(path).add(OUTCOME)
    before = path.read_text("utf-8")
    path.write_text(before + json.dumps(OUTCOME.as_json() | change) + "\n", "utf-8")
    with pytest.raises(InvalidConfig) as refused:
        Journal(path)
    assert str(refused.value).startswith(f"{path}, line 2: {field}: ")


def test_a_whole_line_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("{\n", "utf-8")
    with pytest.raises(InvalidConfig, match=r"results.jsonl, line 1: JSON: "):
        Journal(path)
