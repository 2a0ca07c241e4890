from __future__ import annotations

import pytest

from saft_client import ApiError
from ui.tabs.try_out import labels_of
from ui.tabs.tune import config


def test_empty_fields_are_left_to_the_base_model() -> None:
    assert config("", " ", "", "", "", "", "") == {}


def test_filled_fields_have_their_types() -> None:
    assert config("3", "8", "1e-3", "0.01", "a {}", "image", "7") == {
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "density": 0.01,
        "template": "a {}",
        "encoders": "image",
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("fields", "named"),
    [(("2.5", "", ""), "Epochs"), (("", "x", ""), "Batch size"), (("", "", "fast"), "Learning rate")],
)
def test_a_field_that_is_no_number_is_named(fields: tuple[str, str, str], named: str) -> None:
    with pytest.raises(ApiError, match=named):
        config(*fields, "", "", "", "")


def test_labels_may_be_typed_with_commas_or_lines() -> None:
    assert labels_of(" cat, dog\nred car ,, cat\n") == ["cat", "dog", "red car"]
