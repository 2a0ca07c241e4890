from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store import embeddings, idempotency, jobs, leases, removal, tenants
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.embeddings import EmbeddingSpace
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.local_blobs import LocalBlobStore
from saft_core.store.models import AuditEvent, Collection, CollectionImage, IdempotencyRecord, Job, Model, Tenant
from saft_core.store.scope import Scope
from tests.fixtures.tenants import add_adapter, add_dataset, add_images, claimed

SHA256 = "a" * 64


class Killed(BaseException):
    """The process ends here."""


class Deadly(LocalBlobStore):
    """Kills the process at the n-th deletion."""

    def __init__(self, root: Path, at: int) -> None:
        super().__init__(root)
        self.left = at

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def delete_before(self, owner_id: str, sha256: str | None = None) -> None:
        self._count()
        super().delete_before(owner_id, sha256)

    def delete(self, tenant_id: str, sha256: str) -> None:
        self._count()
        super().delete(tenant_id, sha256)

    def delete_tenant(self, tenant_id: str) -> None:
        self._count()
        super().delete_tenant(tenant_id)


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "blobs")


@pytest.fixture
def checkpoints(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def make(session: Session, blobs: LocalBlobStore, checkpoints: CheckpointStore, name: str) -> str:
    """A tenant with two of everything, and its id."""
    tenant_id = tenants.create(session, name, tenants.new_key()).id
    scope = Scope(session, tenant_id, "key_1")
    for number in range(2):
        dataset, collection = add_dataset(scope), scope.add(Collection(name="c"))
        image = CollectionImage(filename="f", sha256=SHA256, media_type="image/png")
        add_images(scope, collection.id, [image])
        claimed(scope, [image])  # an upload under way
        adapter = add_adapter(scope, f"a{number}")
        embeddings.add(scope, EmbeddingSpace("f", adapter.id), [(SHA256, [1.0, 0.0])])
        job = jobs.create(scope, Job(name=f"j{number}", dataset_id=dataset.id, config={}))
        checkpoints.save(job.id, 1, b"state")
        blobs.put(tenant_id, SHA256, b"file")
        for owner in (dataset.id, collection.id):
            put_before(blobs, owner)
    idempotency.begin(session, tenant_id, "k", "h")
    idempotency.complete(session, tenant_id, "k", StoredAnswer(201, {}, None))
    return tenant_id


def put_before(blobs: LocalBlobStore, owner: str) -> None:
    """A file of the version before."""
    folder = blobs._root / owner
    folder.mkdir(parents=True)
    (folder / SHA256).write_bytes(b"file")


def left(session: Session, tenant_id: str) -> dict[str, int]:
    """Rows that carry the tenant's id, by table; none of those that have none."""
    tables: dict[str, Any] = {
        table.name: table.c.tenant_id for table in Model.metadata.sorted_tables if "tenant_id" in table.c
    }
    tables |= {"tenants": Tenant.__table__.c.id, "idempotency_records": IdempotencyRecord.__table__.c.owner}
    counts = {
        name: session.scalar(select(func.count()).select_from(column.table).where(column == tenant_id))
        for name, column in tables.items()
    }
    return {name: count for name, count in counts.items() if count}


def test_nothing_is_left_of_a_deleted_tenant_and_all_of_another(
    sessions: sessionmaker[Session], blobs: LocalBlobStore, checkpoints: CheckpointStore
) -> None:
    with sessions.begin() as session:
        gone, other = (make(session, blobs, checkpoints, name) for name in ("gone", "other"))
        before = left(session, other)
        assert len(before) >= 10
        tenants.delete_tenant(session, gone)
    removal.sweep(sessions, blobs, checkpoints)
    with sessions() as session:
        assert left(session, gone) == {"audit_events": 2}
        kept = session.scalars(select(AuditEvent).where(AuditEvent.tenant_id == gone).order_by(AuditEvent.created_at))
        assert [(event.action, event.key_id) for event in kept] == [
            ("tenant.created", "admin"),
            ("tenant.deleted", "admin"),
        ]
        assert left(session, other) == before
    assert [tenant_id for tenant_id, _ in blobs.tenants()] == [other]
    assert len(list(blobs.owners_before())) == 4
    assert len(list(checkpoints.job_ids())) == 2


@pytest.mark.parametrize("at", range(1, 15))
def test_a_kill_at_any_moment_only_delays(
    at: int, sessions: sessionmaker[Session], tmp_path: Path, checkpoints: CheckpointStore
) -> None:
    blobs = Deadly(tmp_path / "blobs", at)
    with sessions.begin() as session:
        gone = make(session, blobs, checkpoints, "gone")
        tenants.delete_tenant(session, gone)
    with pytest.raises(Killed):
        removal.sweep(sessions, blobs, checkpoints)
    removal.sweep(sessions, blobs, checkpoints)
    with sessions() as session:
        assert left(session, gone) == {"audit_events": 2}
    assert list(checkpoints.job_ids()) == []
    assert [*blobs.tenants(), *blobs.owners_before()] == []


def test_a_removal_that_takes_long_lets_others_have_their_turn(
    sessions: sessionmaker[Session],
    blobs: LocalBlobStore,
    checkpoints: CheckpointStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(removal, "REMOVE_SECONDS", 0)
    with sessions.begin() as session:
        gone = make(session, blobs, checkpoints, "gone")
        tenants.delete_tenant(session, gone)
    sweeps, found = 0, True
    while found:
        removal.sweep(sessions, blobs, checkpoints)
        sweeps += 1
        with sessions() as session:
            found = session.get(Tenant, gone) is not None
    assert sweeps > 5


def test_the_worker_of_a_deleted_tenant_is_stopped_and_writes_nothing(
    sessions: sessionmaker[Session], blobs: LocalBlobStore, checkpoints: CheckpointStore
) -> None:
    with sessions.begin() as session:
        gone = make(session, blobs, checkpoints, "gone")
        running, waiting = session.scalars(select(Job).where(Job.tenant_id == gone))
        assert leases.claim(session, running.id, "worker", 60, 3)
        tenants.delete_tenant(session, gone)
    with sessions.begin() as session:
        assert session.get_one(Job, waiting.id).status == "cancelled"
        assert leases.renew(session, running.id, "worker", 60).cancel_requested
    removal.sweep(sessions, blobs, checkpoints)
    with sessions.begin() as session:
        assert not leases.renew(session, running.id, "worker", 60).held
        assert leases.claim(session, running.id, "worker", 60, 3) is None
