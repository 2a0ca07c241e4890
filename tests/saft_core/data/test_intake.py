from __future__ import annotations

import hashlib

import pytest

from saft_core.data.entries import Entry
from saft_core.data.intake import take
from saft_core.errors import InvalidImage, InvalidInput
from tests.saft_core.data.uploads import png


def no_image(data: bytes) -> str:
    raise InvalidImage("damaged")


def test_a_file_that_can_be_used_comes_with_its_hash_and_kind() -> None:
    taken = take(Entry("cat/1.png", lambda: png(1)), lambda data: "image/png")
    assert (taken.sha256, taken.data, taken.media_type) == (hashlib.sha256(png(1)).hexdigest(), png(1), "image/png")


def test_a_file_that_cannot_be_used_is_an_error() -> None:
    with pytest.raises(InvalidImage, match="damaged"):
        take(Entry("cat/1.png", lambda: b"x"), no_image)


def test_a_hash_is_refused_before_the_image_is_decoded() -> None:
    def refuse(sha256: str) -> None:
        raise InvalidInput(sha256, code="duplicate")

    with pytest.raises(InvalidInput, match=hashlib.sha256(b"x").hexdigest()) as caught:
        take(Entry("cat/1.png", lambda: b"x"), no_image, refuse)
    assert caught.value.error_code == "duplicate"
