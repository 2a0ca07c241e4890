"""Image files on disk, named by their SHA-256, in one folder for each dataset or collection that owns them.

Owners share nothing, so deleting one is deleting its folder and can take nothing from another.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from saft_core.errors import NotFound

_OWNER = re.compile(r"[a-z]{2,4}_[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Blobs below `root`. What `put` has returned from survives a crash of the process and of the machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, owner_id: str, sha256: str, data: bytes) -> None:
        """Write `data` whole or not at all; a blob that is there already is left alone."""
        path = self._path(owner_id, sha256)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix="tmp-", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
        _sync_folder(path.parent)

    def get(self, owner_id: str, sha256: str) -> bytes:
        """The bytes. Raises NotFound when they are not there."""
        try:
            return self._path(owner_id, sha256).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"the file of {owner_id} is gone") from error

    def delete(self, owner_id: str, sha256: str) -> None:
        """Remove one blob; nothing happens if it is not there."""
        self._path(owner_id, sha256).unlink(missing_ok=True)

    def delete_owner(self, owner_id: str) -> None:
        """Remove all blobs of an owner; nothing happens if it has none."""
        shutil.rmtree(self._folder(owner_id), ignore_errors=True)

    def owners(self) -> Iterator[tuple[str, float]]:
        """Each owner with a folder, and when that folder last changed, in seconds since the epoch."""
        if not self._root.is_dir():
            return
        for folder in self._root.iterdir():
            if _OWNER.fullmatch(folder.name):
                yield folder.name, folder.stat().st_mtime

    def _folder(self, owner_id: str) -> Path:
        if not _OWNER.fullmatch(owner_id):
            raise ValueError(f"not an owner id: {owner_id!r}")
        return self._root / owner_id

    def _path(self, owner_id: str, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"not a SHA-256: {sha256!r}")
        return self._folder(owner_id) / sha256


def _sync_folder(folder: Path) -> None:
    """Make the new name durable too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
