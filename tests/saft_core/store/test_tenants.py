from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import Conflict, NotFound, Unauthorized
from saft_core.quota import Quota
from saft_core.store import tenants
from saft_core.store.database import reading
from saft_core.store.models import Tenant, TenantKey, new_id
from saft_core.store.scope import Scope


def test_a_key_opens_its_own_tenant_only(session: Session) -> None:
    keys = [tenants.new_key(), tenants.new_key()]
    made = [tenants.create(session, "same name", key) for key in keys]
    assert [tenants.authenticate(session, key).tenant_id for key in keys] == [tenant.id for tenant in made]
    assert made[0].id != made[1].id


def test_a_key_is_one_tenants(session: Session) -> None:
    key = tenants.new_key()
    tenants.create(session, "tenant", key)
    assert tenants.is_held(session, key)
    assert not tenants.is_held(session, key + "x")
    with pytest.raises(IntegrityError):
        tenants.create(session, "other", key)


@pytest.mark.parametrize("change", ["", "x", " ", "\0", "ü"])
def test_any_other_key_is_refused(session: Session, change: str) -> None:
    key = tenants.new_key()
    tenants.create(session, "tenant", key)
    with pytest.raises(Unauthorized):
        tenants.authenticate(session, key[:-1] + change)


def test_keys_are_recognisable_unguessable_and_stored_as_hash_only(session: Session) -> None:
    key = tenants.new_key()
    assert key.startswith("saft_")
    assert len(key) >= 5 + 43  # 32 bytes in base64
    tenant = tenants.create(session, "tenant", key)
    assert tenant.key_sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert key not in str(vars(tenant))


def test_a_derived_key_depends_on_the_admin_key_the_idempotency_key_and_the_row() -> None:
    key = tenants.derived_key("admin", "a", "ten_1")
    assert key == tenants.derived_key("admin", "a", "ten_1")
    others = [
        ("admin", "b", "ten_1"),
        ("other admin", "a", "ten_1"),
        ("admin", "a", "ten_2"),
    ]
    assert len({key, *(tenants.derived_key(*values) for values in others)}) == 4
    assert key.startswith("saft_")


# --- several keys ----------------------------------------------------------------------------------------------------


def add_key(scope: Scope, name: str = "more", max_keys: int = 100) -> tuple[str, str]:
    """Its id, and the key."""
    key = tenants.new_key()
    return tenants.add_key(scope, new_id("key"), name, key, max_keys).id, key


def new_tenant(session: Session) -> tuple[Scope, str]:
    """What a new tenant sees, and its first key."""
    key = tenants.new_key()
    return Scope(session, tenants.create(session, "tenant", key).id), key


def old_tenant(session: Session) -> tuple[Scope, str]:
    """The same, made by the version before."""
    key = tenants.new_key()
    tenant = Tenant(name="old", key_sha256=tenants.hashed(key))
    session.add(tenant)
    session.flush()
    return Scope(session, tenant.id), key


def key_ids(scope: Scope) -> dict[str, str]:
    return {key.name: key.id for key in tenants.keys(scope, 100, None).items}


def test_each_of_a_tenants_keys_opens_it_until_it_is_revoked(session: Session) -> None:
    scope, first = new_tenant(session)
    second_id, second = add_key(scope)
    for key in (first, second):
        assert tenants.authenticate(session, key).tenant_id == scope.tenant_id
    assert tenants.authenticate(session, second).key_id == second_id
    tenants.revoke_key(scope, second_id)
    assert not tenants.is_held(session, second)
    assert tenants.is_held(session, first)
    tenants.revoke_key(scope, key_ids(scope)["first"])
    assert not tenants.is_held(session, first)
    assert key_ids(scope) == {}


def of_the_version_before(session: Session, key: str) -> Tenant | None:
    return session.scalar(select(Tenant).where(Tenant.key_sha256 == tenants.hashed(key)))


def test_the_version_before_knows_the_first_key_until_it_is_revoked(session: Session) -> None:
    scope, first = new_tenant(session)
    assert of_the_version_before(session, first)
    tenants.revoke_key(scope, key_ids(scope)["first"])
    assert of_the_version_before(session, first) is None


@pytest.mark.parametrize("seen_by", ["use", "list", "another key"])
def test_the_key_of_a_tenant_that_the_version_before_made_is_a_key_like_any_other(
    session: Session, seen_by: str
) -> None:
    scope, key = old_tenant(session)
    if seen_by == "use":
        assert tenants.authenticate(session, key).tenant_id == scope.tenant_id
    elif seen_by == "another key":
        add_key(scope)
    key_id = key_ids(scope)["first"]
    assert tenants.authenticate(session, key).key_id == key_id
    tenants.revoke_key(scope, key_id)
    assert not tenants.is_held(session, key)
    assert "first" not in key_ids(scope)


def test_two_that_find_the_same_old_key_agree(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        _, key = old_tenant(session)
    barrier = Barrier(8)

    def look(_: int) -> str:
        barrier.wait()
        with reading(sessions) as session:
            return tenants.authenticate(session, key).key_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(look, range(8)))) == 1


def test_a_tenant_has_so_many_keys_at_most(session: Session) -> None:
    scope, _ = new_tenant(session)
    add_key(scope, max_keys=2)
    with pytest.raises(Conflict, match=r"2 keys \(max_tenant_keys\)"):
        add_key(scope, max_keys=2)


def test_a_foreign_key_is_a_missing_one(session: Session) -> None:
    (scope, _), (other, key) = new_tenant(session), new_tenant(session)
    foreign = key_ids(other)["first"]
    for work in (partial(tenants.revoke_key, scope), partial(tenants.rename_key, scope, name="mine")):
        with pytest.raises(NotFound):
            work(key_id=foreign)
    assert tenants.is_held(session, key)


def test_a_use_is_noted_once_a_minute(session: Session) -> None:
    scope, key = new_tenant(session)
    key_id = key_ids(scope)["first"]
    assert not tenants.authenticate(session, key).is_noted
    tenants.note_use(session, key_id)
    row = scope.get(TenantKey, key_id)
    session.refresh(row)
    first = row.last_used_at
    assert first is not None
    assert tenants.authenticate(session, key).is_noted
    tenants.note_use(session, key_id)
    session.refresh(row)
    assert row.last_used_at == first
    row.last_used_at = first - tenants.NOTE_USE_AFTER
    session.flush()
    assert not tenants.authenticate(session, key).is_noted
    tenants.note_use(session, key_id)
    session.refresh(row)
    assert row.last_used_at > first


# --- deletion --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [new_tenant, old_tenant])
def test_no_key_of_a_deleted_tenant_opens_anything(
    session: Session, make: Callable[[Session], tuple[Scope, str]]
) -> None:
    scope, key = make(session)
    _, second = add_key(scope)
    assert tenants.delete_tenant(session, scope.tenant_id).deleted_at is not None
    assert not tenants.is_held(session, key)
    assert not tenants.is_held(session, second)
    assert of_the_version_before(session, key) is None
    assert tenants.find(session, scope.tenant_id, deleted=True).deleted_at is not None
    for work in (
        lambda scope: tenants.delete_tenant(session, scope.tenant_id),
        add_key,
        partial(tenants.revoke_key, key_id="key_1"),
    ):
        with pytest.raises(NotFound):
            work(scope)
    with pytest.raises(NotFound):
        tenants.set_quota(session, scope.tenant_id, Quota())


def test_a_tenant_that_is_not_there_cannot_be_deleted(session: Session) -> None:
    with pytest.raises(NotFound):
        tenants.delete_tenant(session, "ten_gone")
