from __future__ import annotations

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import NameTaken, NotFound
from saft_core.store import adapters, datasets
from saft_core.store.models import Adapter, AdapterDelta, AdapterMistake
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


def test_a_name_is_used_once_a_tenant(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    own, foreign = add_adapter(mine, "same", b"own"), add_adapter(other, "same", b"foreign")
    assert adapters.find(mine, "same").id == own.id
    assert adapters.container(other, foreign.id) == b"foreign"
    with pytest.raises(NotFound):
        adapters.container(mine, foreign.id)
    with pytest.raises(NotFound):
        adapters.find(mine, foreign.id)
    with pytest.raises(NameTaken, match="same"):
        add_adapter(mine, "same")


def test_another_broken_rule_is_not_a_taken_name(sessions: sessionmaker[Session]) -> None:
    with sessions() as session, pytest.raises(IntegrityError, match="fk_adapters_tenant_id"):
        add_adapter(Scope(session, "ten_gone"), "free")


def test_the_engine_loads_by_id(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        adapter = add_adapter(add_tenant(session), "a", b"\x00\xff" * 1000)
    assert adapters.load_container(sessions, adapter.id) == b"\x00\xff" * 1000
    with pytest.raises(NotFound, match="ad_unknown"):
        adapters.load_container(sessions, "ad_unknown")


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
