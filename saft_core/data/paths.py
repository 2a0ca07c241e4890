"""Names of uploaded files: which are safe, which are clutter, and how to show the others. No file system is touched.

A path is relative, its parts joined by `/`, in Unicode's NFC form. Windows joins them by backslashes, and some of its
programs write these into archives: both are read as separators.
"""

from __future__ import annotations

import re
import unicodedata

from saft_core.errors import InvalidInput

MAX_PATH_CHARACTERS = 1_024

_SEPARATORS = re.compile(r"[/\\]")
_DRIVE = re.compile(r"[A-Za-z]:")
_CLUTTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
# Besides control characters: lone surrogates, line separators, and the overrides that make a name read backwards.
_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Soft hyphen, fillers, zero-width space, direction marks, invisible operators, byte order mark: no width, no meaning.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2060-\u2064\u206a-\u206f\u3164\ufeff\uffa0]"
)
_JOINERS = "\u200c\u200d"  # within emoji and several scripts they do have a meaning


def normalise_path(name: str) -> str:
    """The safe form of an uploaded name: NFC, without empty and `.` parts.

    Raises InvalidInput with code `control_characters`, `unsafe_path` (absolute, `..`, drive letter, no name at all) or
    `path_too_long`. A path that was normalised comes out of a second call unchanged.
    """
    path = unicodedata.normalize("NFC", name)
    if has_control(path):
        raise InvalidInput("The name has control characters in it. Rename the file.", code="control_characters")
    parts = _parts(path)
    flaw = _unsafe(path, parts)
    if flaw:
        raise InvalidInput(f"The path {flaw}. Use paths such as cat/1.jpg.", code="unsafe_path")
    path = "/".join(parts)
    if len(path) > MAX_PATH_CHARACTERS:
        raise InvalidInput(
            f"The path is longer than {MAX_PATH_CHARACTERS} characters. Shorten it.", code="path_too_long"
        )
    return path


def _unsafe(path: str, parts: list[str]) -> str | None:
    """What makes a path unsafe, in words that follow 'The path'; None if nothing does."""
    if _SEPARATORS.match(path):
        return "is absolute"
    if not parts:
        return "names no file"
    if ".." in parts:
        return "leads out of its folder with '..'"
    if _DRIVE.match(parts[0]):
        return "starts with a drive letter"
    return None


def _parts(path: str) -> list[str]:
    return [part for part in _SEPARATORS.split(path) if part not in ("", ".")]


def is_control(character: str) -> bool:
    """Whether a character is invisible and changes how the text around it is shown or stored."""
    return unicodedata.category(character) in _CONTROL_CATEGORIES or character in _DIRECTION_OVERRIDES


def has_control(text: str) -> bool:
    """Whether there is such a character in a text."""
    return not text.isprintable() and any(map(is_control, text))  # the first is quick, and true of no control character


def is_clutter(path: str) -> bool:
    """Whether an operating system left this file there by itself: nobody uploaded it on purpose.

    True for dot-files, `__MACOSX`, `Thumbs.db` and `desktop.ini`, for everything in such a folder, and for the root
    (`/`, `./`), which some archives list.
    """
    parts = _parts(path)
    return not parts or any(_is_clutter_name(part) for part in parts)


def _is_clutter_name(part: str) -> bool:
    return part.lower() in _CLUTTER or (part.startswith(".") and not part.startswith(".."))


def visible(name: str) -> str:
    """What is to be seen of a name: without blanks and joiners around it, and without characters that show nothing."""
    return _INVISIBLE.sub("", name).strip().strip(_JOINERS).strip()


def printable(name: str) -> str:
    """A name fit to be shown and stored: control characters as escapes, cut where it gets too long."""
    if not has_control(name):
        shown = name
    else:
        shown = "".join(ascii(character)[1:-1] if is_control(character) else character for character in name)
    return shown if len(shown) <= MAX_PATH_CHARACTERS else shown[: MAX_PATH_CHARACTERS - 1] + "…"
