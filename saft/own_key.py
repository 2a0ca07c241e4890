"""The key of this machine's own tenant, with which the page signs in whoever started the service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from saft.files import written_aside


@dataclass(frozen=True)
class KeyFile:
    """A key in a file that only this user may read."""

    path: Path

    def load(self) -> str:
        """The key; an empty text without a file that can be read."""
        try:
            return self.path.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def save(self, key: str) -> None:
        """Replace the key in the file."""
        with written_aside(self.path, key) as aside:
            aside.replace(self.path)
