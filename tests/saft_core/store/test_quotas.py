from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import QuotaExceeded, Unauthorized
from saft_core.quota import Quota
from saft_core.store import collections, jobs, leases, quotas, tenants
from saft_core.store.models import Collection, CollectionImage, Dataset, Job
from saft_core.store.quotas import Usage
from saft_core.store.scope import Scope
from tests.fixtures.tenants import BYTES, add_adapter, add_dataset, add_images, add_tenant, claimed


def images(count: int, size_bytes: int | None = 10, first: int = 0) -> list[CollectionImage]:
    return [
        CollectionImage(filename="a", sha256=f"{n:064x}", media_type="image/png", size_bytes=size_bytes)
        for n in range(first, first + count)
    ]


def queue(scope: Scope, name: str) -> Job:
    return jobs.create(scope, Job(name=name, config={}))


def test_what_a_tenant_has_is_counted_off_its_rows(session: Session) -> None:
    scope, other = add_tenant(session, "mine"), add_tenant(session, "other")
    assert quotas.usage(scope) == Usage(0, 0, 0, 0)
    for owner in (scope, other):
        add_dataset(owner, images=3)
        add_images(owner, owner.add(Collection(name="c")).id, images(2, size_bytes=7, first=3))
        add_adapter(owner, "a", b"12345")
        running, _ = queue(owner, "running"), queue(owner, "waiting")
        assert leases.claim(session, running.id, "worker", 60, 3)
    ended = queue(scope, "ended")
    jobs.request_cancel(scope, ended.id)
    assert quotas.usage(scope) == Usage(images=5, storage_bytes=3 * BYTES + 2 * 7 + 5, adapters=3, queued_jobs=1)


def test_an_image_counts_once_whatever_it_is_in_and_not_while_it_is_uploaded(scope: Scope) -> None:
    claimed(scope, images(9))
    assert quotas.usage(scope).images == 0
    for count in (3, 2):
        add_dataset(scope, images=count)
    for _ in range(2):
        add_images(scope, scope.add(Collection(name="c")).id, images(4))
    assert quotas.usage(scope) == Usage(images=4, storage_bytes=4 * BYTES, adapters=0, queued_jobs=0)


def test_without_limits_nothing_is_refused(scope: Scope) -> None:
    quotas.admit(scope, images=10**9, storage_bytes=10**15, adapters=10**6, queued_jobs=10**6)
    assert quotas.quota(scope) == Quota()


@pytest.mark.parametrize("name", ["images", "storage_bytes", "adapters", "queued_jobs"])
def test_a_quota_is_reached_and_not_passed_and_the_error_names_it(scope: Scope, name: str) -> None:
    tenants.set_quota(scope.session, scope.tenant_id, Quota(**{name: 7}))
    quotas.admit(scope, **{name: 7})
    with pytest.raises(QuotaExceeded, match=f"{name}: you have 0, this needs 8 more, and your quota is 7") as caught:
        quotas.admit(scope, **{name: 8})
    assert caught.value.details == {"quota": name, "limit": 7, "used": 0, "needed": 8}
    quotas.admit(scope, **dict.fromkeys({"images", "adapters", "queued_jobs"} - {name}, 99))


def test_a_lower_quota_takes_nothing_away_and_lets_nothing_come(scope: Scope) -> None:
    dataset = add_dataset(scope, images=3)
    tenants.set_quota(scope.session, scope.tenant_id, Quota(images=2))
    with pytest.raises(QuotaExceeded):
        add_dataset(scope, images=1, first=9)
    quotas.admit(scope, images=0)
    assert scope.get(Dataset, dataset.id)


def test_an_image_that_is_there_needs_no_room(scope: Scope) -> None:
    collection, second = (scope.add(Collection(name=name)).id for name in ("c", "d"))
    tenants.set_quota(scope.session, scope.tenant_id, Quota(images=2, storage_bytes=20))
    for there in (collection, collection, second):
        add_images(scope, there, images(2))
    add_dataset(scope, images=2)
    with pytest.raises(QuotaExceeded):
        add_images(scope, collection, images(1, first=2))


def test_nothing_is_added_to_a_deleted_tenant(scope: Scope) -> None:
    tenants.delete_tenant(scope.session, scope.tenant_id)
    for nobody in (scope, Scope(scope.session, "ten_gone")):
        with pytest.raises(Unauthorized):
            quotas.admit(nobody, images=1)


def add_a_dataset(scope: Scope, number: int) -> None:
    add_dataset(scope, images=1, first=number)


def add_a_job(scope: Scope, number: int) -> None:
    queue(scope, f"job {number}")


def add_an_image(scope: Scope, number: int) -> None:
    collection = scope.session.scalars(scope.select(Collection)).one()
    collections.locked(scope, collection.id)
    add_images(scope, collection.id, images(1, first=number))


@pytest.mark.parametrize("add", [add_a_dataset, add_a_job, add_an_image])
def test_two_at_once_cannot_both_take_the_last_place(
    sessions: sessionmaker[Session], add: Callable[[Scope, int], None]
) -> None:
    with sessions.begin() as session:
        tenant_id = add_tenant(session).tenant_id
        Scope(session, tenant_id).add(Collection(name="c"))
        tenants.set_quota(session, tenant_id, Quota(images=3, adapters=3, queued_jobs=3))
    barrier = Barrier(8)

    def attempt(number: int) -> bool:
        barrier.wait()
        try:
            with sessions.begin() as session:
                add(Scope(session, tenant_id), number)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 3


@pytest.mark.parametrize("wrong", [{"images": -1}, {"images": 2**63}, {"imagse": 1}, {"images": "many"}])
def test_a_quota_is_a_number_of_something_known(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="imag"):
        Quota.model_validate(wrong)
