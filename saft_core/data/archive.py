"""Zip files from strangers to entries. Nothing is written to disk, and a member is inflated only when it is read.

Every number in a zip file is a claim of whoever made it. The claims are checked against the limits first, and then
inflating stops where a claim turns out to be too low.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import BinaryIO

from saft_core.data.encodings import readings
from saft_core.data.entries import Entry, Folder, Item, Rejection
from saft_core.data.label_formats.labels_files import ENDINGS as LABELS_ENDINGS
from saft_core.data.label_formats.labels_files import check_labels_size
from saft_core.data.limits import DataLimits
from saft_core.data.paths import is_clutter, normalise_path, printable
from saft_core.data.zip_directory import Member, read_directory
from saft_core.errors import InvalidArchive, InvalidInput

CHUNK_BYTES = 1 << 16
RATIO_FLOOR_BYTES = 1 << 20  # below this a large ratio is a plain picture, not an attack
MEMBERS_PER_IMAGE = 4  # a Mac adds a companion to each file, and folders are members too

_STORED, _DEFLATED = 0, 8
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")


def read_archive(file: BinaryIO, limits: DataLimits) -> list[Item]:
    """What a zip file holds, in the order of its directory: entries to read, folders, and members turned away.

    `file` is seekable and stays open while entries are read, one at a time. Operating-system clutter is left out.
    Members that are links, encrypted, packed in an unusual way, too large, too strongly packed or unsafely named come
    as rejections. Reading an entry may raise InvalidArchive with code `damaged_member` or `overlapping_members`.

    Raises InvalidArchive with code `empty_file`, `not_a_zip`, `truncated_archive`, `split_archive`, `damaged_archive`,
    `too_many_images`, `archive_too_large`, `overlapping_members` or, where names are not in UTF-8, `name_encoding`.
    """
    end, members = read_directory(file)
    kept = list(_within_limits(members, limits))
    ends = _member_ends([member for member, _ in kept], end)
    return [_item(file, member, name, ends[member.offset], limits) for member, name in kept]


def _within_limits(members: Iterator[Member], limits: DataLimits) -> Iterator[tuple[Member, str]]:
    """(member, name) of all that is not clutter. Raises InvalidArchive as soon as there are too many, or too much."""
    files = expanded = 0
    for count, member in enumerate(members, start=1):
        expanded += member.expanded_bytes
        clutter = is_clutter(member.name)
        files += not (clutter or member.is_folder)
        if files > limits.max_dataset_images or count > MEMBERS_PER_IMAGE * limits.max_dataset_images:
            raise InvalidArchive(
                f"The archive holds more than {limits.max_dataset_images:,} files (max_dataset_images)."
                " Leave some out.",
                code="too_many_images",
            )
        if expanded > limits.max_archive_expanded_bytes:
            raise InvalidArchive(
                f"The archive unpacks to more than {limits.max_archive_expanded_bytes:,} bytes"
                " (max_archive_expanded_bytes). Leave some files out or scale the images down.",
                code="archive_too_large",
            )
        if not clutter:
            _check_encoding(member)
            yield member, member.name


def _check_encoding(member: Member) -> None:
    """Raise InvalidArchive if a name is not in UTF-8.

    The whole archive is refused: another name in the same code page may be UTF-8 by chance, and read as another word.
    """
    try:
        member.name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidArchive(
            f"The name '{printable(member.name)}' in the archive is not in UTF-8{readings(member.raw_name)}. Zip the"
            " folders again with a program that writes UTF-8 names, such as 7-Zip with -mcu=on, or rename them in plain"
            " letters.",
            code="name_encoding",
        ) from error


def _member_ends(members: list[Member], directory: int) -> dict[int, int]:
    """Where each member has to end, by its offset: at the next one, the last at the directory.

    Raises InvalidArchive if two members share bytes, which is how a small file unpacks to a huge one.
    """
    ordered = sorted(members, key=lambda member: member.offset)
    bounds = [member.offset for member in ordered] + [directory]
    for member, (start, end) in zip(ordered, pairwise(bounds), strict=True):
        if start + _LOCAL_HEADER.size + len(member.raw_name) + member.packed_bytes > end:
            raise _overlapping()
    return dict(pairwise(bounds))


def _item(file: BinaryIO, member: Member, name: str, end: int, limits: DataLimits) -> Item:
    """What a member is to the reader of the archive."""
    try:
        path = normalise_path(name)
        if member.is_folder and not stat.S_ISLNK(member.unix_mode):
            return Folder(path)
        _check(member, limits)
    except InvalidInput as error:
        return Rejection.of(name, error)
    return Entry(path, partial(_read, file, member, end))


def _check(member: Member, limits: DataLimits) -> None:
    """Raise InvalidInput if the directory already says that the member cannot be taken."""
    if stat.S_ISLNK(member.unix_mode):
        raise InvalidArchive("It is a link. Put the file itself into the archive.", code="symlink")
    if stat.S_IFMT(member.unix_mode) not in (0, stat.S_IFREG):
        raise InvalidArchive("It is a device or a pipe and not a file. Leave it out.", code="not_a_file")
    if member.is_encrypted:
        raise InvalidArchive("It is encrypted. Zip the files without a password.", code="encrypted")
    if member.method not in (_STORED, _DEFLATED):
        raise InvalidArchive(
            f"It is packed with method {member.method}. Zip the files with the usual method, Deflate.",
            code="unsupported_compression",
        )
    if member.name.lower().endswith(LABELS_ENDINGS):  # and no ratio: a table of zeros and ones packs as a bomb does
        check_labels_size(member.expanded_bytes, limits.max_labels_bytes)
    else:
        _check_image(member, limits)


def _check_image(member: Member, limits: DataLimits) -> None:
    """Raise InvalidArchive for any other file that is too large, or too strongly packed."""
    if member.expanded_bytes > limits.max_image_bytes:
        raise InvalidArchive(
            f"It has {member.expanded_bytes:,} bytes; at most {limits.max_image_bytes:,} are taken"
            " (max_image_bytes). Save it smaller.",
            code="image_too_large",
        )
    ratio = member.expanded_bytes / max(member.packed_bytes, 1)
    if ratio > limits.max_archive_ratio and member.expanded_bytes > RATIO_FLOOR_BYTES:
        raise InvalidArchive(
            f"It unpacks to {ratio:.0f} times its size; at most {limits.max_archive_ratio} times are taken"
            " (max_archive_ratio). Save it as JPEG or PNG.",
            code="compression_ratio",
        )


def _read(file: BinaryIO, member: Member, end: int) -> bytes:
    """The bytes of a member. Raises InvalidArchive if they are not what the directory says."""
    file.seek(member.offset)
    head = file.read(_LOCAL_HEADER.size)
    if len(head) < _LOCAL_HEADER.size or not head.startswith(b"PK\3\4"):
        raise _damaged()
    name_size, extra_size = _LOCAL_HEADER.unpack(head)[9:11]
    start = member.offset + _LOCAL_HEADER.size + name_size + extra_size
    if start + member.packed_bytes > end:
        raise _overlapping()
    file.seek(start)
    data = _inflate(file, member) if member.method == _DEFLATED else _copy(file, member)
    if len(data) != member.expanded_bytes or zlib.crc32(data) != member.crc32:
        raise _damaged()
    return data


def _copy(file: BinaryIO, member: Member) -> bytes:
    """A member that was stored as it is. Only its unpacked size has been held against the limits before."""
    if member.packed_bytes != member.expanded_bytes:
        raise _damaged()
    return file.read(member.packed_bytes)


def _inflate(file: BinaryIO, member: Member) -> bytes:
    """A deflated member, chunk by chunk, until its end or at most one chunk past the size it claims."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = bytearray()
    unread, pending = member.packed_bytes, b""
    try:
        while not inflater.eof and len(data) <= member.expanded_bytes:
            if not pending:
                pending = file.read(min(CHUNK_BYTES, unread))
                unread -= len(pending)
            inflated = inflater.decompress(pending, CHUNK_BYTES)
            if not (inflated or pending):  # only now: the inflater may hold back data after its last input
                break
            data += inflated
            pending = inflater.unconsumed_tail
    except zlib.error as error:
        raise _damaged() from error
    return bytes(data)


def _damaged() -> InvalidArchive:
    return InvalidArchive(
        "Its contents are not what the archive's directory says. Zip the files again.", code="damaged_member"
    )


def _overlapping() -> InvalidArchive:
    return InvalidArchive(
        "Members of the archive overlap, as in a zip bomb. Zip the files again.", code="overlapping_members"
    )
