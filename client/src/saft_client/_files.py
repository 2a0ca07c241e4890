"""Files to upload, opened one after the other, so that any number fits in memory and file descriptors."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Union, cast

from saft_client._requests import Part

Content = Union[str, "os.PathLike[str]", bytes, BinaryIO]
"""A path, the bytes themselves, or a file open for reading bytes, of which all is sent."""
Image = Union[Content, "tuple[str, Content]"]
"""An image file; in a pair with the name to send it under."""

BATCH_FILES = 64
BATCH_BYTES = 64 << 20


class LaterFile(io.RawIOBase):
    """A file that opens itself at the first read and closes at its end. size: in bytes, when this object was made."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.size = self.path.stat().st_size
        if not self.path.is_file():
            raise IsADirectoryError(f"{self.path} is no file")
        self._file: BinaryIO | None = None
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes; at the end none, and the file is closed. Raises OSError where it ends before its size."""
        if self._position >= self.size:
            return b""
        if self._file is None:
            self._file = self.path.open("rb")
            self._file.seek(self._position)
        rest = self.size - self._position
        wanted = min(size, rest) if size >= 0 else rest
        data = self._file.read(wanted)
        self._position += len(data)
        if len(data) < wanted or self._position >= self.size:
            self._let_go()
        if len(data) < wanted:
            raise OSError(f"{self.path} became shorter while it was sent")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, as io.IOBase.seek does."""
        self._let_go()
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def close(self) -> None:
        """Close the file."""
        self._let_go()
        super().close()

    def _let_go(self) -> None:
        file, self._file = getattr(self, "_file", None), None
        if file is not None:
            file.close()


@dataclass(frozen=True)
class Named:
    """A file with the name that it is sent under."""

    name: str
    content: bytes | BinaryIO
    size: int

    def part(self, field: str) -> Part:
        """The file as a field of a multipart form. Raises ValueError for a name that is not UTF-8."""
        return field, (sendable(self.name), self.content)


def sendable(name: str) -> str:
    """The name. Raises ValueError if it is not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the name {name!a} is not UTF-8: rename the file") from None
    return name


def named(image: Image, number: int = 0) -> Named:
    """A file to send. Bytes, and files without a name, are called by their number."""
    name, content = image if isinstance(image, tuple) else (None, image)
    if isinstance(content, (str, os.PathLike)):
        return _later(name or Path(content).name, content)
    if not isinstance(content, bytes):
        known = getattr(content, "name", None)
        name = name or (Path(known).name if isinstance(known, str) else None)
        if content.seekable():
            return Named(name or f"image-{number}", content, content.seek(0, io.SEEK_END))
        content = content.read()
    return Named(name or f"image-{number}", content, len(content))


def _later(name: str, path: str | os.PathLike[str]) -> Named:
    file = LaterFile(path)
    return Named(name, cast("BinaryIO", file), file.size)


def in_base64(image: Image) -> str:
    """The whole file, for JSON."""
    content = named(image).content
    if not isinstance(content, bytes):
        content.seek(0)
        content = content.read()
    return base64.b64encode(content).decode()


def batches(images: Image | Iterable[Image]) -> Iterator[Sequence[Named]]:
    """The files in batches of one request each, in their order. A single file counts as a list of one."""
    if isinstance(images, (str, bytes, os.PathLike)):
        images = [images]
    batch: list[Named] = []
    size = 0
    for number, image in enumerate(images):
        file = named(image, number)
        if batch and (len(batch) >= BATCH_FILES or size + file.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def in_folder(folder: str | os.PathLike[str]) -> list[Named]:
    """All files below a folder, named by their path in it with slashes; not those whose name begins with a dot.

    Links to files are followed, links to folders are not. Raises NotADirectoryError, and ValueError where it is empty.
    """
    top = Path(folder)
    if not top.is_dir():
        raise NotADirectoryError(f"{top} is no folder")
    found: list[Named] = []
    for place, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(place, name) for name in sorted(files) if not name.startswith("."))
        found += [_later(path.relative_to(top).as_posix(), path) for path in paths if path.is_file()]
    if not found:
        raise ValueError(f"{top} has no files in it")
    return found
