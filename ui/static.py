"""The static files of the page, read once. A browser asks for each once a version: its address names the version.

Without one, or with another one (of a page that another replica has sent, before or after an update), an address gives
what is here now, with an ETag, and a browser revalidates it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from mimetypes import guess_type
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saft_client import ApiError
from ui.answers import problem

FOLDER = Path(__file__).parent / "static"
PREFIX = "page/static"
ICON = "icon.svg"
OURS = {"/favicon.ico": ICON, "/manifest.json": "manifest.json"}
_VERSION = re.compile(r"[0-9a-f]{16}")
_FOR_GOOD = "public, max-age=31536000, immutable"  # RFC 8246
_TYPES = {".js": "text/javascript", ".woff2": "font/woff2", ".json": "application/json"}


@dataclass(frozen=True)
class File:
    """One file as it is sent."""

    content: bytes
    media_type: str

    @cached_property
    def etag(self) -> str:
        """Of the content (RFC 9110, section 8.8.3)."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


class Files:
    """All files below a folder, by their paths in it: nothing that a request says is ever a path of the server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def by_path(self) -> dict[str, File]:
        """Each file, read."""
        found = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return {path.relative_to(self._folder).as_posix(): _read(path) for path in found}

    @cached_property
    def prefix(self) -> str:
        """What the addresses of this version begin with, relative to the page; modules find each other below it."""
        every = "".join(f"{path} {file.media_type} {file.etag}\n" for path, file in self.by_path.items())
        return f"{PREFIX}/{hashlib.sha256(every.encode()).hexdigest()[:16]}"

    def under(self, folder: str, ending: str) -> list[str]:
        """Addresses of the files of a kind, relative to the page."""
        return [f"{self.prefix}/{path}" for path in self.by_path if path.startswith(folder) and path.endswith(ending)]

    @property
    def routes(self) -> list[Route]:
        """Where they are; some of ours stand where Gradio's frame asks for its own."""
        paths = (f"/{PREFIX}/{{path:path}}", *OURS)
        return [Route(path, self._answer, methods=["GET"]) for path in paths]

    async def _answer(self, request: Request) -> Response:
        path = request.path_params.get("path", OURS.get(request.url.path, ""))
        version, _, below = path.partition("/")
        file = self.by_path.get(below if _VERSION.fullmatch(version) else path)
        if file is None:
            return problem(request, ApiError("not_found", "There is nothing at this path.", 404))
        lasting = f"{PREFIX}/{version}" == self.prefix
        headers = {"ETag": file.etag, "Cache-Control": _FOR_GOOD if lasting else "no-cache"}
        headers["X-Content-Type-Options"] = "nosniff"
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)


def _read(path: Path) -> File:
    media_type = _TYPES.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream"
    return File(path.read_bytes(), media_type)


FILES = Files(FOLDER)
