"""Readings of a name that is not in UTF-8, in likely code pages, for a person to recognise the right one.

Libraries that detect encodings guess one from the statistics of long texts, which a file's name is not.
"""

from __future__ import annotations

import unicodedata

from saft_core.data.paths import printable

_CODE_PAGES = {
    "Shift-JIS": "cp932",
    "GBK": "gbk",
    "Big5": "cp950",
    "EUC-KR": "cp949",
    "Windows-1251": "cp1251",
    "code page 866": "cp866",
    "Windows-1252": "cp1252",
    "code page 850": "cp850",
}
_MOST_READINGS, _MOST_CHARACTERS = 3, 60


def readings(name: bytes) -> str:
    """The likely code pages of a name and what it says in them, as words to follow 'is not in UTF-8'."""
    found = {page: text for page, codec in _CODE_PAGES.items() if (text := _decoded(name, codec)) is not None}
    likely = sorted(found, key=lambda page: _scripts(found[page]))[:_MOST_READINGS]
    return "".join(f", in {page} it reads '{printable(found[page][:_MOST_CHARACTERS])}'" for page in likely)


def _decoded(name: bytes, codec: str) -> str | None:
    """The name if all of it makes sense in this code page: whatever is not ASCII is a letter."""
    try:
        text = name.decode(codec)
    except UnicodeDecodeError:
        return None
    is_word = all(character.isascii() or unicodedata.category(character)[0] in "LM" for character in text)
    return text if is_word else None


def _scripts(text: str) -> int:
    """How many scripts a text mixes: the wrong code page mostly mixes more of them."""
    return len({unicodedata.name(character, "").split(" ")[0] for character in text if character.isalpha()})
