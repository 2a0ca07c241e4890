from __future__ import annotations

import dataclasses
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.delta.header import MAX_HEADER_BYTES, read_header, write_header
from saft_core.errors import InvalidDelta
from tests.saft_core.delta.examples import HEADER

TEXT = write_header(HEADER)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, JSON, max_size=4), st.lists(TEXTS, min_size=1))
def test_a_header_comes_back(metrics: dict[str, Any], classes: list[str]) -> None:
    header = dataclasses.replace(HEADER, metrics=metrics, classes=tuple(classes))
    text = write_header(header)
    assert read_header(text) == header
    assert write_header(read_header(text)) == text


def test_one_template_is_a_text_and_an_ensemble_a_list() -> None:
    assert b'"template":"a photo of a {}."' in TEXT
    several = dataclasses.replace(HEADER, template=("a {}", "the {}"))
    text = write_header(several)
    assert text == TEXT.replace(b'"a photo of a {}."', b'["a {}","the {}"]')
    assert read_header(text) == several
    with pytest.raises(InvalidDelta, match="list of two texts or more"):
        read_header(TEXT.replace(b'"a photo of a {}."', b'["a {}"]'))


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "changes",
    [
        {"parameter_count": 0},
        {"parameter_count": 2**63},
        {"parameter_count": True},
        {"parameter_count": 1.0},
        {"parameter_count": "many"},
        {"density": 0.0},
        {"density": 1.1},
        {"density": -0.5},
        {"density": float("nan")},
        {"density": "most"},
        {"template": "no placeholder"},
        {"template": 5},
        {"template": ()},
        {"template": ("a {}",)},
        {"template": ("a {}", 5)},
        {"template": ("a {}", ["the {}"])},
        {"template": ("a {}", "no placeholder")},
        {"template": ("a {}", "the {}\0")},
        {"classes": ()},
        {"classes": (1, 2)},
        {"classes": "abc"},
        {"base_name": "a\0b"},
        {"base_name": "\ud800"},
        {"base_fingerprint": None},
        {"metrics": []},
        {"metrics": {"a": float("inf")}},
        {"metrics": {"a": 2**63}},
        {"metrics": {"a": [1, 2, -(2**63)]}},
        {"metrics": {"a": {"b\0": 1}}},
        {"metrics": {"a": [["\0"]]}},
        {"metrics": {"a": {1, 2}}},
        {"metrics": {1: 1, "b": 2}},
        {"metrics": {"a": nested(20)}},
        {"metrics": {"a": "x" * MAX_HEADER_BYTES}},
    ],
)
def test_a_header_out_of_range_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidDelta):
        write_header(dataclasses.replace(HEADER, **changes))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"density":0.001', b'"density":1e-3'),
        (b'"density":0.001', b'"density":1e999'),
        (b'"density":0.001', b'"density":NaN'),
        (b'"density":0.001', b'"density":1'),
        (b'"density":0.001', b'"density":' + b"1" * 5000),
        (b'"density":0.001', b'"density": 0.001'),
        (b'"density":0.001', b'"density":0.001,"density":0.001'),
        (b'"density":0.001', b'"density":0.001,"depth":3'),
        (b'"base_name":"tiny",', b""),
        (b'"tiny"', b'"\\ud800"'),
        (b'"tiny"', b'"\\u0000"'),
        (b'"tiny"', b'"t\\u0069ny"'),
        (b'"tiny"', b'"\xff"'),
        (b'"tiny"', b"true"),
        (b'{"accuracy":0.5}', b'{"accuracy":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        (b'{"accuracy":0.5}', b'{"accuracy":' + b"9" * 20 + b"}"),
        (b'{"accuracy":0.5}', b'{"b":1,"a":2}'),
    ],
    ids=range(17),
)
def test_another_spelling_is_refused(good: bytes, bad: bytes) -> None:
    assert good in TEXT
    with pytest.raises(InvalidDelta):
        read_header(TEXT.replace(good, bad))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"3", b"null", b"{}", b"\xef\xbb\xbf" + TEXT, TEXT.decode().encode("utf-16")]
)
def test_what_is_no_header_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidDelta):
        read_header(text)


def test_the_confusion_of_a_thousand_classes_fits() -> None:
    rows = [[0] * 1000 for _ in range(1000)]
    metrics = {"confusion": {"zero_shot": rows, "adapted": rows}}
    assert read_header(write_header(dataclasses.replace(HEADER, metrics=metrics))).metrics == metrics


def test_keys_are_sorted_and_nothing_is_spaced() -> None:
    assert TEXT.startswith(b'{"base_fingerprint":"fff')
    assert list(json.loads(TEXT)) == sorted(json.loads(TEXT))
    assert b"\xe7\x8c\xab" in TEXT


@pytest.mark.parametrize("value", [b"[]", b"{}", b"1.5", b'"ab"'])
def test_a_hostile_header_takes_bounded_memory(value: bytes) -> None:
    text = TEXT.replace(b'{"accuracy":0.5}', b'{"a":[' + b",".join([value] * 100_000) + b"]}")
    tracemalloc.start()
    try:
        read_header(text)
        assert tracemalloc.get_traced_memory()[1] < 40 * len(text)
    finally:
        tracemalloc.stop()
