"""Zip files from strangers to the files in them. Nothing is written to disk, and a member is unpacked when it is read.

`zipfile` reads the format. What it does not do is done here: it reads and parses the whole directory, however large,
before members can be counted; it unpacks what the directory lists, even if members overlap (Python 3.11.8 and newer
refuse that) or unpack to a thousand times their size; and it takes names that are not in UTF-8 for code page 437.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import IO, BinaryIO, cast

from saft_core.data.encodings import readings
from saft_core.data.entries import Entry, Folder, Item, Rejection
from saft_core.data.images import check_file_size
from saft_core.data.label_formats.labels_files import ENDINGS as LABELS_ENDINGS
from saft_core.data.label_formats.labels_files import check_labels_size
from saft_core.data.limits import DataLimits
from saft_core.data.paths import is_clutter, normalise_path, printable
from saft_core.errors import InvalidArchive, InvalidInput

RATIO_FLOOR_BYTES = 1 << 20
"""Smaller members may have any compression ratio: a plain picture of one colour has a large one."""
MEMBERS_PER_IMAGE = 4
"""Members for each image that a dataset may have: a Mac adds a companion to each file, and folders are members too."""
DIRECTORY_BYTES_PER_MEMBER = 256
"""Bytes of directory for each of these members, on average: 46 for numbers, the rest for its name and timestamps."""

_END_RECORDS_BYTES = 1 << 17  # the record at the end with its comment, which `zipfile` looks for first
_LOCAL_HEADER_BYTES = 30
_UTF_8_FLAG, _ENCRYPTED_FLAGS = 0x0800, 0x2041
_UNICODE_PATH_EXTRA = 0x7075
_FOLDER_ATTRIBUTE = 0x10
_WITHOUT_DISK = (0, 0xFFFF)  # the second stands for "see the zip64 record"
_OTHER_ARCHIVES = {
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
}


def read_archive(file: BinaryIO, limits: DataLimits) -> list[Item]:
    """What a zip file holds, in the order of its directory: entries to read, folders, and rejected members.

    `file` is seekable and stays open while entries are read, one at a time. Operating-system clutter is left out.
    Members that are links, encrypted, packed in an unusual way, too large, too strongly packed or unsafely named come
    as rejections. Reading an entry may raise InvalidArchive with code `damaged_member`.

    Raises InvalidArchive with code `empty_file`, `not_a_zip`, `truncated_archive`, `split_archive`, `damaged_archive`,
    `too_many_images`, `archive_too_large`, `overlapping_members` or, where names are not in UTF-8, `name_encoding`.
    """
    _check_end_record(file)
    archive = _open(file, limits)
    members = list(_within_limits(archive.infolist(), limits))
    _check_overlaps([member for member, _ in members], archive.start_dir)
    return [_item(archive, member, name, limits) for member, name in members]


class _DirectoryReader:
    """The file as `zipfile` reads it while it parses the directory, of which it takes a limited part.

    `zipfile` asks for the directory in one read of the size that the archive claims. Every member in it begins with a
    signature, so that counting signatures bounds the number of objects that `zipfile` makes of them.
    """

    def __init__(self, file: BinaryIO, max_images: int) -> None:
        self._file = file
        self._max_images = max_images
        self.tell, self.seekable = file.tell, file.seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of a file. Raises OSError for a place before its start, as `zipfile` expects; some files raise another."""
        try:
            return self._file.seek(offset, whence)
        except ValueError as error:
            raise OSError(str(error)) from error

    def read(self, size: int = -1) -> bytes:
        """As of a file. Raises InvalidArchive with code `too_many_images`."""
        max_members = MEMBERS_PER_IMAGE * self._max_images
        max_bytes = _END_RECORDS_BYTES + DIRECTORY_BYTES_PER_MEMBER * max_members
        data = self._file.read(size if 0 <= size <= max_bytes else max_bytes + 1)
        if len(data) > max_bytes or (size >= 0 and data.count(b"PK\1\2") > max_members):
            raise _too_many(self._max_images, " or takes more than 1 KB for each of so many to name them")
        return data


def _open(file: BinaryIO, limits: DataLimits) -> zipfile.ZipFile:
    """The archive, its directory parsed. Raises InvalidArchive."""
    try:
        archive = zipfile.ZipFile(cast("IO[bytes]", _DirectoryReader(file, limits.max_dataset_images)))
        if any(member.header_offset < 0 for member in archive.filelist):
            raise zipfile.BadZipFile("a member begins before the file")
    except UnicodeDecodeError as error:
        raise _name_encoding(error.object) from error
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
        raise InvalidArchive(
            "The zip file's directory is damaged. Zip the folders again and upload the new file.",
            code="damaged_archive",
        ) from error
    archive.fp = file  # members are read without that limit
    return archive


def _check_end_record(file: BinaryIO) -> None:
    """Raise InvalidArchive if the file has no record at its end, as a zip file has, or is one part of several."""
    length = file.seek(0, 2)
    file.seek(max(0, length - _END_RECORDS_BYTES // 2 - 22))
    record = file.read().rpartition(b"PK\5\6")
    if not record[1] or len(record[2]) < 18:
        raise _no_end_record(file, length)
    if struct.unpack_from("<H", record[2])[0] not in _WITHOUT_DISK:
        raise InvalidArchive("The archive is one part of several. Zip it into a single file.", code="split_archive")


def _no_end_record(file: BinaryIO, length: int) -> InvalidArchive:
    """The error for such a file: it says what the file is, as far as its first bytes tell."""
    file.seek(0)
    head = file.read(8)
    if not length:
        return InvalidArchive("The archive is empty. Upload it once more.", code="empty_file")
    if head.startswith((b"PK\3\4", b"PK\7\x08")):
        return InvalidArchive("The zip file is cut off. Upload it once more.", code="truncated_archive")
    kind = next((name for start, name in _OTHER_ARCHIVES.items() if head.startswith(start)), "no zip file")
    return InvalidArchive(f"The archive is {kind}. Send a zip file with one folder per class.", code="not_a_zip")


def _within_limits(members: Sequence[zipfile.ZipInfo], limits: DataLimits) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    """(member, name) of all that is not clutter. Raises InvalidArchive as soon as there are too many, or too much."""
    files = expanded = 0
    for member in members:
        name = _name(member)
        expanded += member.file_size
        clutter = is_clutter(name)
        files += not (clutter or _is_folder(member))
        if files > limits.max_dataset_images:
            raise _too_many(limits.max_dataset_images)
        if expanded > limits.max_archive_expanded_bytes:
            raise InvalidArchive(
                f"The archive unpacks to more than {limits.max_archive_expanded_bytes:,} bytes"
                " (max_archive_expanded_bytes). Leave some files out or scale the images down.",
                code="archive_too_large",
            )
        if not clutter:
            _check_encoding(member, name)
            yield member, name


def _check_encoding(member: zipfile.ZipInfo, name: str) -> None:
    """Raise InvalidArchive if the name is not in UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _name_encoding(_raw_name(member)) from error


def _raw_name(member: zipfile.ZipInfo) -> bytes:
    """The name's bytes. Without the UTF-8 flag `zipfile` has read them in code page 437, which has all 256."""
    return member.orig_filename.encode("utf-8" if member.flag_bits & _UTF_8_FLAG else "cp437")


def _name(member: zipfile.ZipInfo) -> str:
    """The name, taken for UTF-8 as programs of today write it, flag or not; other bytes become lone surrogates.

    Info-ZIP puts the name in UTF-8 into an extra field, beside one in another code page.
    """
    raw, extra = _raw_name(member), member.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH_EXTRA and field[:5] == struct.pack("<BL", 1, zlib.crc32(raw)):
            return field[5:].decode("utf-8", errors="surrogateescape")
    return raw.decode("utf-8", errors="surrogateescape")


def _is_folder(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a folder: by its last separator, its Unix type or its DOS attribute."""
    by_attributes = stat.S_ISDIR(_unix_mode(member)) or bool(member.external_attr & _FOLDER_ATTRIBUTE)
    return by_attributes or member.orig_filename.endswith(("/", "\\"))


def _unix_mode(member: zipfile.ZipInfo) -> int:
    """The Unix file mode, 0 where the packing program wrote none."""
    return member.external_attr >> 16


def _check_overlaps(members: Sequence[zipfile.ZipInfo], directory: int) -> None:
    """Raise InvalidArchive if two members share bytes, which is how a small file unpacks to a huge one.

    directory: where the directory starts, in bytes; the last member has to end there.
    """
    ordered = sorted(members, key=lambda member: member.header_offset)
    starts = [member.header_offset for member in ordered] + [directory]
    for member, (start, end) in zip(ordered, pairwise(starts), strict=True):
        if start + _LOCAL_HEADER_BYTES + len(_raw_name(member)) + member.compress_size > end:
            raise InvalidArchive(
                "Members of the archive overlap, as in a zip bomb. Zip the files again.", code="overlapping_members"
            )


def _item(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, limits: DataLimits) -> Item:
    """The entry, folder or rejection that a member amounts to."""
    try:
        path = normalise_path(name)
        if _is_folder(member) and not stat.S_ISLNK(_unix_mode(member)):
            return Folder(path)
        _check(member, name, limits)
    except InvalidInput as error:
        return Rejection.of(name, error)
    return Entry(path, partial(_read, archive, member))


def _check(member: zipfile.ZipInfo, name: str, limits: DataLimits) -> None:
    """Raise InvalidInput if the directory already says that the member cannot be taken."""
    mode = _unix_mode(member)
    if stat.S_ISLNK(mode):
        raise InvalidArchive("It is a link. Put the file itself into the archive.", code="symlink")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise InvalidArchive("It is a device or a pipe and not a file. Leave it out.", code="not_a_file")
    if member.flag_bits & _ENCRYPTED_FLAGS:
        raise InvalidArchive("It is encrypted. Zip the files without a password.", code="encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidArchive(
            f"It is packed with method {member.compress_type}. Zip the files with the usual method, Deflate.",
            code="unsupported_compression",
        )
    if name.lower().endswith(LABELS_ENDINGS):  # and no ratio: a table of zeros and ones packs as a bomb does
        check_labels_size(member.file_size, limits.max_labels_bytes)
    else:
        check_file_size(member.file_size, limits.max_image_bytes)
        _check_ratio(member, limits)


def _check_ratio(member: zipfile.ZipInfo, limits: DataLimits) -> None:
    """Raise InvalidArchive for a file that is too strongly packed."""
    ratio = member.file_size / max(member.compress_size, 1)
    if ratio > limits.max_archive_ratio and member.file_size > RATIO_FLOOR_BYTES:
        raise InvalidArchive(
            f"It unpacks to {ratio:.0f} times its size; at most {limits.max_archive_ratio} times are taken"
            " (max_archive_ratio). Save it as JPEG or PNG.",
            code="compression_ratio",
        )


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member. Raises InvalidArchive if they are not what the directory says.

    `zipfile` compares the checksum when it has read all bytes, which it notices when asked for one more; it also
    unpacks no more than it is asked for, and takes a member that ends too early.
    """
    try:
        with archive.open(member) as opened:
            data = opened.read(member.file_size + 1)
        if len(data) != member.file_size:
            raise EOFError(f"{len(data)} bytes in place of {member.file_size}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise InvalidArchive(
            "Its contents are not what the archive's directory says. Zip the files again.", code="damaged_member"
        ) from error
    return data


def _too_many(max_images: int, more: str = "") -> InvalidArchive:
    return InvalidArchive(
        f"The archive holds more than {max_images:,} files (max_dataset_images){more}. Leave some out.",
        code="too_many_images",
    )


def _name_encoding(name: bytes) -> InvalidArchive:
    """The error for a name that is not in UTF-8.

    The whole archive is refused: another name in the same code page may be UTF-8 by chance, and read as another word.
    """
    shown = printable(name.decode("utf-8", errors="surrogateescape"))
    return InvalidArchive(
        f"The name '{shown}' in the archive is not in UTF-8{readings(name)}. Zip the folders again with a program that"
        " writes UTF-8 names, such as 7-Zip with -mcu=on, or rename them in plain letters.",
        code="name_encoding",
    )
