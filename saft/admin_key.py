"""The admin key: from the settings, or from a file in the data folder that the first start makes.

A key in a file can be replaced while the service runs: each process reads the file again.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from saft.files import written_aside
from saft_core.errors import Unavailable
from saft_core.settings import Settings

LOOK_SECONDS = 0.5
"""How long a process uses a key before it reads the file again."""

logger = logging.getLogger(__name__)


def admin_key(settings: Settings) -> tuple[str, bool]:
    """The admin key, and whether it was made by this call.

    Raises Unavailable when it has fewer than `limits.min_admin_key_characters`: anybody could guess it.
    """
    if settings.admin_key is not None:
        return _checked(settings.admin_key.get_secret_value(), settings, "in SAFT_ADMIN_KEY", "set it to"), False
    path = key_file(settings)
    is_new = not path.exists() and _make(path)
    return _checked(path.read_text(), settings, f"in {path}", "delete the file, and the next start makes"), is_new


def current_admin_key(settings: Settings) -> Callable[[], str]:
    """A function that gives the current admin key. Raises as `admin_key` does."""
    key, _ = admin_key(settings)
    return (lambda: key) if settings.admin_key is not None else KeyInFile(key_file(settings))


def rotate(settings: Settings) -> str:
    """Replace the key in the file by a new one, and return it.

    Raises Unavailable when the key is not in a file.
    """
    if settings.admin_key is not None:
        raise Unavailable(
            "the admin key is in SAFT_ADMIN_KEY; give that another value and start the API processes again, one after"
            " the other, or leave it out and the key is in a file, which can be changed while they run"
        )
    path, key = key_file(settings), secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path, key) as aside:
        aside.replace(path)
    return key


def key_file(settings: Settings) -> Path:
    """The file of the admin key where the settings contain none."""
    return settings.admin_key_file or settings.data_dir / "admin-key"


class KeyInFile:
    """Called, it gives the key in a file, read every LOOK_SECONDS; an empty text if the file cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._key, self._until = "", 0.0

    def __call__(self) -> str:  # noqa: D102
        with self._lock:
            if time.monotonic() >= self._until:
                self._key = self._read()
                self._until = time.monotonic() + LOOK_SECONDS
            return self._key

    def _read(self) -> str:
        try:
            return self._path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            logger.error("nobody is the admin as long as the file of the admin key cannot be read: %s", error)
            return ""


def _make(path: Path) -> bool:
    """Link a complete file into place; False if another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path, secrets.token_urlsafe(32)) as aside:
        try:
            os.link(aside, path)
        except FileExistsError:
            return False
    return True


def _checked(key: str, settings: Settings, place: str, advice: str) -> str:
    key = key.strip()
    if len(key) < (least := settings.limits.min_admin_key_characters):
        raise Unavailable(
            f"the admin key {place} has {len(key)} characters, at least {least} are needed"
            f" (SAFT_MIN_ADMIN_KEY_CHARACTERS); {advice} a longer random one"
        )
    return key
