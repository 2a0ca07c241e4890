"""Multipart bodies: parsed to disk, within the limits, fingerprinted without loading them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import saft_problem
from saft_core.errors import InvalidInput, TooLarge
from saft_core.settings import Limits

MAX_FORM_FIELDS = 2_000
_CHUNK_BYTES = 1 << 20


class BodyLimit:
    """ASGI middleware: a body above `max_upload_bytes` is refused, before it is read where its length is announced."""

    def __init__(self, app: ASGIApp, max_upload_bytes: int) -> None:
        self._app = app
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_upload_bytes:
            await saft_problem(Request(scope), self._error())(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_upload_bytes:
                raise self._error()
            return message

        await self._app(scope, counted, send)

    def _error(self) -> TooLarge:
        return TooLarge(
            f"the request is larger than {self._max_upload_bytes} bytes (max_upload_bytes); send it in parts"
        )


class Form:
    """A parsed multipart body."""

    def __init__(self, data: FormData) -> None:
        self._data = data

    def text(self, name: str) -> str | None:
        """A text field, or None."""
        value = self._data.get(name)
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> list[str]:
        """All values of a text field that may be repeated."""
        return [value for value in self._data.getlist(name) if isinstance(value, str)]

    def files(self, name: str) -> list[UploadFile]:
        """All files of a field."""
        return [value for value in self._data.getlist(name) if isinstance(value, UploadFile)]

    def digest(self) -> bytes:
        """SHA-256 over all fields, file names and file contents, read in chunks."""
        digest = hashlib.sha256()
        for name, value in self._data.multi_items():
            digest.update(f"\0{len(name)}:{name}\0".encode())
            if isinstance(value, UploadFile):
                digest.update(f"{value.filename}\0{value.size}\0".encode())
                for chunk in _chunks(value):
                    digest.update(chunk)
            else:
                digest.update(value.encode())
        return digest.digest()


def _chunks(file: UploadFile) -> Iterator[bytes]:
    file.file.seek(0)
    while chunk := file.file.read(_CHUNK_BYTES):
        yield chunk
    file.file.seek(0)


@asynccontextmanager
async def form(request: Request, limits: Limits) -> AsyncIterator[Form]:
    """The request's multipart body; its temporary files are gone after the context.

    Raises InvalidInput when the body is no multipart form, and TooLarge.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise InvalidInput("send the files as multipart/form-data", code="unsupported_media_type")
    try:
        parsed = request.form(max_files=limits.max_dataset_images + 1, max_fields=MAX_FORM_FIELDS)
        async with parsed as data:
            yield Form(data)
    except HTTPException as error:
        if error.status_code == HTTPStatus.BAD_REQUEST:
            raise InvalidInput(f"the multipart body cannot be read: {error.detail}", code="bad_multipart") from error
        raise


def read_within(file: UploadFile, max_bytes: int) -> bytes:
    """The bytes of one file. Raises TooLarge naming it."""
    if (file.size or 0) > max_bytes:
        raise TooLarge(f"{file.filename}: {file.size} bytes, the limit is {max_bytes}")
    file.file.seek(0)
    return file.file.read()


MULTIPART_SCHEMA: dict[str, Any] = {"type": "string", "format": "binary"}


def multipart_docs(**properties: Any) -> dict[str, Any]:
    """OpenAPI for a body that a route reads itself."""
    schema = {"type": "object", "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
