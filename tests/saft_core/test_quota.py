from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from saft_core.quota import Quota


def test_what_is_not_said_is_no_limit() -> None:
    assert Quota.model_validate_json("{}").model_dump() == dict.fromkeys(Quota.model_fields)
    assert Quota.model_validate_json('{"images": 0, "adapters": null}') == Quota(images=0)


@pytest.mark.parametrize("value", [-1, 1.5, True, False, "5", [], 2**63])
def test_a_limit_is_a_number_of_things(value: Any) -> None:
    with pytest.raises(ValidationError, match="images"):
        Quota.model_validate_json(json.dumps({"images": value}))


def test_a_limit_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValidationError, match="pictures"):
        Quota.model_validate_json('{"pictures": 5}')
