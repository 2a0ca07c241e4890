from __future__ import annotations

from typing import Any

import pytest

from saft_client import Adapter
from ui.tabs.code import search_text

ADAPTER: dict[str, Any] = {
    "id": "ad_1",
    "name": "icons",
    "job_id": None,
    "classes": ["cat", "dog"],
    "template": "an icon of {}",
    "density": 0.001,
    "nnz": 3,
    "delta_bytes": 9,
    "strength": 1.0,
    "base": "tiny",
    "metrics": {},
    "version": 1,
    "published": True,
    "base_fingerprint": "f",
    "created_at": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize("template", ["an icon of {}", ["an icon of {}", "the {}"]])
def test_the_search_text_is_a_prompt_of_the_adapter(template: str | list[str]) -> None:
    assert search_text(Adapter.read(ADAPTER | {"template": template})) == "an icon of cat"


@pytest.mark.parametrize(
    "prompts", [["an icon of a cat.", "an icon of a dog."], [["an icon of a cat.", "the cat"], []]]
)
def test_it_is_the_prompt_that_was_trained_with(prompts: list[Any]) -> None:
    assert search_text(Adapter.read(ADAPTER | {"metrics": {"prompts": prompts}})) == "an icon of a cat."


@pytest.mark.parametrize("prompts", [None, [], [[]], {"cat": "a cat"}, 5])
def test_what_an_imported_adapter_says_of_its_prompts_may_be_anything(prompts: Any) -> None:
    assert search_text(Adapter.read(ADAPTER | {"metrics": {"prompts": prompts}})) == "an icon of cat"


def test_without_classes_it_is_a_photo() -> None:
    assert search_text(None) == search_text(Adapter.read(ADAPTER | {"classes": []})) == "a photo of a cat"
