"""What the version before wrote, or writes meanwhile: tests/migrations/test_upgrade.py has more of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import text

from saft_core.store import adoption
from saft_core.store.blobs import ImageFile
from saft_core.store.images import Orphans
from saft_core.store.local_blobs import LocalBlobStore
from saft_core.store.models import DatasetImage
from saft_core.store.scope import Scope
from tests.fixtures.uploads import FILES, WAIT_SECONDS, Tenant, is_waiting

ONE, TWO, *_ = FILES


class Killed(BaseException):
    """The process ends here."""


def write_as_before(tenant: Tenant, root: Path, hashes: Collection[str]) -> str:
    """A dataset with its files where the version before has them."""
    with tenant.sessions.begin() as session:
        dataset_id = tenant.write(Scope(session, tenant.id), hashes)
        session.execute(text("UPDATE dataset_images SET adopted = false"))
    (root / dataset_id).mkdir()
    for sha256 in hashes:
        (root / dataset_id / sha256).write_bytes(FILES[sha256])
    return dataset_id


def test_what_is_not_adopted_yet_counts_as_referred_to(tenant: Tenant, tmp_path: Path) -> None:
    old = write_as_before(tenant, tmp_path, [ONE])
    tenant.delete(tenant.upload([ONE, TWO]))
    assert tenant.rows() == {ONE}
    adoption.adopt(tenant.sessions, tenant.blobs, DatasetImage, tenant.id, old)
    tenant.check()


def test_a_dataset_that_is_deleted_while_it_is_adopted_waits_and_leaves_nothing(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write_as_before(tenant, tmp_path, [ONE, TWO])
    adopt = LocalBlobStore.adopt
    deletions: list[Future[object]] = []

    def slowly(self: LocalBlobStore, files: Sequence[ImageFile]) -> list[int]:
        deletions.append(pool.submit(tenant.delete, old))
        assert is_waiting(deletions[0])
        return adopt(self, files)

    monkeypatch.setattr(LocalBlobStore, "adopt", slowly)
    with ThreadPoolExecutor(1) as pool:
        adoption.sweep(tenant.sessions, tenant.blobs)
        deletions[0].result(WAIT_SECONDS)
    assert tenant.files() == tenant.rows() == set()


def test_adoption_that_dies_between_row_and_file_goes_on(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_as_before(tenant, tmp_path, [ONE, TWO])
    adopt = LocalBlobStore.adopt

    def die(self: LocalBlobStore, files: Sequence[ImageFile]) -> list[int]:
        adopt(self, files[:1])
        raise Killed

    monkeypatch.setattr(LocalBlobStore, "adopt", die)
    with pytest.raises(Killed):
        adoption.sweep(tenant.sessions, tenant.blobs)
    assert (tenant.files(), tenant.rows()) == ({ONE}, {ONE, TWO})
    monkeypatch.undo()
    Orphans().sweep(tenant.sessions, tenant.blobs)
    adoption.sweep(tenant.sessions, tenant.blobs)
    tenant.check()
    assert tenant.files() == {ONE, TWO}


def test_a_sweep_adopts_for_a_while_and_goes_on_with_the_next(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_as_before(tenant, tmp_path, list(FILES))
    monkeypatch.setattr(adoption, "ADOPTED_AT_ONCE", 3)
    monkeypatch.setattr(adoption, "ADOPT_SECONDS", 0)
    adoption.sweep(tenant.sessions, tenant.blobs)
    assert tenant.files() == set()
    monkeypatch.setattr(adoption, "ADOPT_SECONDS", WAIT_SECONDS)
    adoption.sweep(tenant.sessions, tenant.blobs)
    assert tenant.files() == set(FILES)


def test_who_waits_for_another_that_adopts_goes_on_with_the_rest(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search waits for the sweeper and finds its first rows adopted: that is no reason to end."""
    old = write_as_before(tenant, tmp_path, list(FILES))
    monkeypatch.setattr(adoption, "ADOPTED_AT_ONCE", 4)
    monkeypatch.setattr(adoption, "ADOPT_SECONDS", 0.01)  # so that the sweep ends with the rows it is at
    adopt, reached, go_on = LocalBlobStore.adopt, Event(), Event()

    def paused(self: LocalBlobStore, files: Sequence[ImageFile]) -> list[int]:
        reached.set()
        assert go_on.wait(WAIT_SECONDS)
        return adopt(self, files)

    monkeypatch.setattr(LocalBlobStore, "adopt", paused)
    with ThreadPoolExecutor(2) as pool:
        sweep: Future[object] = pool.submit(adoption.sweep, tenant.sessions, tenant.blobs)
        assert reached.wait(WAIT_SECONDS)
        search: Future[object] = pool.submit(
            adoption.adopt, tenant.sessions, tenant.blobs, DatasetImage, tenant.id, old
        )
        assert is_waiting(search)
        go_on.set()
        for future in (sweep, search):
            future.result(WAIT_SECONDS)
    assert tenant.files() == set(FILES)
