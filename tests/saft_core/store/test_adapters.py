from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import Conflict, NotFound
from saft_core.store import adapters, datasets, deltas
from saft_core.store.models import Adapter, AdapterDelta, AdapterMistake, AdapterName
from saft_core.store.scope import Scope
from saft_core.templates import Template
from tests.fixtures.tenants import add_adapter, add_dataset, add_tenant


def test_an_adapter_is_found_by_id_and_by_name(scope: Scope) -> None:
    first, second = add_adapter(scope, "first"), add_adapter(scope, "second")
    assert [adapters.find(scope, key).id for key in (first.id, "first", "second")] == [first.id, first.id, second.id]
    for key in ("third", "FIRST", ""):
        with pytest.raises(NotFound):
            adapters.find(scope, key)


def test_what_is_long_can_be_left_out(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        scope = add_tenant(session, "one")
        added = add_adapter(scope, "first")
        kept = added.id, list(added.classes)
        session.flush()
        session.expunge_all()
        found = adapters.find(scope, "first", report=False)
        assert (found.id, found.classes) == kept
        for name in ("metrics", "blocks"):
            with pytest.raises(InvalidRequestError):
                getattr(found, name)


def test_an_id_goes_before_a_name(scope: Scope) -> None:
    first = add_adapter(scope, "first")
    add_adapter(scope, first.id)
    assert adapters.find(scope, first.id).id == first.id


def test_a_name_is_each_tenants_own(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    own, foreign = add_adapter(mine, "same", b"own"), add_adapter(other, "same", b"foreign")
    assert adapters.find(mine, "same").id == own.id
    assert deltas.container(other, foreign.id) == b"foreign"
    with pytest.raises(NotFound):
        deltas.container(mine, foreign.id)
    with pytest.raises(NotFound):
        adapters.find(mine, foreign.id)


def test_a_broken_rule_is_no_error_of_the_tenants(sessions: sessionmaker[Session]) -> None:
    with sessions() as session, pytest.raises(IntegrityError, match="tenant_id"):
        add_adapter(Scope(session, "ten_gone"), "free")


def test_a_name_that_a_service_of_the_version_before_gave_meanwhile(scope: Scope) -> None:
    """It takes no lock, and knows but one column."""
    scope.session.execute(
        text(
            "INSERT INTO adapters (id, tenant_id, name, classes, template, density, nnz, delta_bytes, base,"
            " base_fingerprint, metrics, blocks)"
            " VALUES ('ad_old', :tenant, 'icons@1', '[]', 'a {}', 0.1, 1, 1, 'b', 'f', '{}', '[]')"
        ),
        {"tenant": scope.tenant_id},
    )
    added = add_adapter(scope, "icons")
    assert (added.version, added.called) == (2, "icons")  # icons@1 is somebody's name
    old = adapters.find(scope, "icons@1")
    assert (old.id, old.name, old.version, old.published) == ("ad_old", "icons@1", 1, True)
    assert adapters.find(scope, "icons").id == added.id


def test_each_version_is_found_by_its_id_and_number_and_one_by_the_name(scope: Scope) -> None:
    first, second = add_adapter(scope, "icons"), add_adapter(scope, "icons")
    assert (first.version, second.version) == (1, 2)
    found = {key: adapters.find(scope, key).id for key in ("icons", "icons@1", "icons@2", first.id, second.id)}
    assert found == {
        "icons": second.id, "icons@1": first.id, "icons@2": second.id, first.id: first.id, second.id: second.id,
    }  # fmt: skip
    for key in ("icons@3", "icons@0", "icons@01", "icons@", "@1", "icons@1@1", "icons@9999999999"):
        with pytest.raises(NotFound):
            adapters.find(scope, key)


def test_an_older_version_is_published_again(scope: Scope) -> None:
    first, second = add_adapter(scope, "icons"), add_adapter(scope, "icons")
    adapters.publish(scope, first)
    assert adapters.find(scope, "icons").id == first.id
    assert adapters.find(scope, "icons@2").id == second.id
    adapters.publish(scope, first)
    assert (first.called, second.called) == ("icons", "icons@2")


def test_a_name_without_a_published_version_says_so(scope: Scope) -> None:
    first, second = add_adapter(scope, "icons"), add_adapter(scope, "icons")
    adapters.delete(scope, "icons@1")
    second.called = second.address
    scope.session.flush()
    with pytest.raises(NotFound, match="no version of 'icons' is published; ask for 'icons@2'"):
        adapters.find(scope, "icons")
    with pytest.raises(NotFound):
        adapters.find(scope, first.id)


def test_many_publish_at_once_and_one_answers(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        scope = add_tenant(session)
        ids = [add_adapter(scope, "icons").id for _ in range(4)]
        tenant_id = scope.tenant_id

    def publish(adapter_id: str) -> None:
        with sessions.begin() as session:
            scope = Scope(session, tenant_id)
            adapters.publish(scope, adapters.find(scope, adapter_id))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(publish, ids * 10))
    with sessions() as session:
        rows = session.scalars(select(Adapter)).all()
        assert sorted(row.called for row in rows if not row.published) == sorted(
            row.address for row in rows if not row.published
        )
        assert [row.called for row in rows if row.published] == ["icons"]


def test_one_that_was_deleted_meanwhile_is_not_published(scope: Scope) -> None:
    add_adapter(scope, "icons")
    second = add_adapter(scope, "icons")
    adapters.delete(scope, "icons")
    with pytest.raises(NotFound):
        adapters.publish(scope, second)


def test_a_name_deletes_all_its_versions_and_begins_anew(scope: Scope) -> None:
    for _ in range(3):
        add_adapter(scope, "icons")
    kept = add_adapter(scope, "kept")
    adapters.delete(scope, "icons")
    assert scope.session.scalars(scope.select(Adapter)).all() == [kept]
    assert scope.session.scalars(select(AdapterName.name)).all() == ["kept"]
    assert add_adapter(scope, "icons").version == 1


def test_the_version_that_answers_stays_while_there_are_others(scope: Scope) -> None:
    first, second = add_adapter(scope, "icons"), add_adapter(scope, "icons")
    for key in (second.id, "icons@2"):
        with pytest.raises(Conflict, match="version 2 answers the name 'icons'"):
            adapters.delete(scope, key)
    adapters.delete(scope, first.id)
    adapters.delete(scope, second.id)
    assert scope.session.scalars(scope.select(Adapter)).all() == []


def test_the_number_of_a_deleted_version_is_not_given_again(scope: Scope) -> None:
    add_adapter(scope, "icons")
    adapters.publish(scope, add_adapter(scope, "icons"))
    adapters.publish(scope, adapters.find(scope, "icons@1"))
    adapters.delete(scope, "icons@2")
    assert add_adapter(scope, "icons").version == 3


def test_versions_of_another_tenant_are_neither_found_nor_deleted(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    own = [add_adapter(mine, "icons"), add_adapter(mine, "icons")]
    add_adapter(other, "icons")
    for key in ("icons@2", own[0].id):
        with pytest.raises(NotFound):
            adapters.find(other, key)
        with pytest.raises(NotFound):
            adapters.delete(other, key)
    adapters.delete(other, "icons")
    assert [row.id for row in session.scalars(select(Adapter).order_by(Adapter.version))] == [one.id for one in own]


def test_a_list_has_the_figures_and_not_the_matrices(scope: Scope) -> None:
    added = add_adapter(scope, "icons")
    added.metrics = {"accuracy": 0.5, "confusion": {"adapted": [[1]]}, "interval": [0.1, 0.9], "verdict": None}
    added.metrics |= {"unknown": {"threshold": 0.5}, "prompts": {"cat": "a cat"}}
    scope.session.flush()
    scope.session.expunge_all()
    (item,) = adapters.page(scope, 10, None).items
    figures = {"accuracy": 0.5, "interval": [0.1, 0.9], "verdict": None, "unknown": {"threshold": 0.5}}
    assert item.summary == figures
    with pytest.raises(InvalidRequestError):
        _ = item.metrics


@pytest.mark.parametrize("metrics", [{}, {"confusion": {"adapted": [[1]]}}])
def test_a_list_shows_metrics_without_figures_as_empty(scope: Scope, metrics: dict[str, Any]) -> None:
    add_adapter(scope, "icons").metrics = metrics
    scope.session.flush()
    (item,) = adapters.page(scope, 10, None).items
    assert item.summary == {}


def test_a_list_of_one_name_or_of_what_answers(scope: Scope) -> None:
    first, second, other = (add_adapter(scope, name) for name in ("icons", "icons", "pets"))
    pages = [
        [one.id for one in adapters.page(scope, 10, None, *which).items]
        for which in ((), ("icons",), (None, True), ("icons", False), ("none",))
    ]
    assert pages == [[other.id, second.id, first.id], [second.id, first.id], [other.id, second.id], [first.id], []]


def test_a_deleted_adapter_takes_its_container_with_it(scope: Scope) -> None:
    kept, deleted = add_adapter(scope, "kept"), add_adapter(scope, "deleted")
    scope.delete(deleted)
    assert scope.session.scalars(select(AdapterDelta.adapter_id)).all() == [kept.id]
    assert scope.session.scalar(select(func.count()).select_from(Adapter)) == 1


def mistaken(scope: Scope, dataset_id: str, positions: list[int]) -> Adapter:
    """An adapter that takes images of this dataset for owls."""
    found = [
        AdapterMistake(dataset_id=dataset_id, position=position, split="training", prediction="owl")
        for position in positions
    ]
    return add_adapter(scope, "mistaken", mistakes=found)


def test_mistakes_are_listed_in_their_order_and_by_page(scope: Scope) -> None:
    dataset_id = add_dataset(scope, images=5).id
    adapter = mistaken(scope, dataset_id, [3, 0, 4])
    rows = adapters.mistakes(scope, adapter.id, -1, 2)
    assert [(mistake.place, image.position, image.path) for mistake, image in rows] == [
        (0, 3, "a/3.png"),
        (1, 0, "a/0.png"),
    ]
    ((last, image),) = adapters.mistakes(scope, adapter.id, 1, 2)
    assert (last.place, image.position, last.prediction) == (2, 4, "owl")


def test_mistakes_are_one_tenants_and_go_with_the_dataset_or_the_adapter(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    dataset_id = add_dataset(mine, images=2).id
    adapter = mistaken(mine, dataset_id, [0, 1])
    assert adapters.mistakes(other, adapter.id, -1, 10) == []
    datasets.delete(mine, dataset_id)
    assert adapters.mistakes(mine, adapter.id, -1, 10) == []
    again = add_dataset(mine, images=2).id
    mine.delete(adapter)
    replaced = mistaken(mine, again, [0, 1])
    mine.delete(replaced)
    assert session.scalar(select(func.count()).select_from(AdapterMistake)) == 0


@pytest.mark.parametrize("template", ["an icon of {}", ("an icon of {}", "the {}")])
def test_the_templates_of_an_adapter_are_kept(session: Session, scope: Scope, template: Template) -> None:
    added = add_adapter(scope, "first")
    added.template = template
    session.flush()
    session.expire_all()
    assert adapters.find(scope, "first", report=False).template == template
    row = session.execute(text("SELECT template, templates FROM adapters")).one()
    assert tuple(row) == ("an icon of {}", None if isinstance(template, str) else list(template))
