"""Files that visitors have dropped on the page, until they are used.

Each upload gets a name that nobody can guess and that only its sender's key opens. The files have no path: those of
one request share a temporary file that is unlinked from the start, so that nothing is left, however the process ends.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO, Protocol

from saft_client import ApiError
from ui.visitors import Visitor

MAX_REQUESTS_HELD = 512
"""Requests whose files are held at a time, of all visitors: each costs a descriptor."""
MAX_REQUESTS_OF_ONE = 32
"""The same of one key; the oldest makes room."""


class File(Protocol):
    """A part of a multipart body."""

    @property
    def filename(self) -> str:
        """As sent, folders and all."""

    @property
    def size(self) -> int:
        """In bytes."""

    def open(self) -> BinaryIO:
        """A reader with a position of its own."""


class Parser(Protocol):
    """Takes a multipart body apart; its errors are the service's own."""

    @property
    def items(self) -> Sequence[tuple[str, Any]]:
        """(field, text or File) in the order of the body."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """The body has ended."""


ParserOf = Callable[[str, IO[bytes], int], Parser]
"""Makes a parser from Content-Type, the file to write contents to, and how many files there may be."""


@dataclass(frozen=True)
class UploadLimits:
    """What the page holds.

    request_bytes: one request, and so one file. tenant_bytes, total_bytes: all files held of one key, and of all.
    files: in one request. keep_seconds: how long a file stays that nobody uses.
    """

    request_bytes: int
    tenant_bytes: int
    total_bytes: int
    files: int
    keep_seconds: float


@dataclass(eq=False)
class _Spool:
    """The temporary file of one request; closed with the last of its holders."""

    owner: str
    file: IO[bytes]
    size: int = 0
    holders: int = 0


@dataclass(frozen=True)
class Upload:
    """One file that a visitor has sent. `filename` has no folders."""

    file: File
    spool: _Spool = field(repr=False)

    @property
    def filename(self) -> str:
        """The last part of the name it was sent with."""
        return PurePosixPath(self.file.filename.replace("\\", "/")).name or "upload"

    def open(self) -> BinaryIO:
        """A reader with a position of its own; close it before the upload is let go."""
        return self.file.open()

    def read(self) -> bytes:
        """All bytes."""
        with self.open() as reader:
            return reader.read()


class Uploads:
    """All uploads held. Belongs to the event loop's thread, but for reading from the files."""

    def __init__(self, parser: ParserOf, limits: UploadLimits) -> None:
        self._parser = parser
        self._limits = limits
        self._held: dict[str, Upload] = {}
        self._spools: list[_Spool] = []

    @property
    def bytes_held(self) -> int:
        """Of all visitors, with those that are still coming in."""
        return sum(spool.size for spool in self._spools)

    async def receive(self, visitor: Visitor, content_type: str, chunks: AsyncIterator[bytes]) -> list[str]:
        """Take in the files of a multipart body; returns their names here, in order.

        Raises ApiError where they are too large, and what the parser raises.
        """
        with self._spool(visitor.tag) as spool:
            parser = self._parser(content_type, spool.file, self._limits.files)
            async for chunk in chunks:
                self._grow(spool, len(chunk))
                await asyncio.to_thread(parser.feed, chunk)
            await asyncio.to_thread(parser.finish)
            return [self._hold(Upload(item, spool)) for _, item in parser.items if not isinstance(item, str)]

    def check(self, visitor: Visitor, name: str) -> Upload:
        """The upload of that name. Raises ApiError `no_upload` where the visitor has none."""
        upload = self._held.get(name)
        if upload is None or upload.spool.owner != visitor.tag:
            raise ApiError("no_upload", "This file is no longer here. Choose it again.", 404)
        return upload

    @contextmanager
    def lent(self, visitor: Visitor, name: str) -> Iterator[Upload]:
        """The upload of that name, which stays. Raises ApiError `no_upload`."""
        upload = self.check(visitor, name)
        with self._holding(upload.spool):
            yield upload

    async def read(self, visitor: Visitor, name: str) -> bytes:
        """The bytes of the upload of that name, which stays. Raises ApiError `no_upload`."""
        with self.lent(visitor, name) as upload:
            return await asyncio.to_thread(upload.read)

    @contextmanager
    def taken(self, visitor: Visitor, names: Sequence[str]) -> Iterator[list[Upload]]:
        """The uploads of these names: no longer held, and gone afterwards. Raises ApiError `no_upload`."""
        uploads = [self.check(visitor, name) for name in names]
        with ExitStack() as stack:
            for name, upload in zip(names, uploads, strict=True):
                stack.enter_context(self._holding(upload.spool))
                self._drop(name)
            yield uploads

    @contextmanager
    def _spool(self, owner: str) -> Iterator[_Spool]:
        """A temporary file for one request; gone after it if it holds no upload then."""
        self._make_room(owner)
        spool = _Spool(owner, tempfile.TemporaryFile())  # noqa: SIM115 (closed by its last holder)
        self._spools.append(spool)
        with self._holding(spool):
            yield spool

    @contextmanager
    def _holding(self, spool: _Spool) -> Iterator[None]:
        spool.holders += 1
        try:
            yield
        finally:
            self._release(spool)

    def _release(self, spool: _Spool) -> None:
        spool.holders -= 1
        if not spool.holders:
            spool.file.close()
            self._spools.remove(spool)

    def _make_room(self, owner: str) -> None:
        """Let go of what the owner sent first. Raises ApiError `busy` where there is no room all the same."""
        if self._count(owner) >= MAX_REQUESTS_OF_ONE:
            oldest = next((upload.spool for upload in self._held.values() if upload.spool.owner == owner), None)
            for name in [name for name, upload in self._held.items() if upload.spool is oldest]:
                self._drop(name)
        if self._count(owner) >= MAX_REQUESTS_OF_ONE or len(self._spools) >= MAX_REQUESTS_HELD:
            raise ApiError("busy", "The page holds as many files as it can. Try again in a moment.", 503)

    def _count(self, owner: str) -> int:
        return sum(spool.owner == owner for spool in self._spools)

    def _grow(self, spool: _Spool, number: int) -> None:
        spool.size += number
        of_owner = sum(other.size for other in self._spools if other.owner == spool.owner)
        for found, limit, name in (
            (spool.size, self._limits.request_bytes, "max_upload_bytes"),
            (of_owner, self._limits.tenant_bytes, "max_page_tenant_bytes"),
            (self.bytes_held, self._limits.total_bytes, "max_page_total_bytes"),
        ):
            if found > limit:
                detail = f"These files are too large: the page holds at most {limit:,} bytes ({name})."
                raise ApiError("too_large", detail, 413)

    def _hold(self, upload: Upload) -> str:
        name = secrets.token_urlsafe(24)
        self._held[name] = upload
        upload.spool.holders += 1
        asyncio.get_running_loop().call_later(self._limits.keep_seconds, self._drop, name)
        return name

    def _drop(self, name: str) -> None:
        upload = self._held.pop(name, None)
        if upload is not None:
            self._release(upload.spool)
