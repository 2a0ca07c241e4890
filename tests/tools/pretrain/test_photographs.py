"""A Qt resource archive is written here byte by byte, in the format of version 1."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from struct import pack

import pytest
from PIL import Image

from tools.pretrain.photographs import read_rcc


def rcc(files: dict[str, bytes], compressed: bool) -> bytes:
    """One folder, "pictures", with these files."""
    names, contents, entries = b"", b"", []

    def name(text: str) -> int:
        nonlocal names
        at, names = len(names), names + pack(">HI", len(text), 0) + text.encode("utf-16-be")
        return at

    for file, content in files.items():
        data = pack(">I", len(content)) + zlib.compress(content) if compressed else content
        entries.append(pack(">IHHHI", name(file), int(compressed), 0, 0, len(contents)))
        contents += pack(">I", len(data)) + data
    root, folder = pack(">IHII", 0, 2, 1, 1), pack(">IHII", name("pictures"), 2, len(files), 2)
    tree = root + folder + b"".join(entries)
    start = 20
    head = pack(">4s4I", b"qres", 1, start, start + len(tree), start + len(tree) + len(contents))
    return head + tree + contents + names


@pytest.mark.parametrize("compressed", [False, True])
def test_files_of_an_archive_are_read_by_path(tmp_path: Path, compressed: bool) -> None:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(file, "PNG")
    path = tmp_path / "a.rcc"
    path.write_bytes(rcc({"a.png": file.getvalue(), "README": b"Licence: CC0"}, compressed))
    assert read_rcc(path) == {"/pictures/a.png": file.getvalue(), "/pictures/README": b"Licence: CC0"}


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.rcc"
    path.write_bytes(b"zzzz" + bytes(40))
    with pytest.raises(ValueError, match="is no Qt resource archive"):
        read_rcc(path)
