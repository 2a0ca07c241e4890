from __future__ import annotations

import hashlib
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from saft_core.errors import Conflict, Unauthorized
from saft_core.store import tenants


def test_a_key_opens_its_own_tenant_only(session: Session) -> None:
    keys = [tenants.new_key(), tenants.new_key()]
    made = [tenants.create(session, "same name", key) for key in keys]
    assert [tenants.authenticate(session, key).id for key in keys] == [tenant.id for tenant in made]
    assert made[0].id != made[1].id


def test_a_key_is_one_tenants(session: Session) -> None:
    key = tenants.new_key()
    tenant = tenants.create(session, "tenant", key)
    assert tenants.holds(session, tenant.id, key)
    assert not tenants.holds(session, tenant.id, key + "x")
    assert not tenants.holds(session, "ten_gone", key)
    with pytest.raises(Conflict):
        tenants.create(session, "other", key)


def test_another_broken_rule_is_not_a_used_key(session: Session) -> None:
    broken: Any = None
    with pytest.raises(IntegrityError):
        tenants.create(session, broken, tenants.new_key())


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


def test_a_derived_key_depends_on_the_admin_key_and_the_idempotency_key() -> None:
    key = tenants.derived_key("admin", "a")
    assert key == tenants.derived_key("admin", "a")
    assert len({key, tenants.derived_key("admin", "b"), tenants.derived_key("other admin", "a")}) == 3
    assert key.startswith("saft_")


def test_a_key_that_somebody_holds_is_a_conflict(session: Session) -> None:
    key = tenants.derived_key("admin", "a")
    tenants.create(session, "first", key)
    with pytest.raises(Conflict, match="Idempotency-Key"):
        tenants.create(session, "second", key)
