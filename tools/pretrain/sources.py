"""Reads icon packages: which sets are used, under which licence, and which concept every icon shows.

The same thing is drawn in many sets under slightly different names, so icons are tied together by *concept*:
the emoji's code points where the name or the package says which emoji it is, otherwise the cleaned name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ALLOWED_LICENCES = frozenset({"MIT", "ISC", "Apache-2.0", "CC0-1.0", "CC-BY-3.0", "CC-BY-4.0"})

EMOJI_SETS = (
    "noto",
    "noto-v1",
    "fluent-emoji",
    "fluent-emoji-flat",
    "fluent-emoji-high-contrast",
    "emojione",
    "emojione-monotone",
    "streamline-emojis",
)
"""Sets that draw the Unicode emoji: their names are looked up in the emoji tables."""

ICON_SETS = (
    "streamline-freehand-color",
    "streamline-kameleon-color",
    "streamline-plump-color",
    "streamline-stickies-color",
    "streamline-ultimate-color",
    "flat-color-icons",
    "fluent-color",
    "meteocons",
    "game-icons",
    "circle-flags",
)
"""Sets with a vocabulary of their own: only an exact name match ties an icon to an emoji concept."""

HELD_OUT_SETS = ("twemoji", "fxemoji")
"""Never trained on: the style of the samples and the style they shift to."""

MONOCHROME_SETS = frozenset({"emojione-monotone", "fluent-emoji-high-contrast", "game-icons"})

HELD_OUT_CONCEPT_PERCENT = 8

_SKIN_TONES = frozenset({"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"})
_SKIN_NAME = re.compile(r"skin-tone|-(light|medium-light|medium|medium-dark|dark)(-\d+)?$")
_NAME_NOISE = re.compile(r"-(\d+|flat|duo|fill|alternate|alt)$")


@dataclass(frozen=True)
class Emoji:
    """One emoji of the Unicode tables, with the words people use for it."""

    code: str
    label: str
    subgroup: str
    keywords: tuple[str, ...]


@dataclass(frozen=True)
class Icon:
    """One picture of one set, not yet rendered."""

    set_name: str
    name: str
    concept: str
    emoji: Emoji | None
    svg: str = field(repr=False)


@dataclass(frozen=True)
class EmojiTable:
    """Every emoji by code, and the way from any spelling of its name to it."""

    by_code: Mapping[str, Emoji]
    by_label: Mapping[str, str]
    by_alias: Mapping[str, str]

    def find(self, name: str, *, exact: bool = False) -> Emoji | None:
        """The emoji that a name means; `exact` asks for the official label and nothing looser."""
        key = squeeze(name)
        code = self.by_label.get(key) or (None if exact else self.by_alias.get(key))
        return self.by_code.get(code) if code else None


def squeeze(name: str) -> str:
    """Letters and digits only, so that `hot-beverage`, `hot_beverage` and `Hotbeverage` are one key."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("flag-for-", "flag-"))


def normal_code(code: str) -> str:
    """Code points in upper case without variation selectors, which packages write or leave out at will."""
    return "-".join(part for part in code.upper().split("-") if part != "FE0F")


def held_out(concept: str) -> bool:
    """Whether a concept is kept from training in every style; a hash, so that a re-run agrees for ever."""
    digest = hashlib.sha256(concept.encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_CONCEPT_PERCENT


def clean_name(name: str) -> str:
    """An icon's name as words: without size numbers and style suffixes."""
    previous = ""
    while previous != name:
        previous, name = name, _NAME_NOISE.sub("", name)
    return name.replace("-", " ").replace("_", " ").strip()


def load_emoji(packages: Path) -> EmojiTable:
    """Builds the emoji table from the two emoji word packages and the sets that publish their code points."""
    records = _json(packages / "emojibase-data/en/data.json")
    subgroups = _json(packages / "emojibase-data/meta/groups.json")["subgroups"]
    extra = {
        normal_code("-".join(f"{ord(c):X}" for c in char)): words
        for char, words in _json(packages / "emojilib/dist/emoji-en-US.json").items()
    }
    by_code = {}
    for record in records:
        if "subgroup" in record:
            code = normal_code(record["hexcode"])
            words = [*record.get("tags", []), *extra.get(code, [])]
            by_code[code] = Emoji(code, _spoken(record["label"]), subgroups[str(record["subgroup"])], _keywords(words))
    by_label = {squeeze(record["label"]): normal_code(record["hexcode"]) for record in records}
    return EmojiTable(by_code, by_label, _aliases(packages, by_code))


def _spoken(label: str) -> str:
    """A label as it is said: `flag: Chile` becomes `flag of Chile`."""
    return label.replace("flag: ", "flag of ").replace("keycap: ", "key ").replace(":", "").replace("’", "'")


def _keywords(words: list[str]) -> tuple[str, ...]:
    cleaned = (word.replace("_", " ").strip().lower() for word in words)
    return tuple(dict.fromkeys(word for word in cleaned if re.fullmatch(r"[a-z][a-z' -]{1,30}", word)))


def _aliases(packages: Path, by_code: Mapping[str, Emoji]) -> dict[str, str]:
    """Looser names, the most trustworthy written last so that they win."""
    aliases: dict[str, str] = {}
    for provider in ("joypixels", "iamcal", "github", "emojibase"):
        path = packages / f"emojibase-data/en/shortcodes/{provider}.json"
        for code, names in (_json(path) if path.exists() else {}).items():
            for name in [names] if isinstance(names, str) else names:
                aliases[squeeze(name)] = normal_code(code)
    for code, name in _json(packages / "emojibase-data/meta/unicode-names.json").items():
        aliases[squeeze(name)] = normal_code(code)
    for set_name in (*EMOJI_SETS, *HELD_OUT_SETS):
        for code, name in _json(packages / f"@iconify-json/{set_name}/chars.json").items():
            aliases[squeeze(name)] = normal_code(code)
    return {name: code for name, code in aliases.items() if code in by_code}


def read_set(packages: Path, set_name: str, table: EmojiTable) -> Iterator[Icon]:
    """The icons of one set, without skin tones and without the same drawing in several sizes."""
    folder = packages / "@iconify-json" / set_name
    check_licence(set_name, _json(folder / "info.json"))
    data = _json(folder / "icons.json")
    codes = {name: normal_code(code) for code, name in _json(folder / "chars.json").items()}
    seen: set[str] = set()
    for name in sorted(data["icons"]):
        icon = data["icons"][name]
        if icon.get("hidden") or _is_variant(name, codes.get(name, "")):
            continue
        if set_name == "circle-flags":
            codes[name] = _country_code(name)
        stem = re.sub(r"-\d+$", "", name) if set_name == "fluent-color" else name
        if stem in seen:
            continue
        seen.add(stem)
        yield _icon(set_name, name, codes.get(name), table, _svg(data, icon))


def check_licence(set_name: str, info: Mapping[str, Any]) -> str:
    """The set's licence, or an error: nothing without a permissive licence may reach the training data."""
    spdx = str(info["license"]["spdx"])
    if spdx not in ALLOWED_LICENCES:
        raise ValueError(f"{set_name} is under {spdx}, which is not one of {sorted(ALLOWED_LICENCES)}")
    return spdx


def _icon(set_name: str, name: str, code: str | None, table: EmojiTable, svg: str) -> Icon:
    words = clean_name(name)
    emoji = table.by_code.get(code) if code else None
    if emoji is None and set_name in ICON_SETS:
        emoji = table.find(words, exact=True)
    elif emoji is None:
        emoji = table.find(name) or table.find(words)
    return Icon(set_name, words, emoji.code if emoji else squeeze(words), emoji, svg)


def _is_variant(name: str, code: str) -> bool:
    return bool(_SKIN_TONES.intersection(code.split("-"))) or bool(_SKIN_NAME.search(name))


def _country_code(name: str) -> str:
    """`cl` as the two regional indicators of the flag emoji; other names are regions and languages."""
    return "-".join(f"{0x1F1E6 + ord(c) - ord('a'):X}" for c in name) if re.fullmatch("[a-z]{2}", name) else ""


def _svg(data: Mapping[str, Any], icon: Mapping[str, Any]) -> str:
    left, top = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", data.get("width", 16))
    height = icon.get("height", data.get("height", 16))
    box = f'viewBox="{left} {top} {width} {height}" width="{width}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box}>{icon["body"]}</svg>'
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
