"""Image files on disk, named by their SHA-256, in one folder for each dataset or collection that owns them.

Owners share nothing, so deleting one is deleting its folder and can take nothing from another.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore

from saft_core.errors import NotFound

_OWNER = re.compile(r"[a-z]{2,4}_[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)

WRITERS = 8
"""A small file is mostly waited for: ten thousand one by one take minutes on a slow disk."""


class BlobStore:
    """Blobs below `root`. What `put` has returned from survives a crash of the process and of the machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, owner_id: str, sha256: str, data: bytes) -> None:
        """Write `data` whole or not at all; a blob that is there already is left alone.

        Raises NotFound when the owner was deleted at the same time.
        """
        path = self._path(owner_id, sha256)
        if path.exists():
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, data)
        except (FileNotFoundError, FileExistsError) as error:  # mkdir says "exists" of a folder that goes as it looks
            raise NotFound(f"{owner_id} was deleted in the meantime") from error

    @contextmanager
    def writing(self, owner_id: str) -> Iterator[Callable[[str, bytes], None]]:
        """Put many blobs at once: gives `save(sha256, data)`, and all are written when the block ends.

        At most 2 * WRITERS blobs wait in memory. Raises what the first write that failed raised, when the block ends.
        """
        room = BoundedSemaphore(2 * WRITERS)
        writes: list[Future[None]] = []
        with ThreadPoolExecutor(WRITERS) as pool:

            def save(sha256: str, data: bytes) -> None:
                room.acquire()
                writes.append(pool.submit(self.put, owner_id, sha256, data))
                writes[-1].add_done_callback(lambda _: room.release())

            yield save
        for write in writes:
            write.result()

    def has(self, owner_id: str, sha256: str) -> bool:
        """Whether the blob is there."""
        return self._path(owner_id, sha256).exists()

    def size(self, owner_id: str, sha256: str) -> int:
        """Bytes of the blob; 0 when it is not there."""
        try:
            return self._path(owner_id, sha256).stat().st_size
        except FileNotFoundError:
            return 0

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
        """Remove all blobs of an owner; nothing happens if it has none. What cannot be removed is named in the log."""
        folder = self._folder(owner_id)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            logger.warning("the folder %s cannot be removed; look at its permissions", folder)

    def owners(self) -> Iterator[tuple[str, float]]:
        """Each owner with a folder, and when that folder last changed, in seconds since the epoch.

        A folder that cannot be looked at is named in the log and left out.
        """
        try:
            folders = list(self._root.iterdir()) if self._root.exists() else []
        except OSError as error:
            logger.warning("the folder of images cannot be read: %s", error)
            return
        for folder in folders:
            if _OWNER.fullmatch(folder.name):
                try:
                    yield folder.name, folder.stat().st_mtime
                except OSError as error:
                    logger.warning("a folder of images cannot be looked at: %s", error)

    def _folder(self, owner_id: str) -> Path:
        if not _OWNER.fullmatch(owner_id):
            raise ValueError(f"not an owner id: {owner_id!r}")
        return self._root / owner_id

    def _path(self, owner_id: str, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"not a SHA-256: {sha256!r}")
        return self._folder(owner_id) / sha256


def _write(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="tmp-", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
