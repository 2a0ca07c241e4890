"""No file may vanish that somebody refers to, and none stay that nobody needs: whatever happens at once, or dies."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import Conflict, NotFound, QuotaExceeded, Unauthorized
from saft_core.quota import Quota
from saft_core.store import datasets, images, tenants
from saft_core.store.images import Orphans, uploading
from saft_core.store.local_blobs import LocalBlobStore
from saft_core.store.models import Dataset, DatasetImage, new_id
from saft_core.store.scope import Scope
from tests.fixtures.uploads import FILES, WAIT_SECONDS, Tenant, is_waiting

ONE, TWO, *_ = FILES


class Killed(BaseException):
    """The process ends here."""


def age_claims(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        seconds = images.ORPHAN_AGE_SECONDS + 1
        session.execute(text(f"UPDATE image_claims SET created_at = created_at - interval '{seconds} seconds'"))


# --- one after the other ---------------------------------------------------------------------------------------------


def test_what_is_kept_stays_and_what_is_not_is_gone(tenant: Tenant) -> None:
    with uploading(tenant.sessions, tenant.blobs, tenant.id) as upload:
        with upload.saving() as save:
            for sha256 in (ONE, TWO):
                save(sha256, FILES[sha256], "image/png")
        assert tenant.files() == tenant.rows() == {ONE, TWO}
        with tenant.sessions.begin() as session:
            scope = Scope(session, tenant.id)
            images.keep(scope, upload.id, {TWO})
            tenant.write(scope, [TWO])
    assert tenant.files() == tenant.rows() == {TWO}
    assert tenant.claims() == 0


def test_an_upload_that_fails_leaves_nothing_and_takes_nothing(tenant: Tenant) -> None:
    kept = tenant.upload([ONE])

    def fail() -> None:
        raise QuotaExceeded

    with pytest.raises(QuotaExceeded):
        tenant.upload([ONE, TWO], before_keep=fail)
    assert tenant.files() == tenant.rows() == {ONE}
    tenant.delete(kept)
    assert tenant.files() == tenant.rows() == set()


def test_many_images_are_claimed_in_few_transactions(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    claim = images.claim

    def counted(scope: Scope, upload_id: str, found: Sequence[images.NewImage]) -> None:
        batches.append(len(found))
        claim(scope, upload_id, found)

    monkeypatch.setattr(images, "claim", counted)
    monkeypatch.setattr(images, "CLAIMED_AT_ONCE", 4)
    tenant.upload(list(FILES))
    monkeypatch.setattr(images, "CLAIMED_BYTES", 3)
    tenant.upload(list(FILES))
    assert batches == [4, 4, 2, 3, 3, 3, 1]


def test_only_what_is_new_counts_against_the_quota(tenant: Tenant) -> None:
    with tenant.sessions.begin() as session:
        tenants.set_quota(session, tenant.id, Quota(images=2, storage_bytes=2))
    for _ in range(2):
        tenant.upload([ONE, TWO])
    with pytest.raises(QuotaExceeded, match="images: you have 2, this needs 1 more"):
        tenant.upload(list(FILES)[:3])
    assert tenant.files() == {ONE, TWO}


def test_an_upload_whose_claims_were_dropped_is_refused(tenant: Tenant) -> None:
    def too_slow() -> None:
        age_claims(tenant.sessions)
        Orphans().sweep(tenant.sessions, tenant.blobs)

    with pytest.raises(Conflict, match="so long"):
        tenant.upload([ONE], before_keep=too_slow)
    assert tenant.files() == tenant.rows() == set()


def test_a_deleted_tenant_claims_nothing(tenant: Tenant) -> None:
    with tenant.sessions.begin() as session:
        tenants.delete_tenant(session, tenant.id)
    with pytest.raises(Unauthorized):
        tenant.upload()
    assert tenant.files() == set()


# --- at once ---------------------------------------------------------------------------------------------------------


class Paused(LocalBlobStore):
    """Waits in a deletion, before or after the file is gone."""

    def __init__(self, root: Path, after: bool) -> None:
        super().__init__(root)
        self.reached, self.go_on, self._after = Event(), Event(), after

    def delete(self, tenant_id: str, sha256: str) -> None:
        if self._after:
            super().delete(tenant_id, sha256)
        self.reached.set()
        assert self.go_on.wait(WAIT_SECONDS)
        super().delete(tenant_id, sha256)


@pytest.mark.parametrize("after", [False, True])
def test_an_upload_waits_for_a_removal_under_way_and_writes_its_file_then(
    tenant: Tenant, tmp_path: Path, after: bool
) -> None:
    with tenant.sessions.begin() as session:
        hashes = datasets.delete(Scope(session, tenant.id), tenant.upload())
    paused = Paused(tmp_path, after)
    with ThreadPoolExecutor(2) as pool:
        removal: Future[object] = pool.submit(tenant.release, hashes, paused)
        assert paused.reached.wait(WAIT_SECONDS)
        upload: Future[object] = pool.submit(tenant.upload)
        assert is_waiting(upload)
        paused.go_on.set()
        removal.result(WAIT_SECONDS)
        upload.result(WAIT_SECONDS)
    tenant.check()
    assert tenant.files() == {ONE}


def test_a_removal_leaves_what_an_upload_has_claimed(tenant: Tenant) -> None:
    first = tenant.upload()
    tenant.upload(before_keep=lambda: tenant.delete(first))
    tenant.check()
    assert tenant.files() == {ONE}


def test_a_removal_leaves_what_an_upload_is_keeping_just_now(tenant: Tenant) -> None:
    """Between the end of the claim and the dataset there is no moment to be seen."""
    first = tenant.upload()
    with uploading(tenant.sessions, tenant.blobs, tenant.id) as upload:
        with upload.saving() as save:
            save(ONE, FILES[ONE], "image/png")
        with tenant.sessions.begin() as session:
            scope = Scope(session, tenant.id)
            images.keep(scope, upload.id, [ONE])
            tenant.delete(first)
            tenant.write(scope, [ONE])
    tenant.check()
    assert tenant.files() == {ONE}


def test_a_deletion_waits_for_who_makes_a_dataset_of_the_dataset(tenant: Tenant) -> None:
    source = tenant.upload([ONE, TWO])
    with ThreadPoolExecutor(1) as pool:
        with tenant.sessions.begin() as session:
            scope = Scope(session, tenant.id)
            scope.hold(Dataset, source)
            deletion: Future[object] = pool.submit(tenant.delete, source)
            assert is_waiting(deletion)
            tenant.write(scope, [TWO])
        deletion.result(WAIT_SECONDS)
    tenant.check()
    assert tenant.files() == {TWO}


def test_a_dataset_of_a_dataset_that_is_being_deleted_is_not_made(tenant: Tenant) -> None:
    source = tenant.upload()

    def revise() -> None:
        with tenant.sessions.begin() as session:
            Scope(session, tenant.id).hold(Dataset, source)

    with ThreadPoolExecutor(1) as pool:
        with tenant.sessions.begin() as session:
            datasets.delete(Scope(session, tenant.id), source)
            revision: Future[object] = pool.submit(revise)
            assert is_waiting(revision)
        with pytest.raises(NotFound):
            revision.result(WAIT_SECONDS)


def test_of_two_uploads_of_the_same_images_one_brings_something_new(tenant: Tenant) -> None:
    with tenant.sessions.begin() as session:
        tenants.set_quota(session, tenant.id, Quota(images=1))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: tenant.upload(), range(8)))
    tenant.check()


def test_uploads_revisions_and_deletions_at_once_leave_all_that_is_referred_to_and_nothing_else(
    tenant: Tenant,
) -> None:
    def work(seed: int) -> list[str]:
        chance = random.Random(seed)
        mine: list[str] = []
        for _ in range(20):
            if mine and chance.random() < 0.5:
                tenant.delete(mine.pop(chance.randrange(len(mine))))
            elif mine and chance.random() < 0.5:
                with tenant.sessions.begin() as session:
                    scope = Scope(session, tenant.id)
                    scope.hold(Dataset, mine[0])
                    rows = datasets.images(scope, mine[0])
                    mine.append(tenant.write(scope, [row.sha256 for row in rows[:2]]))
            else:
                mine.append(tenant.upload(chance.sample(sorted(FILES), 3)))
        return mine

    with ThreadPoolExecutor(4) as pool:
        left = [dataset_id for mine in pool.map(work, range(4)) for dataset_id in mine]
    tenant.check()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tenant.delete, left))
    assert tenant.files() == tenant.rows() == set()
    assert tenant.claims() == 0


# --- what dies -------------------------------------------------------------------------------------------------------


def claim(tenant: Tenant, sha256: str = ONE) -> None:
    """The first step of an upload that dies then."""
    with tenant.sessions.begin() as session:
        images.claim(Scope(session, tenant.id), new_id("up"), [images.NewImage(sha256, "image/png", 1)])


@pytest.mark.parametrize("written", [False, True])
def test_what_a_dead_upload_claimed_is_cleared_when_it_is_old(tenant: Tenant, written: bool) -> None:
    tenant.upload([TWO])
    for sha256 in (ONE, TWO):
        claim(tenant, sha256)
    if written:
        tenant.blobs.put(tenant.id, ONE, FILES[ONE])
    orphans = Orphans()
    orphans.sweep(tenant.sessions, tenant.blobs)
    assert tenant.rows() == {ONE, TWO}  # the upload may still be under way
    age_claims(tenant.sessions)
    orphans.sweep(tenant.sessions, tenant.blobs)
    assert tenant.files() == tenant.rows() == {TWO}
    assert tenant.claims() == 0
    tenant.check()


def test_what_nobody_released_is_found(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant.upload(list(FILES)[:5])
    with tenant.sessions.begin() as session:
        datasets.delete(Scope(session, tenant.id), tenant.upload(list(FILES)))
    monkeypatch.setattr(images, "LOOKED_AT_ONCE", 3)
    orphans = Orphans()
    for _ in range(5):
        orphans.sweep(tenant.sessions, tenant.blobs)
    assert tenant.files() == tenant.rows() == set(list(FILES)[:5])
    tenant.check()


class Deadly(LocalBlobStore):
    """Kills the process when the file is gone."""

    def delete(self, tenant_id: str, sha256: str) -> None:
        super().delete(tenant_id, sha256)
        raise Killed


@pytest.mark.parametrize("uploads_again", [False, True])
def test_a_removal_that_dies_between_file_and_row_harms_nobody(
    tenant: Tenant, tmp_path: Path, uploads_again: bool
) -> None:
    with tenant.sessions.begin() as session:
        hashes = datasets.delete(Scope(session, tenant.id), tenant.upload())
    with pytest.raises(Killed):
        tenant.release(hashes, Deadly(tmp_path))
    assert (tenant.files(), tenant.rows()) == (set(), {ONE})
    if uploads_again:
        tenant.upload()
    Orphans().sweep(tenant.sessions, tenant.blobs)
    tenant.check()
    assert tenant.files() == tenant.rows() == ({ONE} if uploads_again else set())


def test_a_disk_that_fails_at_the_end_of_an_upload_leaves_the_rest_to_the_sweeper(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    def fail() -> None:
        raise QuotaExceeded

    monkeypatch.setattr(LocalBlobStore, "delete", refuse)
    with pytest.raises(QuotaExceeded):
        tenant.upload(before_keep=fail)
    assert "left to the sweeper" in caplog.text
    monkeypatch.undo()
    Orphans().sweep(tenant.sessions, tenant.blobs)
    assert tenant.files() == tenant.rows() == set()


BUSY = """
import hashlib, random, sys
from pathlib import Path
from saft_core.store.database import create_sessions
from tests.fixtures.uploads import FILES, Tenant
tenant = Tenant(create_sessions(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
chance, mine = random.Random(int(sys.argv[4])), []
while True:
    if len(mine) > 2:
        tenant.delete(mine.pop(chance.randrange(3)))
    mine.append(tenant.upload(chance.sample(sorted(FILES), 4)))
    print("done", flush=True)
"""


def test_a_process_that_is_killed_takes_nothing_and_leaves_only_what_is_cleared(
    tenant: Tenant, database_url: str, tmp_path: Path
) -> None:
    for seed in range(3):
        command = [sys.executable, "-c", BUSY, database_url, str(tmp_path), tenant.id, str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(20 + 7 * seed):
                assert process.stdout.readline()
            process.kill()
        tenant.upload([ONE])  # waits for what the dead one still holds
        tenant.check()
    age_claims(tenant.sessions)
    Orphans().sweep(tenant.sessions, tenant.blobs)
    tenant.check()
    with tenant.sessions() as session:
        assert tenant.rows() == set(session.scalars(select(DatasetImage.sha256)))
    assert tenant.claims() == 0
