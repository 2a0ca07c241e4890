"""The directory at the end of a zip file, read member by member.

The standard library reads the whole directory into objects before anything can be counted; half a gigabyte of directory
would become gigabytes of objects. Here the caller stops when it has seen enough. Layout: APPNOTE.TXT 6.3.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from saft_core.errors import InvalidArchive

_END, _END_64, _LOCATOR_64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_HEADER = struct.Struct("<4s6H3L5H2L")
_MAX_COMMENT_BYTES = 65_535
_IN_EXTRA_16, _IN_EXTRA_32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA, _UNICODE_PATH_EXTRA = 0x0001, 0x7075
_ENCRYPTED_FLAGS = 0x2041
_FOLDER_ATTRIBUTE = 0x10

_OTHER_ARCHIVES = {
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One line of the directory. Sizes are in bytes and only claims; `offset` is that of the member's own header."""

    raw_name: bytes
    unicode_name: bytes | None
    flags: int
    method: int
    crc32: int
    packed_bytes: int
    expanded_bytes: int
    attributes: int
    offset: int

    @property
    def name(self) -> str:
        """The name, in whatever script; bytes that are not UTF-8 become lone surrogates.

        A name without the UTF-8 flag is by the standard in code page 437. Programs of today write UTF-8 all the same,
        and those of old the code page of the machine they ran on, which nothing in the file tells.
        """
        name = self.raw_name if self.unicode_name is None else self.unicode_name
        return name.decode("utf-8", errors="surrogateescape")

    @property
    def is_folder(self) -> bool:
        """Whether the member is a folder: by its last separator, its Unix type or its DOS attribute."""
        is_marked = stat.S_ISDIR(self.unix_mode) or bool(self.attributes & _FOLDER_ATTRIBUTE)
        return is_marked or self.raw_name.endswith((b"/", b"\\"))

    @property
    def unix_mode(self) -> int:
        """The Unix file mode, 0 where the packing program wrote none."""
        return self.attributes >> 16

    @property
    def is_encrypted(self) -> bool:
        """Whether it takes a password to read the member."""
        return bool(self.flags & _ENCRYPTED_FLAGS)


def read_directory(file: BinaryIO) -> tuple[int, Iterator[Member]]:
    """(where the directory starts, its members in order) of a seekable binary file.

    Raises InvalidArchive with code `empty_file`, `not_a_zip`, `truncated_archive` or `split_archive`, and from the
    iterator `damaged_archive`. The iterator reads `file` as it goes: take what you need before you read elsewhere.
    """
    start, size, prefix = _locate(file)
    return start, _members(file, start, size, prefix)


def _locate(file: BinaryIO) -> tuple[int, int, int]:
    """(start, size, bytes put before the zip file proper) of the directory, in bytes."""
    length = file.seek(0, 2)
    window = _END.size + _MAX_COMMENT_BYTES + _LOCATOR_64.size + _END_64.size
    base = file.seek(max(0, length - window))
    tail = file.read(window)
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) - end < _END.size:
        raise _no_directory(file, length)
    _, disk, directory_disk, *_, size, offset, _ = _END.unpack_from(tail, end)
    if _IN_EXTRA_16 not in (disk, directory_disk) and (disk or directory_disk):
        raise InvalidArchive("The archive is one part of several. Zip it into a single file.", code="split_archive")
    if tail[end - _LOCATOR_64.size :].startswith(b"PK\6\7") and end >= _LOCATOR_64.size + _END_64.size:
        end -= _LOCATOR_64.size + _END_64.size
        signature, *_, size, offset = _END_64.unpack_from(tail, end)
        if signature != b"PK\6\6":
            raise _damaged()
    start = base + end - size
    if start < 0 or start < offset:
        raise _damaged()
    return start, size, start - offset


def _no_directory(file: BinaryIO, length: int) -> InvalidArchive:
    """The error for a file without a directory at its end: what it is instead, as far as its beginning tells."""
    file.seek(0)
    head = file.read(8)
    if not length:
        return InvalidArchive("The archive is empty. Upload it once more.", code="empty_file")
    if head.startswith((b"PK\3\4", b"PK\7\7")):
        return InvalidArchive("The zip file is cut off. Upload it once more.", code="truncated_archive")
    kind = next((name for start, name in _OTHER_ARCHIVES.items() if head.startswith(start)), "no zip file")
    return InvalidArchive(f"The archive is {kind}. Send a zip file with one folder per class.", code="not_a_zip")


def _members(file: BinaryIO, position: int, remaining: int, prefix: int) -> Iterator[Member]:
    """Each member of the `remaining` bytes of directory at `position`."""
    file.seek(position)
    while remaining:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(b"PK\1\2"):
            raise _damaged()
        name_size, extra_size, comment_size = _HEADER.unpack(head)[10:13]
        rest = file.read(name_size + extra_size + comment_size)
        remaining -= len(head) + name_size + extra_size + comment_size
        if remaining < 0 or len(rest) < name_size + extra_size + comment_size:
            raise _damaged()
        yield _member(head, rest[:name_size], rest[name_size : name_size + extra_size], prefix)


def _member(head: bytes, raw_name: bytes, extra: bytes, prefix: int) -> Member:
    """One member from its header and the two fields after it."""
    _, _, _, flags, method, _, _, crc, packed, expanded, *_, attributes, offset = _HEADER.unpack(head)
    extras = _extras(extra)
    expanded, packed, offset = _large(extras.get(_ZIP64_EXTRA, b""), [expanded, packed, offset])
    unicode_name = _unicode_name(extras.get(_UNICODE_PATH_EXTRA, b""), raw_name)
    return Member(raw_name, unicode_name, flags, method, crc, packed, expanded, attributes, offset + prefix)


def _extras(extra: bytes) -> dict[int, bytes]:
    """The extra fields by id; a cut-off one is left out."""
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, position)
        found.setdefault(kind, extra[position + 4 : position + 4 + size])
        position += 4 + size
    return found


def _large(field: bytes, values: list[int]) -> list[int]:
    """Zip64: each value that did not fit into 32 bits stands in the extra field instead, in this order."""
    position = 0
    for index, value in enumerate(values):
        if value == _IN_EXTRA_32:
            if position + 8 > len(field):
                raise _damaged()
            (values[index],) = struct.unpack_from("<Q", field, position)
            position += 8
    return values


def _unicode_name(field: bytes, raw_name: bytes) -> bytes | None:
    """The UTF-8 name that Info-ZIP puts beside one in another code page; None if it is not about this name."""
    if len(field) < 6 or field[0] != 1 or struct.unpack_from("<L", field, 1)[0] != zlib.crc32(raw_name):
        return None
    return field[5:]


def _damaged() -> InvalidArchive:
    return InvalidArchive(
        "The zip file's directory is damaged. Zip the folders again and upload the new file.", code="damaged_archive"
    )
