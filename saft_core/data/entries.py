"""The items of an upload before their contents are read: files, folders, and files that were rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from saft_core.data.paths import printable
from saft_core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Entry:
    """One uploaded file. `read` fetches its bytes and may raise InvalidInput, which turns this one file away."""

    path: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that the upload names, with or without files in it."""

    path: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file or folder that was not taken: which one, a stable code, and why in words."""

    path: str
    code: str
    reason: str

    @classmethod
    def of(cls, path: str, error: InvalidInput) -> Rejection:
        """The rejection that an error about one file amounts to; the path is made fit to show and to store."""
        return cls(printable(path), error.error_code, error.message)


Item: TypeAlias = Entry | Folder | Rejection
