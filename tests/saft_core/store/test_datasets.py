from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import Conflict, NotFound
from saft_core.store import datasets, jobs
from saft_core.store.models import Dataset, DatasetImage, Job
from saft_core.store.scope import Scope
from tests.fixtures.tenants import add_dataset, add_tenant


def test_a_dataset_comes_back_with_its_images_by_position(scope: Scope) -> None:
    made = add_dataset(scope, 12)
    dataset, images = datasets.load(scope, made.id)
    assert dataset.image_count == 12
    assert [image.position for image in images] == list(range(12))
    assert [image.position for image in datasets.images(scope, made.id, after=3, limit=2)] == [4, 5]
    assert datasets.image(scope, made.id, 7).path == "a/7.png"
    with pytest.raises(NotFound, match="12"):
        datasets.image(scope, made.id, 12)


def test_a_foreign_dataset_does_not_exist(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    foreign = add_dataset(other)
    with pytest.raises(NotFound):
        datasets.load(mine, foreign.id)
    with pytest.raises(NotFound):
        datasets.delete(mine, foreign.id)
    with pytest.raises(NotFound):
        datasets.image(mine, foreign.id, 0)
    assert datasets.images(mine, foreign.id) == []


@pytest.mark.parametrize("role", ["dataset_id", "test_dataset_id"])
def test_a_dataset_in_use_stays_until_the_job_has_ended(scope: Scope, role: str) -> None:
    dataset, other = add_dataset(scope), add_dataset(scope)
    values = {"dataset_id": other.id, "test_dataset_id": other.id, role: dataset.id}
    job = jobs.create(scope, Job(name="icons", config={}, **values))
    with pytest.raises(Conflict, match=job.id):
        datasets.delete(scope, dataset.id)
    jobs.request_cancel(scope, job.id)
    datasets.delete(scope, dataset.id)
    assert scope.session.scalar(select(getattr(Job, role)).where(Job.id == job.id)) is None
    left = select(func.count()).select_from(DatasetImage).where(DatasetImage.dataset_id == dataset.id)
    assert scope.session.scalar(left) == 0


def test_a_job_made_while_the_dataset_is_deleted_finds_it_gone(sessions: sessionmaker[Session]) -> None:
    """Either the job is seen by the deletion or the deletion by the job; never a job without its dataset."""
    with sessions.begin() as session:
        scope = add_tenant(session)
        dataset, tenant_id = add_dataset(scope), scope.tenant_id

    def order() -> None:
        with sessions.begin() as session:
            scope = Scope(session, tenant_id)
            scope.get(Dataset, dataset.id, lock=True)
            jobs.create(scope, Job(name="icons", config={}, dataset_id=dataset.id))

    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as session:
            datasets.delete(Scope(session, tenant_id), dataset.id)
            ordered = pool.submit(order)
            with pytest.raises(TimeoutError):
                ordered.result(0.2)
        with pytest.raises(NotFound):
            ordered.result(30)
