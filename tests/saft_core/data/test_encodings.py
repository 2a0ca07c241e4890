from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.data.encodings import readings
from saft_core.data.paths import is_control


def test_readings_are_words_that_name_the_code_page() -> None:
    assert readings("Äpfel/1.jpg".encode("cp1252")).startswith(", in Windows-1252 it reads 'Äpfel/1.jpg'")


@pytest.mark.parametrize("name", [b"\xff\xfe", b"cat\x00\xff", b"\xc9\xcd\xbb.jpg"])
def test_bytes_that_make_no_letters_have_no_reading_of_boxes(name: bytes) -> None:
    assert not set(readings(name)) & set("╔═╗║╚╝░▒▓\0")


def test_readings_are_few_and_short() -> None:
    assert len(readings(b"\xc4\xe4" * 30_000)) < 500


@given(st.binary(max_size=30))
def test_whatever_the_bytes_the_words_can_be_shown(name: bytes) -> None:
    assert not any(is_control(character) for character in readings(name))
