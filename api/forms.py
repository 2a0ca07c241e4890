"""multipart/form-data as routes read it: fields, files, and OpenAPI of such bodies. The parser is multipart.py."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

from fastapi import Request

from api.disk import check_free_space
from api.multipart import BodyParser, Upload
from api.services import Services
from saft_core.errors import TooLarge

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Form:
    """The fields of a parsed multipart body, in their order."""

    def __init__(self, items: Sequence[tuple[str, str | Upload]]) -> None:
        self._items = items

    def names(self) -> set[str]:
        """The names of all fields."""
        return {field for field, _ in self._items}

    def text(self, name: str) -> str | None:
        """The first value of a text field, or None."""
        return next(iter(self.texts(name)), None)

    def texts(self, name: str) -> list[str]:
        """All values of a text field."""
        return [value for field, value in self._items if field == name and isinstance(value, str)]

    def files(self, name: str) -> list[Upload]:
        """All files of a field."""
        return [value for field, value in self._items if field == name and isinstance(value, Upload)]

    def digest(self) -> bytes:
        """SHA-256 over all fields, file names and file contents: the same for the same form, whatever its boundary."""
        listed = [
            [field, value] if isinstance(value, str) else [field, value.filename, value.sha256]
            for field, value in self._items
        ]
        return hashlib.sha256(json.dumps(listed).encode()).digest()


@asynccontextmanager
async def form(request: Request, services: Services) -> AsyncIterator[Form]:
    """The request's multipart body; its temporary file, in the data folder, is gone after the context.

    Raises Busy and DiskFull before the body is read, InvalidInput when it is no multipart form, and TooLarge.
    """
    with services.uploads.acquired(request.state.caller):
        check_free_space(services.settings)
        with tempfile.TemporaryFile(dir=services.settings.data_dir) as spool:
            files = services.limits.max_dataset_images + 1
            parser = BodyParser(request.headers.get("content-type", ""), spool, files)
            async for chunk in request.stream():
                await services.spool_threads.run(parser.feed, chunk)
            await services.spool_threads.run(parser.finish)
            yield Form(parser.items)


async def handle(request: Request, services: Services, work: Callable[[Form], Answer]) -> Answer:
    """The result of `work` on the request's form, in an upload thread. Raises what `form` and `work` raise."""
    async with form(request, services) as upload:
        return await in_turn(services, request.state.caller, work, upload)


async def in_turn(
    services: Services, share: str, work: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Answer:
    """The result of `work(...)` in an upload thread, once it is the turn of the share (a tenant)."""
    async with services.upload_turns.acquired(share):
        return await services.upload_threads.run(work, *args, **kwargs)


def read_within(file: Upload, max_bytes: int, limit: str) -> bytes:
    """The bytes of one file. Raises TooLarge naming it and the limit."""
    if file.size > max_bytes:
        raise TooLarge(f"{file.filename}: {file.size:,} bytes; at most {max_bytes:,} are taken ({limit})")
    return file.read()


MULTIPART_SCHEMA: dict[str, Any] = {"type": "string", "format": "binary"}


def body_docs(json: str | None = None, **form: Any) -> dict[str, Any]:
    """OpenAPI of a body that a route reads itself. json: the name of its schema. form: a schema for each field."""
    content: dict[str, Any] = {}
    if json:
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{json}"}}
    if form:
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": form}}
    return {"requestBody": {"required": True, "content": content}}
