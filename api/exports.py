"""Making and sending exports: one at a time, into a temporary file. The route is routes/exports.py."""

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
from api.disk import check_free_space
from saft_core.delta import SparseDelta
from saft_core.errors import DeadlinePassed, Unavailable
from saft_core.export import onnx, open_clip
from saft_core.export.description import VERSION, Description
from saft_core.export.weights import Merged, weights_bytes
from saft_core.serving.engine import Engine
from saft_core.settings import Settings

Form = Literal["open_clip", "onnx"]
CHUNK_BYTES = 1 << 18
MEDIA_TYPES: Mapping[str, str] = {"open_clip": "application/zip", "onnx": "application/octet-stream"}
SUFFIXES: Mapping[str, str] = {"open_clip": "zip", "onnx": "onnx"}
PEAK_BASES: Mapping[str, int] = {"open_clip": 1, "onnx": 2}
"""Bytes on disk that an export takes at its peak, in sizes of the base."""


@dataclass(frozen=True, eq=False)
class ExportRequest:
    """What to export: the form of the file, the adapter, and its strength from 0 to 1.

    load: gives the adapter's delta, called when it is this export's turn. describe: gives what is written beside the
    weights. deadline: for making and sending, on `time.monotonic()`'s clock.
    """

    form: Form
    adapter_id: str
    load: Callable[[], SparseDelta]
    describe: Callable[[], Description]
    strength: float
    deadline: float


class Exports:
    """Makes the files of exports, one at a time, in a thread of its own.

    A request holds a slot of `export_requests` from its start to the last byte sent; one tenant has half of them at
    most.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._slots = Budget("export_requests", settings.export_requests, "slots")
        self._threads = Threads("export", 1)
        self._closed = threading.Event()

    @property
    def under_way(self) -> int:
        """Slots in use."""
        return self._slots.taken

    @asynccontextmanager
    async def slot(self, tenant_id: str) -> AsyncIterator[Callable[[], None]]:
        """Hold a slot. Gives the function that releases it, to be called after the context; an error releases it too.

        Raises Busy.
        """
        await self._slots.acquire(tenant_id, 1)
        try:
            yield lambda: self._slots.release(tenant_id, 1)
        except BaseException:
            self._slots.release(tenant_id, 1)
            raise

    async def made(self, request: ExportRequest, given_up: Callable[[], bool]) -> IO[bytes]:
        """The file, a temporary one that is gone when it is closed. given_up: asked now and then whether to stop.

        Raises DiskFull, DeadlinePassed, Unavailable, ExportUnsupported, and what loading the delta raises.
        """
        return await self._threads.run(self._make, request, lambda: given_up() or self._closed.is_set())

    def close(self) -> None:
        """Stop exports that are under way."""
        self._closed.set()

    def _make(self, request: ExportRequest, stopped: Callable[[], bool]) -> IO[bytes]:
        if time.monotonic() >= request.deadline:
            raise DeadlinePassed
        base, folder = self._engine.base, self._settings.data_dir
        self._clear(folder)
        check_free_space(self._settings, PEAK_BASES[request.form] * weights_bytes(base))
        open_clip.blueprint_of(base)
        merged = Merged(base, self._reader(request.deadline, stopped), request.load(), request.strength)
        description = request.describe()
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by whoever sends it)
        try:
            if request.form == "onnx":
                onnx.write_onnx(file, folder, merged, description, deadline=request.deadline, stopped=stopped)
            else:
                open_clip.write_zip(file, request.adapter_id, merged, description)
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
    """The ETag of an export, without making it: a hash of all that decides its content.

    container: the adapter's. known: what else the file depends on, as JSON.
    """
    listed = [VERSION, torch.__version__, hashlib.sha256(container).hexdigest(), known]
    return f'"{hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()}"'


class Download(StreamingResponse):
    """The response that streams an export's file, and closes it however sending ends.

    Sending breaks off at the request's deadline. done: called once sending has ended.
    """

    def __init__(
        self, file: IO[bytes], request: ExportRequest, headers: Mapping[str, str], done: Callable[[], None]
    ) -> None:
        size = file.seek(0, 2)
        file.seek(0)
        self._file, self._deadline, self._done = file, request.deadline, done
        named = f'attachment; filename="{request.adapter_id}.{SUFFIXES[request.form]}"'
        super().__init__(
            iter(lambda: file.read(CHUNK_BYTES), b""),
            media_type=MEDIA_TYPES[request.form],
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
