from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from saft_core.errors import NotFound
from saft_core.store.blobs import WRITERS, BlobStore
from saft_core.store.models import new_id

DATA = b"picture"
SHA256 = hashlib.sha256(DATA).hexdigest()
OWNER = new_id("ds")


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def test_what_was_put_comes_back(blobs: BlobStore) -> None:
    blobs.put(OWNER, SHA256, DATA)
    blobs.put(OWNER, SHA256, DATA)
    assert blobs.get(OWNER, SHA256) == DATA


def test_owners_share_nothing(blobs: BlobStore) -> None:
    other = new_id("col")
    blobs.put(OWNER, SHA256, DATA)
    with pytest.raises(NotFound):
        blobs.get(other, SHA256)
    blobs.put(other, SHA256, DATA)
    blobs.delete_owner(OWNER)
    assert blobs.get(other, SHA256) == DATA
    with pytest.raises(NotFound):
        blobs.get(OWNER, SHA256)


def test_an_owner_whose_folder_goes_while_it_is_made_is_not_found(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def there_a_moment_ago(path: Path, *_: object) -> None:
        raise FileExistsError(path)

    monkeypatch.setattr(os, "mkdir", there_a_moment_ago)
    with pytest.raises(NotFound, match="deleted"):
        blobs.put(OWNER, SHA256, DATA)


def test_deleting_what_is_not_there_does_nothing(blobs: BlobStore) -> None:
    blobs.delete(OWNER, SHA256)
    blobs.delete_owner(OWNER)
    assert list(blobs.owners()) == []


def test_a_deleted_blob_is_gone_and_can_be_put_again(blobs: BlobStore) -> None:
    blobs.put(OWNER, SHA256, DATA)
    blobs.delete(OWNER, SHA256)
    with pytest.raises(NotFound):
        blobs.get(OWNER, SHA256)
    blobs.put(OWNER, SHA256, DATA)
    assert blobs.get(OWNER, SHA256) == DATA


@pytest.mark.parametrize(
    "owner", ["..", "../ds", "", "ds_" + "0" * 31, "ds_" + "0" * 32 + "/..", "ds_" + "G" * 32, "/"]
)
def test_an_owner_that_is_no_id_is_refused(blobs: BlobStore, owner: str) -> None:
    for call in (lambda: blobs.put(owner, SHA256, DATA), lambda: blobs.get(owner, SHA256)):
        with pytest.raises(ValueError, match="owner"):
            call()
    with pytest.raises(ValueError, match="owner"):
        blobs.delete_owner(owner)


@pytest.mark.parametrize("sha256", ["../" + "0" * 61, "", "0" * 63, "0" * 64 + "\n", "Z" * 64])
def test_a_hash_that_is_none_is_refused(blobs: BlobStore, sha256: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        blobs.put(OWNER, sha256, DATA)


def test_a_write_that_fails_leaves_nothing_behind(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        blobs.put(OWNER, SHA256, DATA)
    assert list((tmp_path / "blobs" / OWNER).iterdir()) == []
    with pytest.raises(NotFound):
        blobs.get(OWNER, SHA256)


def numbered(count: int) -> dict[str, bytes]:
    contents = [str(number).encode() for number in range(count)]
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


def write_all(blobs: BlobStore, many: dict[str, bytes]) -> None:
    with blobs.writing(OWNER) as save:
        for sha256, content in many.items():
            save(sha256, content)


def test_many_blobs_at_once_are_all_there_at_the_end(blobs: BlobStore) -> None:
    many = numbered(50)
    write_all(blobs, many)
    assert {sha256: blobs.get(OWNER, sha256) for sha256 in many} == many


def test_of_many_blobs_at_once_one_that_fails_is_not_overlooked(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = numbered(WRITERS * 3)
    failing = list(many)[WRITERS]
    put = BlobStore.put

    def sometimes(self: BlobStore, owner_id: str, sha256: str, data: bytes) -> None:
        if sha256 == failing:
            raise OSError("no space left on device")
        put(self, owner_id, sha256, data)

    monkeypatch.setattr(BlobStore, "put", sometimes)
    with pytest.raises(OSError, match="no space"):
        write_all(blobs, many)
    assert sum(blobs.has(OWNER, sha256) for sha256 in many) == len(many) - 1


def test_a_write_into_a_folder_that_is_just_deleted_finds_the_owner_gone(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def delete_first(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        blobs.delete_owner(OWNER)

    monkeypatch.setattr(os, "fsync", delete_first)
    with pytest.raises(NotFound, match="deleted"):
        blobs.put(OWNER, SHA256, DATA)
    blobs.put(OWNER, SHA256, DATA)
    assert blobs.get(OWNER, SHA256) == DATA


def test_owners_are_listed_with_their_last_change_and_strange_folders_are_not(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.put(OWNER, SHA256, DATA)
    (tmp_path / "blobs" / "lost+found").mkdir()
    os.utime(tmp_path / "blobs" / OWNER, (1000, 1000))
    assert list(blobs.owners()) == [(OWNER, 1000.0)]
