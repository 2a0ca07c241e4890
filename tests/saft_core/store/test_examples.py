from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from saft_core.errors import Conflict
from saft_core.store import adapters, datasets, examples, jobs
from saft_core.store.models import AdapterMistake, Job
from saft_core.store.scope import Scope
from tests.fixtures.tenants import add_adapter, add_dataset, add_tenant


def contents(images: int, first: int = 0) -> examples.Contents:
    """Of `add_dataset`."""
    return frozenset(("a", f"{first + n:064x}") for n in range(images))


def wrong(dataset_id: str, position: int = 0) -> AdapterMistake:
    return AdapterMistake(dataset_id=dataset_id, position=position, split="test", prediction="b")


def test_a_dataset_is_found_by_its_name_and_by_all_that_it_holds(scope: Scope) -> None:
    made = add_dataset(scope, 3)
    assert examples.dataset(scope, "set", contents(3)) == made
    assert examples.dataset(scope, "other", contents(3)) is None
    for other in (contents(2), contents(4), contents(3, first=1), frozenset(("b", sha) for _, sha in contents(3))):
        assert examples.dataset(scope, "set", other) is None


def test_of_two_datasets_with_the_same_images_the_newer_one_is_found(scope: Scope) -> None:
    add_dataset(scope, 3)
    newer = add_dataset(scope, 3)
    assert examples.dataset(scope, "set", contents(3)) == newer


def test_another_tenants_dataset_is_not_found(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    add_dataset(other, 3)
    assert examples.dataset(mine, "set", contents(3)) is None


def test_an_adapter_is_found_by_its_container_and_its_mistakes_in_both_datasets(scope: Scope) -> None:
    train, test, third = (add_dataset(scope, 3).id for _ in range(3))
    made = add_adapter(scope, "x", b"numbers", [wrong(train), wrong(test, 1)])
    assert examples.adapter(scope, (train, test), "f", b"numbers", 2) == made
    assert examples.adapter(scope, (train, third), "f", b"numbers", 2) is None
    assert examples.adapter(scope, (train, test), "f", b"Numbers", 2) is None
    assert examples.adapter(scope, (train, test), "another base", b"numbers", 2) is None
    datasets.delete(scope, test)
    assert examples.adapter(scope, (train, test), "f", b"numbers", 2) is None


def test_a_training_is_found_while_it_may_still_give_an_adapter(scope: Scope) -> None:
    pair = train, test = add_dataset(scope).id, add_dataset(scope).id
    values = {"dataset_id": train, "test_dataset_id": test, "config": {}, "base_fingerprint": "f"}
    jobs.create(scope, Job(name="own", asked={"epochs": 1}, **values))
    assert examples.job(scope, pair, "f") is None
    row = jobs.create(scope, Job(name="example", asked={}, **values))
    assert examples.job(scope, pair, "f") == (row, None)
    assert examples.job(scope, pair, "another base") is None
    jobs.request_cancel(scope, row.id)
    assert examples.job(scope, pair, "f") is None


def test_a_name_is_free_unless_an_adapter_or_a_training_has_it(scope: Scope) -> None:
    assert examples.free_name(scope, "x") == "x"
    add_adapter(scope, "x")
    assert examples.free_name(scope, "x") == "x-2"
    row = jobs.create(scope, Job(name="x-2", config={}, dataset_id=add_dataset(scope).id))
    assert examples.free_name(scope, "x") == "x-3"
    jobs.request_cancel(scope, row.id)
    assert examples.free_name(scope, "x") == "x-2"
    adapters.delete(scope, "x")
    assert examples.free_name(scope, "x") == "x"


def test_a_dataset_that_was_deleted_meanwhile_is_a_conflict(scope: Scope) -> None:
    with pytest.raises(Conflict, match="deleted just now"):
        examples.images(scope, ("ds_gone", "ds_gone_too"))
