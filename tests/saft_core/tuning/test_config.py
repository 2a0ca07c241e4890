from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from saft_core.tuning.config import TrainingConfig
from tests.fixtures.tasks import config


@pytest.mark.parametrize("template", ["a {}", ("a {}", "the {}")])
def test_a_config_comes_back_from_json(template: str | tuple[str, ...]) -> None:
    made = config(template=template)
    assert TrainingConfig.read(json.loads(json.dumps(asdict(made)))) == made


def test_a_setting_that_there_is_not_is_an_error() -> None:
    with pytest.raises(TypeError):
        TrainingConfig.read(asdict(config()) | {"tempo": 1})
