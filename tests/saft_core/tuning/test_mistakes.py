from __future__ import annotations

import hashlib

import numpy as np

from saft_core.comparison import Answered
from saft_core.data.samples import Sample
from saft_core.tuning.mistakes import Mistake, PredictedSplit
from saft_core.tuning.predictions import Predictions

SAMPLES = [Sample(label, f"{place}.png", bytes, sha256=f"{place}") for place, label in enumerate([0, 1, 1])]
PREDICTED = PredictedSplit("held-out", SAMPLES, Predictions(np.array([0, 1, 1]), np.array([1, 1, 0])), ["cat", "dog"])


def test_only_what_is_answered_wrongly_is_a_mistake() -> None:
    assert PREDICTED.mistakes() == [Mistake("held-out", SAMPLES[0], "dog"), Mistake("held-out", SAMPLES[2], "cat")]


def test_every_answer_is_told_by_the_hash_of_its_file() -> None:
    assert PREDICTED.answered() == {
        "0": Answered("held-out", "cat", "dog"),
        "1": Answered("held-out", "dog", "dog"),
        "2": Answered("held-out", "dog", "cat"),
    }
    unhashed = PredictedSplit(
        "test", [Sample(0, "a.png", lambda: b"file")], Predictions(np.array([0]), np.array([0])), ["cat"]
    )
    assert unhashed.answered() == {hashlib.sha256(b"file").hexdigest(): Answered("test", "cat", "cat")}
