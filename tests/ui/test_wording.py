from __future__ import annotations

from typing import Any

import pytest

from saft_client import ApiError, Rejected
from ui import wording


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "a few seconds"),
        (22, "about 20 seconds"),
        (56, "about 1 minute"),
        (185, "about 3 minutes"),
        (7300, "about 2 hours"),
    ],
)
def test_time_left_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert wording.duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 bytes"), (999, "999 bytes"), (4_200, "4.2 KB"), (151_000, "151 KB"), (3.5e6, "3.5 MB")]
)
def test_sizes(number: int, said: str) -> None:
    assert wording.size(number) == said


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"verdict": "better"}, "Better: 29 of 32 right, was 25."),
        ({"verdict": "worse"}, "Worse: 29 of 32 right, was 25. The base model"),
        ({"verdict": "no_better"}, "Perhaps better: 29 of 32 right, was 25."),
        ({"verdict": "no_better", "right": 25}, "No better: 25 of 32 right, was 25."),
        ({"verdict": "no_better", "too_few_to_tell": True}, "Too few to tell: 29 of 32 right, was 25."),
        ({"right": None}, ""),
        ({"right": "<b>"}, ""),
    ],
)
def test_a_verdict_is_a_sentence_with_its_counts(metrics: dict[str, Any], said: str) -> None:
    found = wording.verdict({"right": 29, "zero_shot_right": 25, "test_images": 32} | metrics)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_counts() -> None:
    assert wording.count(1, "class") == "1 class"
    assert wording.count(2, "class") == "2 classes"
    assert wording.count(1600, "image") == "1,600 images"


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("the name is in use", "The name is in use."),
        ("top_k: give 1 to 9", "top_k: give 1 to 9."),
        ("Already fine.", "Already fine."),
    ],
)
def test_the_services_words_become_sentences(detail: str, said: str) -> None:
    assert wording.sentence(detail) == said


def test_a_problem_says_what_to_do_and_lists_what_was_refused_without_trusting_names() -> None:
    rejected = [{"path": "<script>.png", "code": "invalid_image", "reason": "it is <broken>"}]
    html = wording.problem(ApiError("unauthorized", "no <key>", 401, {"rejected": rejected}))
    assert 'role="alert"' in html
    assert "Key tab" in html
    assert "1 file left out" in html
    assert "&lt;script&gt;.png" in html
    assert "<script>" not in html
    assert "<broken>" not in html


def test_a_long_list_of_refused_files_is_cut() -> None:
    many = [Rejected(f"{i}.txt", "invalid_image", "no image") for i in range(wording.MAX_REJECTED_ROWS + 5)]
    assert "and 5 more" in wording.rejected_table(many)
