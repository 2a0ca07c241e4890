from __future__ import annotations

from typing import get_args

from saft_core.training_options import Selection
from saft_core.tuning.strategies import STRATEGIES


def test_every_selection_that_the_api_takes_has_a_strategy() -> None:
    assert set(STRATEGIES) == set(get_args(Selection))
