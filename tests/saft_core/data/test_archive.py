from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saft_core.data.archive import MEMBERS_PER_IMAGE, RATIO_FLOOR_BYTES, read_archive
from saft_core.data.entries import Entry, Folder, Item, Rejection
from saft_core.data.limits import DataLimits
from saft_core.data.paths import is_clutter
from saft_core.errors import InvalidArchive, InvalidInput
from tests.saft_core.data.uploads import LIMITS, patched, zipped

# Where things stand in a central directory header and in the record that ends it.
UNPACKED_AT_ONCE = zipfile.ZipExtFile.MIN_READ_SIZE
FLAGS, METHOD, CRC, PACKED, EXPANDED, OFFSET = 8, 10, 16, 20, 24, 42
END_DISK, END_SIZE, END_OFFSET = 4, 12, 16


def items(data: bytes, limits: DataLimits = LIMITS) -> list[Item]:
    return read_archive(io.BytesIO(data), limits)


def paths(data: bytes) -> list[str]:
    return [item.path for item in items(data) if isinstance(item, Entry)]


def only(data: bytes, limits: DataLimits = LIMITS) -> Item:
    (item,) = items(data, limits)
    return item


def rejection(data: bytes, limits: DataLimits = LIMITS) -> Rejection:
    item = only(data, limits)
    assert isinstance(item, Rejection)
    assert item.reason.endswith(".")
    return item


def archive_error(data: bytes, limits: DataLimits = LIMITS) -> str:
    with pytest.raises(InvalidArchive) as caught:
        items(data, limits)
    assert caught.value.message.endswith(".")
    return caught.value.error_code


def read_error(data: bytes, limits: DataLimits = LIMITS) -> str:
    item = only(data, limits)
    assert isinstance(item, Entry)
    with pytest.raises(InvalidArchive) as caught:
        item.read()
    return caught.value.error_code


def with_header(data: bytes, position: int, layout: str, value: int) -> bytes:
    """The archive with one number in its first directory header replaced."""
    return patched(data, data.index(b"PK\1\2") + position, layout, value)


def with_end(data: bytes, position: int, layout: str, value: int) -> bytes:
    return patched(data, data.rindex(b"PK\5\6") + position, layout, value)


def raw_named(name: bytes, flags: int = 0, extra: bytes = b"") -> bytes:
    """An archive of one stored member whose name is these bytes."""
    body = b"data"
    sizes = struct.pack("<LLL", zlib.crc32(body), len(body), len(body))
    local = b"PK\3\4" + struct.pack("<5H", 20, flags, 0, 0, 0) + sizes + struct.pack("<HH", len(name), 0) + name + body
    header = b"PK\1\2" + struct.pack("<6H", 20, 20, flags, 0, 0, 0) + sizes
    header += struct.pack("<5H2L", len(name), len(extra), 0, 0, 0, 0, 0) + name + extra
    return local + header + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, len(header), len(local), 0)


# --- honest archives ---


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_come_in_order_and_read_back(compression: int) -> None:
    files = {"cat/1.jpg": b"one" * 99, "dog/2.jpg": b"", "dog/3.jpg": bytes(200_000)}
    found = items(zipped(files, compression))
    assert {item.path: item.read() for item in found if isinstance(item, Entry)} == files
    assert [item.path for item in found] == list(files)


def test_members_can_be_read_in_any_order_and_again() -> None:
    files = {f"cat/{number}.jpg": bytes([number]) * 5000 for number in range(9)}
    found = [item for item in items(zipped(files)) if isinstance(item, Entry)]
    for item in [*reversed(found), *found]:
        assert item.read() == files[item.path]


def test_data_that_does_not_compress_and_data_that_compresses_well() -> None:
    noise = bytes(zlib.crc32(struct.pack("<I", number)) & 255 for number in range(300_000))
    files = {"noise": noise, "zeros": bytes(1 << 20), "mixed": noise[:70_000] + bytes(300_000) + noise}
    assert {item.path: item.read() for item in items(zipped(files)) if isinstance(item, Entry)} == files


def test_sizes_around_the_chunk_of_the_inflater() -> None:
    files = {f"cat/{size}": b"ab" * size for size in range(UNPACKED_AT_ONCE // 2 - 150, UNPACKED_AT_ONCE // 2 + 150)}
    assert {item.path: item.read() for item in items(zipped(files)) if isinstance(item, Entry)} == files


def test_an_archive_written_as_a_stream_has_its_sizes_behind_the_data() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.jpg", b"one" * 50)
    item = only(bytes(pipe.data))
    assert isinstance(item, Entry)
    assert item.read() == b"one" * 50


def test_zip64() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("cat/1.jpg", "w", force_zip64=True) as member:
        member.write(b"one")
    data = buffer.getvalue()
    header = data.index(b"PK\1\2")
    extra = struct.pack("<HHQQQ", 1, 24, 3, 3, 0)
    large = data[header : header + 46] + b"cat/1.jpg" + extra
    for position in (PACKED, EXPANDED, OFFSET):
        large = patched(large, position, "<L", 0xFFFFFFFF)
    large = patched(large, 30, "<H", len(extra))
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(large), header)
    end += struct.pack("<4sLQL", b"PK\6\7", 0, header + len(large), 1)
    end += b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    item = only(data[:header] + large + end)
    assert isinstance(item, Entry)
    assert item.read() == b"one"


def test_bytes_before_the_archive_and_a_comment_behind_it() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat/1.jpg", b"one")
        archive.comment = b"made with love" * 100
    item = only(b"#!/bin/sh self-extracting\n" + buffer.getvalue())
    assert isinstance(item, Entry)
    assert item.read() == b"one"


def test_folders_are_told_from_files() -> None:
    assert items(zipped({"cat/": b"", "cat/1.jpg": b"x"}))[0] == Folder("cat")


def test_clutter_is_dropped_without_a_word() -> None:
    names = ["__MACOSX/cat/._1.jpg", "cat/.DS_Store", "cat/Thumbs.db", "desktop.ini", ".git/config", "./", "cat/1.jpg"]
    assert paths(zipped(dict.fromkeys(names, b"x"))) == ["cat/1.jpg"]


def test_an_empty_archive_holds_nothing() -> None:
    assert items(zipped({})) == []


# --- names ---


@pytest.mark.parametrize(
    "name", ["猫/ネコ.jpg", "кот/1.jpg", "été/é.png", "قط/1.jpg", "👩\u200d🚀/1.png", "a b_c/1.jpg"]
)
def test_names_in_any_script(name: str) -> None:
    assert paths(zipped({name: b"x"})) == [name]
    assert paths(raw_named(name.encode())) == [name]  # UTF-8 that nobody said is UTF-8


@pytest.mark.parametrize("flags", [0, 0x800])
@pytest.mark.parametrize(
    ("name", "codec", "page"),
    [
        ("naïve/1.jpg", "cp437", "code page 850"),
        ("Äpfel/1.jpg", "cp850", "code page 850"),
        ("crème brûlée/1.jpg", "cp1252", "Windows-1252"),
        ("кот/1.jpg", "cp1251", "Windows-1251"),
        ("кот/1.jpg", "cp866", "code page 866"),
        ("苹果/1.jpg", "gbk", "GBK"),
        ("ネコ/1.jpg", "shift-jis", "Shift-JIS"),
        ("表/1.jpg", "shift-jis", "Shift-JIS"),  # its second byte is a backslash
        ("고양이/1.jpg", "euc-kr", "EUC-KR"),
        ("貓/1.jpg", "big5", "Big5"),
    ],
)
def test_a_name_in_another_code_page_is_refused_with_what_it_may_say(
    name: str, codec: str, page: str, flags: int
) -> None:
    with pytest.raises(InvalidArchive) as caught:
        items(raw_named(name.encode(codec), flags))
    assert caught.value.error_code == "name_encoding"
    assert f"in {page} it reads '{name}'" in caught.value.message
    assert "UTF-8" in caught.value.message


def test_one_name_in_another_code_page_refuses_the_archive() -> None:
    """猫 in GBK happens to be è in UTF-8: what its neighbour is in tells that neither can be trusted."""
    assert "猫".encode("gbk").decode("utf-8") == "è"
    data = zipped({"ab/1.jpg": b"x", "cd/1.jpg": b"x"}).replace(b"ab/", "猫/".encode("gbk"))
    assert paths(data) == ["è/1.jpg", "cd/1.jpg"]
    assert archive_error(data.replace(b"cd/", "狗/".encode("gbk"))) == "name_encoding"


def test_clutter_in_another_code_page_does_not_matter() -> None:
    data = zipped({"__MACOSX/cat/._a": b"x", "cat/1.jpg": b"x"}).replace(b"._a", b"._\x8b")
    assert paths(data) == ["cat/1.jpg"]


def test_a_long_name_in_another_code_page_makes_no_long_message() -> None:
    with pytest.raises(InvalidArchive) as caught:
        items(raw_named(b"\xc4" * 60_000))
    assert len(caught.value.message) < 2000


def test_the_unicode_name_beside_a_name_in_another_code_page() -> None:
    raw = "猫/1.jpg".encode("gbk", errors="replace")
    name = "猫/1.jpg".encode()
    extra = struct.pack("<HHBL", 0x7075, 5 + len(name), 1, zlib.crc32(raw)) + name
    assert paths(raw_named(raw, extra=extra)) == ["猫/1.jpg"]
    stale = struct.pack("<HHBL", 0x7075, 5 + len(name), 1, 1) + name
    assert paths(raw_named(b"cat/1.jpg", extra=stale)) == ["cat/1.jpg"]


def test_names_come_in_one_unicode_form() -> None:
    assert paths(zipped({unicodedata.normalize("NFD", "été/1.jpg"): b"x"})) == ["été/1.jpg"]


def test_a_name_in_no_code_page_is_refused_with_its_bytes() -> None:
    with pytest.raises(InvalidArchive, match=r"cat/\\udcff\\udcfe\.jpg") as caught:
        items(raw_named(b"cat/\xff\xfe.jpg", flags=0x800))
    assert caught.value.error_code == "name_encoding"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"cat\\1.jpg", "cat/1.jpg"),
        (b".\\pets\\cat/1.jpg", "pets/cat/1.jpg"),
        (b"pets\\\\cat\\1.jpg", "pets/cat/1.jpg"),
    ],
)
def test_backslashes_of_windows_programs_are_separators(name: bytes, path: str) -> None:
    assert paths(raw_named(name)) == [path]


@pytest.mark.parametrize("name", [b"__MACOSX\\cat\\._1.jpg", b"cat\\Thumbs.db", b".git\\config", b".\\"])
def test_clutter_behind_backslashes_is_clutter(name: bytes) -> None:
    assert items(raw_named(name)) == []


def test_a_folder_by_its_backslash() -> None:
    assert items(raw_named(b"cat\\")) == [Folder("cat")]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"/etc/passwd", "unsafe_path"),
        (b"../../etc/passwd", "unsafe_path"),
        (b"cat/../../1.jpg", "unsafe_path"),
        (b"..\\..\\1.jpg", "unsafe_path"),
        (b"cat\\..\\..\\1.jpg", "unsafe_path"),
        (b"\\etc\\passwd", "unsafe_path"),
        (b"\\\\server\\share\\1.jpg", "unsafe_path"),
        (b"..\\", "unsafe_path"),
        (b"C:/cat/1.jpg", "unsafe_path"),
        (b"C:\\cat\\1.jpg", "unsafe_path"),
        (b"../", "unsafe_path"),
        (b"cat/1.jpg\0.txt", "control_characters"),
        (b"cat/\r\n.jpg", "control_characters"),
        (b"cat/" + b"x" * 2000, "path_too_long"),
    ],
)
def test_path_tricks_are_rejected(name: bytes, code: str) -> None:
    found = rejection(raw_named(name))
    assert found.code == code
    assert "\0" not in found.path


@given(st.binary(min_size=1, max_size=40), st.sampled_from([0, 0x800]))
def test_whatever_the_name_the_path_is_safe(name: bytes, flags: int) -> None:
    text = name.decode("utf-8", errors="surrogateescape")
    if any("\udc80" <= character <= "\udcff" for character in text) and (flags or not is_clutter(text)):
        assert archive_error(raw_named(name, flags)) == "name_encoding"
        return
    for item in items(raw_named(name, flags)):
        item.path.encode("utf-8")
        assert "\0" not in item.path
        if not isinstance(item, Rejection):
            assert not item.path.startswith("/")
            assert ".." not in item.path.split("/")
            assert "\\" not in item.path


# --- members that are turned away ---


def special(mode: int, name: str = "cat/1.jpg", body: bytes = b"/etc/passwd") -> bytes:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, body)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        (stat.S_IFLNK | 0o777, "symlink"),
        (stat.S_IFIFO | 0o644, "not_a_file"),
        (stat.S_IFCHR | 0o644, "not_a_file"),
        (stat.S_IFBLK | 0o644, "not_a_file"),
        (stat.S_IFSOCK | 0o644, "not_a_file"),
    ],
)
def test_links_and_devices_are_rejected(mode: int, code: str) -> None:
    assert rejection(special(mode)).code == code


def test_a_link_that_looks_like_a_folder_is_rejected() -> None:
    assert rejection(special(stat.S_IFLNK | 0o777, "cat/")).code == "symlink"


def test_regular_files_and_folders_by_mode_are_taken() -> None:
    assert isinstance(only(special(stat.S_IFREG | 0o644)), Entry)
    assert only(special(stat.S_IFDIR | 0o755, "cat", b"")) == Folder("cat")


@pytest.mark.parametrize("flag", [0x0001, 0x0040, 0x2000])
def test_encrypted_members_are_rejected(flag: int) -> None:
    assert rejection(with_header(zipped({"cat/1.jpg": b"x"}), FLAGS, "<H", flag)).code == "encrypted"


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression_is_rejected(compression: int) -> None:
    assert rejection(zipped({"cat/1.jpg": b"x" * 100}, compression)).code == "unsupported_compression"


def test_a_member_larger_than_an_image_may_be_is_rejected() -> None:
    data = zipped({"cat/film.mov": b"x" * 1001})
    found = rejection(data, replace(LIMITS, max_image_bytes=1000))
    assert found.code == "image_too_large"
    assert "1,001" in found.reason
    assert isinstance(only(data, replace(LIMITS, max_image_bytes=1001)), Entry)


def test_a_member_that_unpacks_to_a_multiple_is_rejected() -> None:
    bomb = zipped({"cat/1.jpg": bytes(RATIO_FLOOR_BYTES + 1)})
    assert rejection(bomb).code == "compression_ratio"
    assert isinstance(only(bomb, replace(LIMITS, max_archive_ratio=2000)), Entry)
    assert isinstance(only(zipped({"cat/1.jpg": bytes(RATIO_FLOOR_BYTES)})), Entry)


# --- members that lie ---


@pytest.mark.parametrize("claimed", [0, 1, 99_999, 100_001])
def test_a_wrong_size_is_noticed(claimed: int) -> None:
    assert read_error(with_header(zipped({"cat/1.jpg": b"ab" * 50_000}), EXPANDED, "<L", claimed)) == "damaged_member"
    stored = zipped({"cat/1.jpg": b"ab" * 50_000}, zipfile.ZIP_STORED)
    assert read_error(with_header(stored, EXPANDED, "<L", claimed)) == "damaged_member"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_bomb_that_claims_to_be_small_is_not_unpacked_past_its_claim(compression: int) -> None:
    data = with_header(zipped({"cat/1.jpg": bytes(30 << 20)}, compression), EXPANDED, "<L", 5000)
    item = only(data)
    assert isinstance(item, Entry)
    tracemalloc.start()
    with pytest.raises(InvalidArchive, match="not what the archive's directory says"):
        item.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_wrong_checksum_is_noticed() -> None:
    assert read_error(with_header(zipped({"cat/1.jpg": b"x" * 100}), CRC, "<L", 1)) == "damaged_member"


@pytest.mark.parametrize("method", [0, 8])
def test_a_wrong_method_is_noticed(method: int) -> None:
    packed = zipped({"cat/1.jpg": b"x" * 100}, zipfile.ZIP_STORED if method == 8 else zipfile.ZIP_DEFLATED)
    assert read_error(with_header(packed, METHOD, "<H", method)) == "damaged_member"


def test_damaged_contents_are_noticed() -> None:
    data = bytearray(zipped({"cat/1.jpg": b"some text that is packed" * 20}))
    data[45] ^= 0xFF
    assert read_error(bytes(data)) == "damaged_member"


def test_a_packed_size_that_ends_too_early_is_noticed() -> None:
    data = zipped({"cat/1.jpg": bytes(range(256)) * 100})
    assert read_error(with_header(data, PACKED, "<L", 20)) == "damaged_member"


def test_a_member_whose_own_header_is_missing_is_noticed() -> None:
    assert read_error(b"XX" + zipped({"cat/1.jpg": b"x"})[2:]) == "damaged_member"


def test_a_member_that_grows_into_the_directory_is_noticed() -> None:
    """The member's own header, which nobody has seen before it is read, can claim a longer name."""
    assert read_error(patched(zipped({"cat/1.jpg": b"x"}), 28, "<H", 60_000)) == "damaged_member"


def test_overlapping_members_are_refused() -> None:
    """Many directory lines for the same bytes: a small file that unpacks without end."""
    data = zipped({"cat/1.jpg": bytes(100_000)})
    start = data.index(b"PK\1\2")
    end = data.rindex(b"PK\5\6")
    line = data[start:end]
    bomb = data[:start] + line * 500 + data[end:]
    assert archive_error(with_end(bomb, END_SIZE, "<L", 500 * len(line))) == "overlapping_members"


def test_a_member_inside_another_is_refused() -> None:
    inner = zipped({"cat/1.jpg": b"x" * 50}, zipfile.ZIP_STORED)
    outer = zipped({"cat/0.jpg": inner, "cat/1.jpg": b"x" * 50}, zipfile.ZIP_STORED)
    second = outer.rindex(b"PK\1\2")
    assert archive_error(patched(outer, second + OFFSET, "<L", outer.index(b"PK\3\4", 1))) == "overlapping_members"


# --- archives that are refused ---


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "empty_file", "empty"),
        (b"hello", "not_a_zip", "no zip file"),
        (b"Rar!\x1a\x07\x01\0", "not_a_zip", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c rest", "not_a_zip", "a 7z archive"),
        (b"\x1f\x8b\x08\0 tar.gz", "not_a_zip", "a gzip file"),
        (b"PK\5\6", "not_a_zip", "no zip file"),
        (zipped({"cat/1.jpg": b"x" * 100})[:-30], "truncated_archive", "cut off"),
        (zipped({"cat/1.jpg": b"x" * 100})[:60], "truncated_archive", "cut off"),
    ],
)
def test_files_that_are_no_zip(data: bytes, code: str, words: str) -> None:
    with pytest.raises(InvalidArchive, match=words) as caught:
        items(data)
    assert caught.value.error_code == code


def test_one_part_of_a_split_archive() -> None:
    assert archive_error(with_end(zipped({"cat/1.jpg": b"x"}), END_DISK, "<H", 3)) == "split_archive"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("no line", "damaged_archive"),
        ("size", "damaged_archive"),
        ("offset", "damaged_archive"),
        ("extra", "damaged_archive"),
        ("name", "name_encoding"),  # it goes on into the numbers of the next line
        ("zip64", "archive_too_large"),  # the number that stands for "see the extra field" is taken as it is
    ],
)
def test_a_damaged_directory(damage: str, code: str) -> None:
    data = zipped({"cat/1.jpg": b"x", "cat/2.jpg": b"y"})
    broken: dict[str, Callable[[], bytes]] = {
        "no line": lambda: data.replace(b"PK\1\2", b"PK\1\3"),
        "size": lambda: with_end(data, END_SIZE, "<L", 1 << 30),
        "offset": lambda: with_end(data, END_OFFSET, "<L", 1 << 30),
        "extra": lambda: with_header(data, 30, "<H", 60),
        "name": lambda: with_header(data, 28, "<H", 60_000),
        "zip64": lambda: with_header(data, EXPANDED, "<L", 0xFFFFFFFF),
    }
    assert archive_error(broken[damage]()) == code


def test_more_files_than_a_dataset_may_have() -> None:
    data = zipped({f"cat/{number}.jpg": b"x" for number in range(6)} | {"cat/": b"", "cat/.DS_Store": b"x"})
    assert len(items(data, replace(LIMITS, max_dataset_images=6))) == 7
    assert archive_error(data, replace(LIMITS, max_dataset_images=5)) == "too_many_images"


def test_a_directory_of_clutter_without_end_is_not_read_to_its_end() -> None:
    data = zipped(dict.fromkeys([f"cat/.{number}" for number in range(100)], b""))
    assert items(data, replace(LIMITS, max_dataset_images=100 // MEMBERS_PER_IMAGE)) == []
    assert archive_error(data, replace(LIMITS, max_dataset_images=100 // MEMBERS_PER_IMAGE - 1)) == "too_many_images"


@pytest.mark.parametrize("lines", [20_000, 1_000_000])
def test_a_directory_of_many_lines_costs_as_much_as_are_allowed(lines: int) -> None:
    """Few bytes with more lines than are taken, and more bytes than are read."""
    line = zipped({"c/1": b""}, zipfile.ZIP_STORED)
    line = line[line.index(b"PK\1\2") : line.rindex(b"PK\5\6")]
    data = line * lines
    file = io.BytesIO(data + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, len(data), 0, 0))
    tracemalloc.start()
    with pytest.raises(InvalidArchive, match="more than 1,000 files"):
        read_archive(file, replace(LIMITS, max_dataset_images=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_more_bytes_than_an_archive_may_unpack_to() -> None:
    data = zipped({f"cat/{number}.jpg": bytes(1000) for number in range(5)})
    assert len(items(data, replace(LIMITS, max_archive_expanded_bytes=5000))) == 5
    assert archive_error(data, replace(LIMITS, max_archive_expanded_bytes=4999)) == "archive_too_large"


def test_a_petabyte_claim_is_refused_by_its_claim() -> None:
    data = zipped({"cat/1.jpg": b"x" * 100})
    assert archive_error(with_header(data, EXPANDED, "<L", 0xFFFFFFFE)) == "archive_too_large"


# --- whatever the bytes are ---

BASE = zipped({"cat/": b"", "cat/1.jpg": b"one" * 30, "été/2.jpg": bytes(500), "cat/.DS_Store": b""})


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, len(BASE)),
    st.booleans(),
)
def test_mutated_archives_give_items_or_an_invalid_archive(
    flips: list[tuple[int, int]], cut: int, is_cut: bool
) -> None:
    data = bytearray(BASE)
    for position, value in flips:
        data[position] = value
    try:
        found = items(bytes(data[:cut] if is_cut else data))
    except InvalidArchive:
        return
    for item in found:
        if isinstance(item, Entry):
            try:
                assert len(item.read()) <= LIMITS.max_image_bytes
            except InvalidInput as error:
                Rejection.of(item.path, error)
