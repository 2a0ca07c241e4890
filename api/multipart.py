"""multipart/form-data, streamed into one temporary file.

Memory stays small and one descriptor is open, however many files a body holds. Contents are hashed as they pass by.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from saft_core.errors import InvalidInput, UnsupportedMediaType

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_EXTENDED_FILENAME = re.compile(rb";\s*filename\*\s*=\s*([^;\s]*)", re.IGNORECASE)
_CHARSETS = {"utf-8": "utf-8", "iso-8859-1": "latin-1"}
MAX_FIELDS = 2_000
MAX_TEXT_BYTES = 1 << 20
"""All text fields of one body together: they are held in memory."""


@dataclass(frozen=True)
class Upload:
    """One uploaded file, a slice of the body's temporary file.

    filename: as sent, folders included. size and offset: in bytes. sha256: of the content, in hexadecimal digits.
    """

    filename: str
    size: int
    sha256: str
    spool: IO[bytes]
    offset: int

    def read(self) -> bytes:
        """The content. Thread-safe."""
        return self.open().read()

    def open(self) -> io.BufferedReader:
        """A seekable reader with a position of its own."""
        return io.BufferedReader(_Slice(self.spool.fileno(), self.offset, self.size))


class _Slice(io.RawIOBase):
    """A slice of an open file as a seekable, read-only file."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor, self._offset, self._size = descriptor, offset, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("negative seek position")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._position))
        data = os.pread(self._descriptor, wanted, self._offset + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@dataclass
class _Part:
    """The part being read; `filename` is None for a text field."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None
    text: bytearray = field(default_factory=bytearray)
    digest: Any = field(default_factory=hashlib.sha256)
    offset: int = 0
    size: int = 0


class BodyParser:
    """Parses a body chunk by chunk; `items` are then (field name, text or file) in the order of the body.

    Raises InvalidInput from `feed` and `finish` for a body that cannot be read or has too many parts.
    """

    def __init__(self, content_type: str, spool: IO[bytes], max_files: int) -> None:
        self.items: list[tuple[str, str | Upload]] = []
        self._spool = spool
        self._max_files = max_files
        self._files = self._texts = self._text_bytes = 0
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._part = _Part()
        self._ended = False
        self._parser = self._checked(lambda: MultipartParser(_boundary(content_type), self._callbacks()))

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes."""
        self._checked(lambda: self._parser.write(chunk))

    def finish(self) -> None:
        """Check that the body came to its end."""
        if not self._ended:
            raise _bad("it ends before its closing boundary")
        self._spool.flush()

    def _checked(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except FormParserError as error:
            raise _bad(str(error)) from error

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add_to_header(data[start:end], b""),
            "on_header_value": lambda data, start, end: self._add_to_header(b"", data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": lambda data, start, end: self._add(data[start:end]),
            "on_part_end": self._close_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._part = _Part()

    def _add_to_header(self, name: bytes, value: bytes) -> None:
        self._header = (self._header[0] + name, self._header[1] + value)

    def _end_header(self) -> None:
        name, value = self._header
        self._part.headers[name.lower()] = value
        self._header = (b"", b"")

    def _open_part(self) -> None:
        _, options = parse_options_header(self._part.headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise _bad("a part has no name")
        self._part.name = _text(options[b"name"], "a field's name")
        filename = _filename(options, self._part.headers)
        if filename is not None:
            self._part.filename = filename
            self._part.offset = self._spool.tell()
            self._files += 1
        else:
            self._texts += 1
        if self._files > self._max_files:
            raise InvalidInput(
                f"the request has more than {self._max_files:,} files; send them in parts", code="too_many_files"
            )
        if self._texts > MAX_FIELDS:
            raise InvalidInput(f"the request has more than {MAX_FIELDS:,} text fields", code="too_many_fields")

    def _add(self, data: bytes) -> None:
        part = self._part
        if part.filename is None:
            part.text += data
            self._text_bytes += len(data)
            if self._text_bytes > MAX_TEXT_BYTES:
                raise InvalidInput(
                    f"the text fields have more than {MAX_TEXT_BYTES:,} bytes; send files with a filename, or in parts",
                    code="text_too_long",
                )
        else:
            self._spool.write(data)
            part.digest.update(data)
            part.size += len(data)

    def _close_part(self) -> None:
        part = self._part
        if part.filename is None:
            self.items.append((part.name, _text(bytes(part.text), f"field {part.name!r}")))
        else:
            file = Upload(part.filename, part.size, part.digest.hexdigest(), self._spool, part.offset)
            self.items.append((part.name, file))

    def _end(self) -> None:
        self._ended = True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedMediaType("send the files as multipart/form-data")
    if not options.get(b"boundary"):
        raise _bad("its Content-Type names no boundary")
    return options[b"boundary"]


def _filename(options: dict[bytes, bytes], headers: dict[bytes, bytes]) -> str | None:
    """The name of a part's file, None if it is no file.

    RFC 7578 (4.2) forbids `filename*=` in forms, but older clients send it for names that are not ASCII; it is read as
    in RFC 5987 where no plain name stands beside it. Raises InvalidInput.
    """
    if b"filename" in options:
        return _text(options[b"filename"], "a file name")
    extended = _EXTENDED_FILENAME.search(headers[b"content-disposition"])
    if extended is None:
        return None
    try:
        charset, _, value = extended[1].decode("latin-1").strip('"').split("'", 2)
        return unquote_to_bytes(value).decode(_CHARSETS[charset.lower()])
    except (KeyError, ValueError) as error:
        raise _bad("a filename*= is not UTF-8''name, percent-encoded; better send filename= in UTF-8") from error


def _text(data: bytes, what: str) -> str:
    """The text of UTF-8, as every current client sends. Guessing at others would make wrong names without a word."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{what} is not in UTF-8: {ascii(data[:100])[2:-1]}; send UTF-8, or rename it in plain letters",
            code="name_encoding",
        ) from error


def _bad(why: str) -> InvalidInput:
    return InvalidInput(f"the multipart body cannot be read: {why}", code="bad_multipart")
