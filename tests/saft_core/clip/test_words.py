from __future__ import annotations

from saft_core.clip.loading import load_base
from saft_core.clip.words import words_of
from saft_core.clip.zero_shot import fill
from tests.fixtures.models import make_base


def test_the_embedded_base_reads_nearly_all_of_them() -> None:
    words = words_of(load_base(""))
    assert 990 <= len(words) <= 1000
    assert {"goldfish", "acoustic guitar", "toilet paper"} <= set(words)


def test_what_is_too_long_or_reads_like_another_is_left_out() -> None:
    base = make_base("vit")
    words = words_of(base)
    assert "goldfish" in words
    assert "Mexican hairless dog (xoloitzcuintli)" not in words
    prompts = fill(base.defaults.template, words)
    assert len({tuple(row) for row in base.tokens(prompts).tolist()}) == len(words)
