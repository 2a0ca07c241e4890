"""The key that may create tenants: the one given, or one made at the first start and kept in the data folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from saft.files import written_aside
from saft_core.errors import Unavailable
from saft_core.settings import Settings


def admin_key(settings: Settings) -> tuple[str, bool]:
    """The admin key, and whether it was made just now.

    Raises Unavailable when it has fewer than `limits.min_admin_key_characters`: anybody could guess it.
    """
    if settings.admin_key is not None:
        return _checked(settings.admin_key.get_secret_value(), settings, "in SAFT_ADMIN_KEY", "set it to"), False
    path = key_file(settings)
    is_new = not path.exists() and _make(path)
    return _checked(path.read_text(), settings, f"in {path}", "delete the file, and the next start makes"), is_new


def key_file(settings: Settings) -> Path:
    """Where the key is kept that nobody gave."""
    return settings.data_dir / "admin-key"


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
