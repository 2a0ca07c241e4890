from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from saft_client import Client
from saft_client import _files as files
from saft_client._files import LaterFile, batches, in_base64, in_folder, named
from tests.fixtures.client import written


def test_a_later_file_is_open_between_its_first_byte_and_its_last(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    before = len(os.listdir("/proc/self/fd"))
    file = LaterFile(path)
    assert len(os.listdir("/proc/self/fd")) == before
    assert (file.read(4), file.tell(), len(os.listdir("/proc/self/fd"))) == (b"0123", 4, before + 1)
    assert (file.read(), file.read(), len(os.listdir("/proc/self/fd"))) == (b"456789", b"", before)
    assert (file.seek(0), file.read(1), file.seek(0, io.SEEK_END)) == (0, b"0", 10)


def test_a_folder_becomes_files_named_by_their_path(tmp_path: Path) -> None:
    written(
        tmp_path, {"cat/1.png": b"x", "a b/dog/ü.png": b"y", ".git/config": b"", "cat/.DS_Store": b"", "l.csv": b""}
    )
    (tmp_path / "cat/pipe").symlink_to("/dev/null")
    assert [file.name for file in in_folder(tmp_path)] == ["l.csv", "a b/dog/ü.png", "cat/1.png"]


def test_a_form_of_many_files_has_one_of_them_open_and_says_its_length(tmp_path: Path) -> None:
    written(tmp_path, {f"cat/{number}.png": b"x" * number for number in range(300)})
    form = httpx.Request("POST", "http://x", files=[file.part("files") for file in in_folder(tmp_path)])
    before = len(os.listdir("/proc/self/fd"))
    assert isinstance(form.stream, httpx.SyncByteStream)
    sent, most = 0, 0
    for chunk in form.stream:
        sent, most = sent + len(chunk), max(most, len(os.listdir("/proc/self/fd")))
    assert sent == int(form.headers["content-length"]) > sum(range(300))
    assert most <= before + 1


def test_a_file_name_that_is_not_utf_8_is_refused_and_named(tmp_path: Path) -> None:
    folder = written(tmp_path, {"cat/caf\udce9.png": b"x"})
    nowhere = Client("http://127.0.0.1:1", "key", retries=0)
    for send in (
        lambda: nowhere.datasets.upload_folder(folder),
        lambda: nowhere.classify(folder / "cat/caf\udce9.png"),
        lambda: nowhere.datasets.upload_folder(written(tmp_path / "caf\udce9", {"a.png": b"x"})),
    ):
        with pytest.raises(ValueError, match=r"caf\\udce9.* rename"):
            send()
    assert in_base64(folder / "cat/caf\udce9.png") == "eA=="


def test_a_file_that_shrinks_while_it_is_sent_is_named(tmp_path: Path, saft: Client) -> None:
    path = written(tmp_path, {"a.png": b"x" * 200_000}) / "a.png"

    def shrinking(rest: bytes) -> Iterator[tuple[str, Path]]:
        yield "cat/a.png", path
        path.write_bytes(rest)

    for rest in (b"x" * 100_000, b""):
        with pytest.raises(OSError, match=r"a\.png became shorter"):
            saft.datasets.upload_files("pets", shrinking(rest))
        path.write_bytes(b"x" * 200_000)


def test_what_is_no_folder_of_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no files"):
        in_folder(tmp_path)
    with pytest.raises(NotADirectoryError):
        in_folder(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        named(tmp_path)
    with pytest.raises(FileNotFoundError):
        named(tmp_path / "missing")


def test_names_are_those_of_paths_and_files_or_given_or_numbers(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        given: list[files.Image] = [
            path,
            str(path),
            file,
            io.BytesIO(b"xy"),
            b"xyz",
            ("two.png", b""),
            ("three.png", path),
        ]
        (batch,) = batches(given)
    names = ["one.png", "one.png", "one.png", "image-3", "image-4", "two.png", "three.png"]
    assert [entry.name for entry in batch] == names
    assert [entry.size for entry in batch] == [1, 1, 1, 2, 3, 0, 1]


def test_batches_keep_the_order_and_stay_within_both_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BATCH_FILES", 3)
    monkeypatch.setattr(files, "BATCH_BYTES", 10)
    images = [b"1", b"22", b"333", b"4", b"55555555555", b"6", b"77777777", b"8"]
    found = list(batches(images))
    assert [entry.content for batch in found for entry in batch] == images
    assert [len(batch) for batch in found] == [3, 1, 1, 3]


def test_a_single_image_is_a_list_of_one(tmp_path: Path) -> None:
    path = tmp_path / "ab.png"
    path.write_bytes(b"x")
    assert [[file.name for file in batch] for batch in batches(str(path))] == [["ab.png"]]
