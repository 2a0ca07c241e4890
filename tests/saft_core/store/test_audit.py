from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store import audit, datasets, jobs, leases
from saft_core.store.models import Adapter, AuditEvent, Collection, CollectionImage, Job
from saft_core.store.scope import Scope
from tests.fixtures.tenants import add_adapter, add_dataset, add_images, add_tenant


def events(session: Session) -> list[tuple[str, str | None, str]]:
    rows = session.scalars(select(AuditEvent).order_by(AuditEvent.created_at, AuditEvent.id))
    return [(row.action, row.key_id, row.subject_id) for row in rows]


@pytest.fixture
def scope(session: Session) -> Scope:
    """What one tenant sees who came with a key."""
    return Scope(session, add_tenant(session).tenant_id, "key_1")


def test_what_is_added_and_deleted_is_written_down_with_its_key(scope: Scope) -> None:
    dataset = add_dataset(scope)
    collection = scope.add(Collection(name="c"))
    image = CollectionImage(filename="a.png", sha256="0" * 64, media_type="image/png")
    add_images(scope, collection.id, [image])
    scope.delete(image)
    job = jobs.create(scope, Job(name="j", dataset_id=dataset.id, config={}))
    jobs.request_cancel(scope, job.id)
    datasets.delete(scope, dataset.id)
    scope.session.flush()
    assert events(scope.session) == [
        ("dataset.created", "key_1", dataset.id),
        ("collection.created", "key_1", collection.id),
        ("images.added", "key_1", collection.id),
        ("image.deleted", "key_1", image.id),
        ("job.created", "key_1", job.id),
        ("dataset.deleted", "key_1", dataset.id),
    ]


def test_an_adapter_is_made_by_the_key_that_ordered_its_job(scope: Scope) -> None:
    job = jobs.create(scope, Job(name="j", dataset_id=add_dataset(scope).id, config={}))
    assert leases.claim(scope.session, job.id, "worker", 60, 3) is not None
    row = Adapter(
        name="j", classes=[], template="a {}", density=0.1, nnz=1, delta_bytes=1, base="b", base_fingerprint="f",
        metrics={}, blocks=[],
    )  # fmt: skip
    assert leases.finish(scope.session, job.id, "worker", leases.Result(row, b"c"))
    scope.session.flush()
    assert events(scope.session)[-2:] == [("adapter.created", "key_1", row.id), ("adapter.published", "key_1", row.id)]


def test_what_is_not_done_is_not_written_down(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        tenant_id = add_tenant(session).tenant_id
        add_adapter(Scope(session, tenant_id), "mine")
    with sessions() as session:
        add_adapter(Scope(session, tenant_id), "mine")
        session.rollback()
    with sessions() as session:
        assert [action for action, _, _ in events(session)] == ["adapter.created", "adapter.published"]


def test_the_log_is_the_tenants_own_and_newest_first(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    made = [add_dataset(mine).id for _ in range(3)]
    add_dataset(other)
    first = mine.page(AuditEvent, 2, None)
    second = mine.page(AuditEvent, 2, first.next_cursor)
    assert [event.subject_id for event in [*first.items, *second.items]] == made[::-1]


@pytest.mark.parametrize(("age", "kept"), [(0.99, True), (1.01, False)])
def test_events_are_kept_for_their_time(scope: Scope, age: float, kept: bool) -> None:
    event = AuditEvent(action="a", subject_id="s", created_at=func.clock_timestamp() - audit.KEEP_FOR * age)
    event.tenant_id = scope.tenant_id
    scope.session.add(event)
    audit.purge(scope.session)
    assert bool(events(scope.session)) == kept


def test_no_route_reaches_the_database_without_saying_whose_key_it_is() -> None:
    """`Scope(session, tenancy.tenant_id)` would write events of nobody's: `tenancy.scope(session)` knows the key."""
    folder = Path(__file__).parents[3] / "api"
    sources = {path.name: path.read_text("utf-8") for path in folder.rglob("*.py")}
    assert len(sources) > 20
    assert [name for name, source in sources.items() if "Scope(session, tenancy" in source] == []
