from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from saft_core.errors import NotFound
from saft_core.store.blobs import ImageFile
from saft_core.store.local_blobs import WRITERS, LocalBlobStore
from saft_core.store.models import new_id

DATA = b"picture"
SHA256 = hashlib.sha256(DATA).hexdigest()
OWNER = new_id("ten")
BEFORE = new_id("ds")
FILE = ImageFile(OWNER, SHA256, BEFORE)


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "blobs")


def test_what_was_put_comes_back(blobs: LocalBlobStore) -> None:
    blobs.put(OWNER, SHA256, DATA)
    blobs.put(OWNER, SHA256, DATA)
    assert blobs.get(FILE) == DATA


def test_tenants_share_nothing(blobs: LocalBlobStore) -> None:
    other = replace(FILE, tenant_id=new_id("ten"))
    blobs.put(OWNER, SHA256, DATA)
    with pytest.raises(NotFound):
        blobs.get(other)
    blobs.put(other.tenant_id, SHA256, DATA)
    blobs.delete_tenant(OWNER)
    assert blobs.get(other) == DATA
    with pytest.raises(NotFound):
        blobs.get(FILE)


def test_a_tenant_whose_folder_goes_while_it_is_made_is_not_found(
    blobs: LocalBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def there_a_moment_ago(path: Path, *_: object) -> None:
        raise FileExistsError(path)

    monkeypatch.setattr(os, "mkdir", there_a_moment_ago)
    with pytest.raises(NotFound, match="removed"):
        blobs.put(OWNER, SHA256, DATA)


def test_deleting_what_is_not_there_does_nothing(blobs: LocalBlobStore) -> None:
    blobs.delete(OWNER, SHA256)
    blobs.delete_tenant(OWNER)
    blobs.delete_before(BEFORE)
    blobs.delete_before(BEFORE, SHA256)
    assert list(blobs.tenants()) == list(blobs.owners_before()) == []


def test_a_deleted_blob_is_gone_and_can_be_put_again(blobs: LocalBlobStore) -> None:
    blobs.put(OWNER, SHA256, DATA)
    blobs.delete(OWNER, SHA256)
    with pytest.raises(NotFound):
        blobs.get(FILE)
    blobs.put(OWNER, SHA256, DATA)
    assert blobs.get(FILE) == DATA


@pytest.mark.parametrize(
    "owner", ["..", "../ds", "", "ds_" + "0" * 31, "ds_" + "0" * 32 + "/..", "ds_" + "G" * 32, "/"]
)
def test_an_owner_that_is_no_id_is_refused(blobs: LocalBlobStore, owner: str) -> None:
    for call in (
        lambda: blobs.put(owner, SHA256, DATA),
        lambda: blobs.get(ImageFile(owner, SHA256, BEFORE)),
        lambda: blobs.get(ImageFile(OWNER, SHA256, owner)),
        lambda: blobs.adopt([ImageFile(OWNER, SHA256, owner)]),
        lambda: blobs.delete_tenant(owner),
        lambda: blobs.delete_before(owner),
    ):
        with pytest.raises(ValueError, match="owner"):
            call()


@pytest.mark.parametrize("sha256", ["../" + "0" * 61, "", "0" * 63, "0" * 64 + "\n", "Z" * 64])
def test_a_hash_that_is_none_is_refused(blobs: LocalBlobStore, sha256: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        blobs.put(OWNER, sha256, DATA)


def test_a_write_that_fails_leaves_nothing_behind(
    blobs: LocalBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        blobs.put(OWNER, SHA256, DATA)
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []
    with pytest.raises(NotFound):
        blobs.get(FILE)


def numbered(count: int) -> dict[str, bytes]:
    contents = [str(number).encode() for number in range(count)]
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


def write_all(blobs: LocalBlobStore, many: dict[str, bytes]) -> None:
    with blobs.writing(OWNER) as save:
        for sha256, content in many.items():
            save(sha256, content)


def test_many_blobs_at_once_are_all_there_at_the_end(blobs: LocalBlobStore) -> None:
    many = numbered(50)
    write_all(blobs, many)
    assert {sha256: blobs.get(replace(FILE, sha256=sha256)) for sha256 in many} == many


def test_of_many_blobs_at_once_one_that_fails_is_not_overlooked(
    blobs: LocalBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = numbered(WRITERS * 3)
    failing = list(many)[WRITERS]
    write = LocalBlobStore._write

    def sometimes(self: LocalBlobStore, path: Path, data: bytes) -> None:
        if path.name == failing:
            raise OSError("no space left on device")
        write(self, path, data)

    monkeypatch.setattr(LocalBlobStore, "_write", sometimes)
    with pytest.raises(OSError, match="no space"):
        write_all(blobs, many)
    assert sum(blobs.has(OWNER, sha256) for sha256 in many) == len(many) - 1


def test_a_write_into_a_folder_that_is_just_deleted_finds_the_owner_gone(
    blobs: LocalBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def delete_first(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        blobs.delete_tenant(OWNER)

    monkeypatch.setattr(os, "fsync", delete_first)
    with pytest.raises(NotFound, match="removed"):
        blobs.put(OWNER, SHA256, DATA)
    blobs.put(OWNER, SHA256, DATA)
    assert blobs.get(FILE) == DATA


def test_folders_are_listed_with_their_last_change_and_strange_ones_are_not(
    blobs: LocalBlobStore, tmp_path: Path
) -> None:
    blobs.put(OWNER, SHA256, DATA)
    put_before(tmp_path)
    for strange in ("lost+found", "images/lost+found"):
        (tmp_path / "blobs" / strange).mkdir()
    for folder in (BEFORE, f"images/{OWNER}"):
        os.utime(tmp_path / "blobs" / folder, (1000, 1000))
    assert list(blobs.tenants()) == [(OWNER, 1000.0)]
    assert list(blobs.owners_before()) == [(BEFORE, 1000.0)]


def test_what_a_dead_process_was_writing_is_cleared_when_it_is_old(blobs: LocalBlobStore, tmp_path: Path) -> None:
    blobs.put(OWNER, SHA256, DATA)
    for name, changed in (("old", 1000), ("new", 3000)):
        (tmp_path / "blobs" / "incoming" / name).touch()
        os.utime(tmp_path / "blobs" / "incoming" / name, (changed, changed))
    blobs.clear_incoming(2000)
    assert [path.name for path in (tmp_path / "blobs" / "incoming").iterdir()] == ["new"]
    assert blobs.get(FILE) == DATA


# --- files of the version before -------------------------------------------------------------------------------------


def put_before(tmp_path: Path, data: bytes = DATA) -> Path:
    path = tmp_path / "blobs" / BEFORE / hashlib.sha256(data).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_file_is_read_where_it_lay_before_until_it_is_adopted(blobs: LocalBlobStore, tmp_path: Path) -> None:
    old = put_before(tmp_path)
    assert (blobs.get(FILE), blobs.size(FILE), blobs.has(OWNER, SHA256)) == (DATA, len(DATA), False)
    for _ in range(2):
        assert blobs.adopt([FILE]) == [len(DATA)]
    assert old.stat().st_nlink == 2
    blobs.delete_before(BEFORE)
    assert (blobs.get(FILE), blobs.size(FILE)) == (DATA, len(DATA))


def test_where_nothing_can_be_linked_a_file_is_copied(
    blobs: LocalBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("this file system has no links")

    monkeypatch.setattr(os, "link", refuse)
    old = put_before(tmp_path)
    assert blobs.adopt([FILE]) == [len(DATA)]
    assert (old.stat().st_nlink, blobs.get(FILE)) == (1, DATA)


def test_a_file_that_is_nowhere_has_no_bytes(blobs: LocalBlobStore) -> None:
    assert blobs.adopt([FILE]) == [0]
    assert blobs.size(FILE) == 0
