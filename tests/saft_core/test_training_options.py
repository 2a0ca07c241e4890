from __future__ import annotations

from typing import get_type_hints

from saft_client._adapters import TrainingConfig
from saft_core import training_options


def test_the_client_offers_the_same_names_as_the_trainer() -> None:
    offered = get_type_hints(TrainingConfig)
    for option in ("Encoders", "Selection", "Evaluate", "Augment"):
        assert offered[option.lower()] == getattr(training_options, option)
