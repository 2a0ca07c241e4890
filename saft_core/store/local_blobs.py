"""The blob store in a folder of a file system: `images/<tenant id>/<SHA-256>`.

Earlier versions had a folder for each dataset and collection, directly below the root. A file is looked for there until
it is adopted (adoption.py), and such a folder is deleted with its dataset or collection. The next version drops all of
that. (Earlier versions delete a folder below the root that has no dataset or collection, so the tenants' folders are
in one of their own.)
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
from pathlib import Path
from threading import BoundedSemaphore

from saft_core.errors import NotFound
from saft_core.store.blobs import BlobStore, ImageFile

_OWNER = re.compile(r"[a-z]{2,4}_[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)

WRITERS = 8
"""Threads of one `writing`: a small file is mostly waited for, and ten thousand one by one take minutes."""


class LocalBlobStore(BlobStore):
    """A `BlobStore` of files below `root`; processes on several machines may share the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._images = root / "images"
        self._incoming = root / "incoming"

    def put(self, tenant_id: str, sha256: str, data: bytes) -> None:
        self._put(tenant_id, sha256, data)
        self._sync(tenant_id)

    @contextmanager
    def writing(self, tenant_id: str) -> Iterator[Callable[[str, bytes], None]]:
        """As `BlobStore.writing`; at most 2 * WRITERS blobs wait in memory."""
        waiting = BoundedSemaphore(2 * WRITERS)
        writes: list[Future[None]] = []
        with ThreadPoolExecutor(WRITERS) as pool:

            def save(sha256: str, data: bytes) -> None:
                waiting.acquire()
                writes.append(pool.submit(self._put, tenant_id, sha256, data))
                writes[-1].add_done_callback(lambda _: waiting.release())

            yield save
        for write in writes:
            write.result()
        if writes:  # also for those that were there: whoever wrote them may not have come so far
            self._sync(tenant_id)

    def adopt(self, files: Sequence[ImageFile]) -> list[int]:
        """As `BlobStore.adopt`. The old file stays, as a hard link where the file system has them."""
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
        return self._path(tenant_id, sha256).exists()

    def size(self, file: ImageFile) -> int:
        for path in self._places(file):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def get(self, file: ImageFile) -> bytes:
        for path in self._places(file):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                continue
        raise NotFound(f"the file {file.sha256} of {file.before} is gone")

    def delete(self, tenant_id: str, sha256: str) -> None:
        self._path(tenant_id, sha256).unlink(missing_ok=True)

    def delete_tenant(self, tenant_id: str) -> None:
        _remove(_checked(self._images, tenant_id))

    def delete_before(self, owner_id: str, sha256: str | None = None) -> None:
        folder = _checked(self._root, owner_id)
        if sha256 is None:
            _remove(folder)
        else:
            (folder / _hash(sha256)).unlink(missing_ok=True)

    def tenants(self) -> Iterator[tuple[str, float]]:
        """As `BlobStore.tenants`. A folder that cannot be read is named in the log and left out."""
        return ((path.name, changed) for path, changed in _listed(self._images) if _OWNER.fullmatch(path.name))

    def owners_before(self) -> Iterator[tuple[str, float]]:
        return ((path.name, changed) for path, changed in _listed(self._root) if _OWNER.fullmatch(path.name))

    def clear_incoming(self, before: float) -> None:
        for path, changed in _listed(self._incoming):
            if changed < before:
                path.unlink(missing_ok=True)

    def _put(self, tenant_id: str, sha256: str, data: bytes) -> None:
        """As `put`, without making the new name durable."""
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
    """The entries of a folder with the time of their last change. What cannot be read is named in the log."""
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
    """Make new names in the folder durable (fsync of the folder)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
