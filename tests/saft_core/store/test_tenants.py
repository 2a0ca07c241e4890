from __future__ import annotations

import hashlib

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from saft_core.errors import Unauthorized
from saft_core.store import tenants


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
        ("admin", "1\0a", "ten_"),
    ]
    assert len({key, *(tenants.derived_key(*values) for values in others)}) == 4
    assert key.startswith("saft_")
