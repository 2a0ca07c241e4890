from __future__ import annotations

import numpy as np

from saft_core.data.samples import Sample
from saft_core.tuning.evaluation import Evaluation
from saft_core.tuning.mistakes import Mistake, mistakes


def test_only_what_is_answered_wrongly_is_told() -> None:
    samples = [Sample(label, f"{place}.png", bytes) for place, label in enumerate([0, 1, 1])]
    answers = Evaluation(np.array([0, 1, 1]), np.array([1, 1, 0]))
    assert mistakes("held-out", samples, answers, ["cat", "dog"]) == [
        Mistake("held-out", samples[0], "dog"),
        Mistake("held-out", samples[2], "cat"),
    ]
