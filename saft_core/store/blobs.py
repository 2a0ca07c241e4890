"""Image files on disk, named by their SHA-256, in one folder for each tenant.

A tenant's images lie in `images/<tenant>`. Versions before had a folder for each dataset and collection, right below
the root: a file is looked for there as long as it has not been adopted (saft_core/store/adoption.py), and such a folder
goes with its dataset or collection. The version after this one drops them. Theirs clear what looks like a folder of
their own and has no dataset or collection: so ours have a folder around them.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore

from saft_core.errors import NotFound

_OWNER = re.compile(r"[a-z]{2,4}_[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)

WRITERS = 8
"""A small file is mostly waited for: ten thousand one by one take minutes on a slow disk."""


@dataclass(frozen=True)
class ImageFile:
    """Which file: the tenant's by its hash. `before`: the dataset or collection in whose folder it may still lie."""

    tenant_id: str
    sha256: str
    before: str


class BlobStore:
    """Blobs below `root`. What `put` has returned from survives a crash of the process and of the machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._images = root / "images"
        self._incoming = root / "incoming"

    def put(self, tenant_id: str, sha256: str, data: bytes) -> None:
        """Write `data` whole or not at all; a blob that is there already is left alone.

        Raises NotFound when the tenant was removed at the same time.
        """
        self._put(tenant_id, sha256, data)
        self._sync(tenant_id)

    @contextmanager
    def writing(self, tenant_id: str) -> Iterator[Callable[[str, bytes], None]]:
        """Put many blobs at once: gives `save(sha256, data)`, and all are written when the block ends.

        At most 2 * WRITERS blobs wait in memory. Raises what the first write that failed raised, when the block ends.
        """
        room = BoundedSemaphore(2 * WRITERS)
        writes: list[Future[None]] = []
        with ThreadPoolExecutor(WRITERS) as pool:

            def save(sha256: str, data: bytes) -> None:
                room.acquire()
                writes.append(pool.submit(self._put, tenant_id, sha256, data))
                writes[-1].add_done_callback(lambda _: room.release())

            yield save
        for write in writes:
            write.result()
        if writes:  # also for those that were there: whoever wrote them may not have come so far
            self._sync(tenant_id)

    def adopt(self, files: Sequence[ImageFile]) -> list[int]:
        """Give a tenant's folder files that lie in folders of a version before; the bytes of each, 0 if it is nowhere.

        Both stay, as one file where the file system can link, until that folder goes.
        """
        sizes = [self._adopt(file) for file in files]
        if any(sizes):
            self._sync(files[0].tenant_id)
        return sizes

    def _adopt(self, file: ImageFile) -> int:
        old, new = self._before(file), self._path(file.tenant_id, file.sha256)
        try:
            if not new.exists():
                self._link(old, new)
            return new.stat().st_size
        except FileNotFoundError:
            logger.warning("the file %s of %s is gone", file.sha256, file.before)
            return 0

    def has(self, tenant_id: str, sha256: str) -> bool:
        """Whether the tenant's folder has the blob."""
        return self._path(tenant_id, sha256).exists()

    def size(self, file: ImageFile) -> int:
        """Bytes of the blob; 0 when it is not there."""
        for path in self._places(file):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def get(self, file: ImageFile) -> bytes:
        """The bytes. Raises NotFound when they are not there."""
        for path in self._places(file):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                continue
        raise NotFound(f"the file {file.sha256} of {file.before} is gone")

    def delete(self, tenant_id: str, sha256: str) -> None:
        """Remove one blob; nothing happens if it is not there."""
        self._path(tenant_id, sha256).unlink(missing_ok=True)

    def delete_tenant(self, tenant_id: str) -> None:
        """Remove all blobs of a tenant; nothing happens if it has none. What cannot be removed is named in the log."""
        _remove(_checked(self._images, tenant_id))

    def delete_before(self, owner_id: str, sha256: str | None = None) -> None:
        """Remove the folder that a version before had for a dataset or collection, or one file of it."""
        folder = _checked(self._root, owner_id)
        if sha256 is None:
            _remove(folder)
        else:
            (folder / _hash(sha256)).unlink(missing_ok=True)

    def tenants(self) -> Iterator[tuple[str, float]]:
        """Each tenant with a folder, and when that folder last changed, in seconds since the epoch.

        A folder that cannot be looked at is named in the log and left out.
        """
        return ((path.name, changed) for path, changed in _listed(self._images) if _OWNER.fullmatch(path.name))

    def owners_before(self) -> Iterator[tuple[str, float]]:
        """The same of the datasets and collections that have a folder of a version before."""
        return ((path.name, changed) for path, changed in _listed(self._root) if _OWNER.fullmatch(path.name))

    def clear_incoming(self, before: float) -> None:
        """Remove the files that were being written when a process died, if they changed before that time."""
        for path, changed in _listed(self._incoming):
            if changed < before:
                path.unlink(missing_ok=True)

    def _put(self, tenant_id: str, sha256: str, data: bytes) -> None:
        """What `put` does, but for making the new name durable."""
        path = self._path(tenant_id, sha256)
        if path.exists():
            return
        try:
            self._write(path, data)
        except (FileNotFoundError, FileExistsError) as error:  # mkdir says "exists" of a folder that goes as it looks
            raise NotFound(f"{tenant_id} was removed in the meantime") from error

    def _write(self, path: Path, data: bytes) -> None:
        for folder in (path.parent, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._incoming, delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def _link(self, old: Path, new: Path) -> None:
        """Raises FileNotFoundError when there is no old one."""
        new.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(old, new)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links, a file with too many, or an upload that was quicker
            self._write(new, old.read_bytes())

    def _sync(self, tenant_id: str) -> None:
        folder = _checked(self._images, tenant_id)
        try:
            sync_folder(folder)
        except FileNotFoundError as error:
            raise NotFound(f"{tenant_id} was removed in the meantime") from error

    def _places(self, file: ImageFile) -> tuple[Path, Path]:
        return self._path(file.tenant_id, file.sha256), self._before(file)

    def _path(self, tenant_id: str, sha256: str) -> Path:
        return _checked(self._images, tenant_id) / _hash(sha256)

    def _before(self, file: ImageFile) -> Path:
        return _checked(self._root, file.before) / _hash(file.sha256)


def _checked(root: Path, owner_id: str) -> Path:
    if not _OWNER.fullmatch(owner_id):
        raise ValueError(f"not an owner id: {owner_id!r}")
    return root / owner_id


def _hash(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"not a SHA-256: {sha256!r}")
    return sha256


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        logger.warning("the folder %s cannot be removed; look at its permissions", folder)


def _listed(folder: Path) -> Iterator[tuple[Path, float]]:
    """What lies in a folder, and when it changed. What cannot be looked at is named in the log."""
    try:
        found = list(folder.iterdir()) if folder.exists() else []
    except OSError as error:
        logger.warning("the folder of images cannot be read: %s", error)
        return
    for path in found:
        try:
            yield path, path.stat().st_mtime
        except OSError as error:
            logger.warning("a folder of images cannot be looked at: %s", error)


def sync_folder(folder: Path) -> None:
    """Make new names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
