from __future__ import annotations

import pytest

from ui.records import Answer


@pytest.mark.parametrize(
    ("unknown", "threshold", "strange"), [(0.9, 0.8, True), (0.7, 0.8, False), (None, None, False)]
)
def test_an_answer_is_strange_above_the_threshold(
    unknown: float | None, threshold: float | None, strange: bool
) -> None:
    result = {"predictions": [{"label": "cat", "probability": 1.0}], "score": 0.2, "unknown": unknown}
    answer = Answer.read({"adapter": "base", "results": [result], "unknown_threshold": threshold})
    assert (answer.best, answer.unknown, answer.strange) == ("cat", unknown, strange)
