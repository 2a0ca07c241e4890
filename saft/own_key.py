"""The key of this machine's own tenant, which lets whoever started the service use the page without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from saft.files import written_aside


@dataclass(frozen=True)
class KeyFile:
    """A key in a file that only we may read."""

    path: Path

    def load(self) -> str:
        """The key; an empty text where there is none."""
        try:
            return self.path.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def save(self, key: str) -> None:
        """Put a key in the place of the one that is there."""
        with written_aside(self.path, key) as aside:
            aside.replace(self.path)
