"""The folders of icon packages, small and written by hand, as npm would have installed them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SQUARE = '<rect width="16" height="16" fill="#ff0000"/>'
CAT, DOG, CHILE, COOK = "1F431", "1F436", "1F1E8-1F1F1", "1F468-200D-1F373"


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def record(code: str, label: str, subgroup: int, *tags: str) -> dict[str, object]:
    return {"hexcode": code, "label": label, "subgroup": subgroup, "tags": list(tags)}


def write_words(packages: Path, *more: dict[str, object]) -> None:
    """What is said of emoji: two animals, a flag and a man, and `more`."""
    records = [
        record(CAT, "cat face", 0, "Pet", "pet", "4 legs"),
        record(DOG, "dog face", 0),
        record(CHILE, "flag: Chile", 1),
        record(COOK, "man cook", 2),
        {"hexcode": "1F3FB", "label": "light skin tone"},  # of no subgroup: no emoji of its own
        *more,
    ]
    write(packages / "emojibase-data/en/data.json", records)
    groups = {"0": "animal-mammal", "1": "country-flag", "2": "person-role"}
    write(packages / "emojibase-data/meta/groups.json", {"subgroups": groups})
    write(packages / "emojibase-data/en/shortcodes/github.json", {CAT: ["kitty", "puss"], DOG: "pooch"})
    write(packages / "emojilib/dist/emoji-en-US.json", {"\N{CAT FACE}\ufe0f": ["meow", "house_cat"]})


def write_set(
    packages: Path,
    name: str,
    icons: Mapping[str, Mapping[str, Any]],
    codes: Mapping[str, str] | None = None,
    *,
    licence: str = "MIT",
) -> None:
    """A set of icons, of each what icons.json has; codes: icon names by the emoji that they draw."""
    folder = packages / "@iconify-json" / name
    write(folder / "info.json", {"license": {"spdx": licence}})
    write(folder / "icons.json", {"icons": icons, "height": 16})
    write(folder / "chars.json", codes or {})
