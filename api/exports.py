"""Exports: how many at once, where they lie meanwhile, and how they are sent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import anyio
import torch
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.concurrency.budget import Budget
from api.concurrency.threads import Threads
from api.disk import check_room
from saft_core.delta import SparseDelta
from saft_core.errors import DeadlinePassed, Unavailable
from saft_core.export import onnx, open_clip
from saft_core.export.description import VERSION, Description
from saft_core.export.weights import Merged, weights_bytes
from saft_core.serving.engine import Engine
from saft_core.settings import Settings

Form = Literal["open_clip", "onnx"]
PIECE_BYTES = 1 << 18
MEDIA_TYPES: Mapping[str, str] = {"open_clip": "application/zip", "onnx": "application/octet-stream"}
SUFFIXES: Mapping[str, str] = {"open_clip": "zip", "onnx": "onnx"}
ROOM: Mapping[str, int] = {"open_clip": 1, "onnx": 2}
"""Times the base's size that the files of an export take at their peak."""


@dataclass(frozen=True, eq=False)
class ExportRequest:
    """One export: what of which adapter, and until when, on `time.monotonic()`'s clock.

    load: gives the adapter's delta, when it is this order's turn.
    """

    form: Form
    adapter_id: str
    load: Callable[[], SparseDelta]
    describe: Callable[[], Description]
    strength: float
    deadline: float


class Exports:
    """One is made at a time, in a thread of its own; the others wait.

    A place is held from the question to the last byte: half of them at most by one tenant, unless he asks for one.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._places = Budget("export_requests", settings.export_requests, "places")
        self._threads = Threads("export", 1)
        self._closed = threading.Event()

    @property
    def under_way(self) -> int:
        """Slots that are taken."""
        return self._places.taken

    @asynccontextmanager
    async def place(self, tenant_id: str) -> AsyncIterator[Callable[[], None]]:
        """A place for as long as the context is open, or until the function it gives is called if that is taken along.

        Raises Busy.
        """
        await self._places.take(tenant_id, 1)
        try:
            yield lambda: self._places.give_back(tenant_id, 1)
        except BaseException:
            self._places.give_back(tenant_id, 1)
            raise

    async def made(self, order: ExportRequest, given_up: Callable[[], bool]) -> IO[bytes]:
        """The file, without a name: it is gone when it is closed.

        Raises DiskFull, DeadlinePassed, Unavailable, ExportUnsupported, and what loading the delta raises.
        """
        return await self._threads.run(self._make, order, lambda: given_up() or self._closed.is_set())

    def close(self) -> None:
        """Give up what is under way."""
        self._closed.set()

    def _make(self, order: ExportRequest, stopped: Callable[[], bool]) -> IO[bytes]:
        if time.monotonic() >= order.deadline:
            raise DeadlinePassed
        base, folder = self._engine.base, self._settings.data_dir
        self._clear(folder)
        check_room(self._settings, ROOM[order.form] * weights_bytes(base))
        open_clip.blueprint_of(base)
        merged = Merged(base, self._reader(order.deadline, stopped), order.load(), order.strength)
        description = order.describe()
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by whoever sends it)
        try:
            if order.form == "onnx":
                onnx.write_onnx(file, folder, merged, description, deadline=order.deadline, stopped=stopped)
            else:
                open_clip.write_zip(file, order.adapter_id, merged, description)
        except BaseException:
            file.close()
            raise
        return file

    def _clear(self, folder: Path) -> None:
        """Remove what a killed process left: older than any export may become."""
        for left in folder.glob(f"{onnx.PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > self._settings.export_seconds:
                    shutil.rmtree(left, ignore_errors=True)

    def _reader(self, deadline: float, stopped: Callable[[], bool]) -> Callable[[int, int], torch.Tensor]:
        def read(start: int, stop: int) -> torch.Tensor:
            if stopped():
                raise Unavailable("the export was given up")
            return self._engine.weights(start, stop, deadline)

        return read


def etag(container: bytes, known: Mapping[str, Any]) -> str:
    """What stands for an export without making it: all that decides its content, and what makes it."""
    listed = [VERSION, torch.__version__, hashlib.sha256(container).hexdigest(), known]
    return f'"{hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()}"'


class Download(StreamingResponse):
    """A file, sent from the disk and closed afterwards, also where nobody takes it to its end.

    deadline: by which it must have been taken, on `time.monotonic()`'s clock; then the answer breaks off. done: called
    at the end, whatever it is.
    """

    def __init__(
        self, file: IO[bytes], order: ExportRequest, headers: Mapping[str, str], done: Callable[[], None]
    ) -> None:
        size = file.seek(0, 2)
        file.seek(0)
        self._file, self._deadline, self._done = file, order.deadline, done
        named = f'attachment; filename="{order.adapter_id}.{SUFFIXES[order.form]}"'
        super().__init__(
            iter(lambda: file.read(PIECE_BYTES), b""),
            media_type=MEDIA_TYPES[order.form],
            headers={"Content-Length": str(size), "Content-Disposition": named} | dict(headers),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            with anyio.move_on_after(self._deadline - time.monotonic()):
                await super().__call__(scope, receive, send)
        finally:
            self._file.close()
            self._done()
