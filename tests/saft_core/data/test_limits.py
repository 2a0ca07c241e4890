from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from saft_core.data.limits import DataLimits
from saft_core.settings import Limits
from tests.saft_core.data.uploads import LIMITS


def test_every_limit_comes_from_the_setting_of_the_same_name() -> None:
    settings = Limits(max_image_pixels=123, max_archive_ratio=7)
    limits = DataLimits.from_attributes(settings)
    assert {field.name: getattr(limits, field.name) for field in fields(limits)} == {
        field.name: getattr(settings, field.name) for field in fields(DataLimits)
    }
    assert (limits.max_image_pixels, limits.max_archive_ratio) == (123, 7)


def test_limits_can_be_read_off_limits() -> None:
    assert DataLimits.from_attributes(LIMITS) == LIMITS


def test_a_missing_limit_is_an_error() -> None:
    with pytest.raises(AttributeError, match="max_archive_expanded_bytes"):
        DataLimits.from_attributes(object())


def test_limits_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        LIMITS.max_image_bytes = 1  # type: ignore[misc]
    assert replace(LIMITS, max_image_bytes=1).max_image_bytes == 1
