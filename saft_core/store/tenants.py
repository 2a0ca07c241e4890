"""Tenants and their API keys. A key is shown once and stored as its SHA-256: 256 random bits need no slow hash.

`tenants.key_sha256` is the hash of a tenant's first key, for an earlier release that knows one key for each tenant and
may run beside this one in a rolling deploy. A tenant that it creates has no row in `tenant_keys`; its key gets one when
it is used or listed. A revoked key is removed from both.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from saft_core.errors import Conflict, NotFound, Unauthorized
from saft_core.quota import Quota
from saft_core.store import audit, jobs
from saft_core.store.models import Tenant, TenantKey, new_id
from saft_core.store.scope import PageOf, Scope, page_of

FIRST_KEY = "first"
"""The name of the key that a new tenant gets."""
KEY_PREFIX = "saft_"
NOTE_USE_AFTER = timedelta(minutes=1)
"""How far `last_used_at` may lag behind: to be more exact, every request would write."""
_KEY_BYTES = 32
_NOBODYS = "of no key "
"""The prefix of a `key_sha256` that belongs to no key any more; no SHA-256 in hexadecimal starts with it."""
_NOW = func.clock_timestamp()


@dataclass(frozen=True)
class Holder:
    """The tenant and id of a valid key, with what the API needs at every request.

    requests_per_minute: the tenant's quota. is_noted: whether a use of the key was noted within NOTE_USE_AFTER.
    """

    tenant_id: str
    key_id: str
    requests_per_minute: int | None
    is_noted: bool


# --- keys ------------------------------------------------------------------------------------------------------------


def new_key() -> str:
    """A fresh random key."""
    return KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def derived_key(admin_key: str, salt: str, row_id: str) -> str:
    """The API key of a new tenant, or a further key of one, derived from the admin key by HMAC-SHA256.

    salt: an Idempotency-Key, or random. A replay of a request with the same Idempotency-Key derives the same key, so
    the key need not be stored to be shown again. row_id: the id of the new row; it keeps a revoked key from coming back
    when an Idempotency-Key is used again after it has expired.
    """
    message = b"\0".join((b"tenant key", row_id.encode(), salt.encode()))
    digest = hmac.digest(admin_key.encode(), message, "sha256")
    return KEY_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def hashed(key: str) -> str:
    """The SHA-256 of a key in hexadecimal, which is what is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def authenticate(session: Session, key: str) -> Holder:
    """The holder of `key`. Raises Unauthorized.

    It takes one query by an index for a valid key, and two for any other.
    """
    return authenticate_hash(session, hashed(key))


def authenticate_hash(session: Session, key_sha256: str) -> Holder:
    """The holder of the key with this SHA-256. Raises Unauthorized."""
    found = _holder(session, key_sha256)
    if found is None and _adopt(session, Tenant.key_sha256 == key_sha256):
        found = _holder(session, key_sha256)
    if found is None:
        raise Unauthorized("nobody holds this key; check it, or ask the admin for a new one")
    return found


def _holder(session: Session, key_sha256: str) -> Holder | None:
    is_noted = func.coalesce(TenantKey.last_used_at > _NOW - NOTE_USE_AFTER, False)
    query = (
        select(TenantKey.tenant_id, TenantKey.id, Tenant.quota, is_noted)
        .join(Tenant, Tenant.id == TenantKey.tenant_id)
        .where(TenantKey.sha256 == key_sha256, Tenant.deleted_at.is_(None))
    )
    row = session.execute(query).first()
    return None if row is None else Holder(row[0], row[1], row[2].get("requests_per_minute"), row[3])


def _adopt(session: Session, which: ColumnElement[bool]) -> bool:
    """Insert the row of the first key of a tenant that an earlier release created. Whether there is such a key."""
    row_of_key = select(TenantKey.id).where(TenantKey.sha256 == Tenant.key_sha256).exists()
    live = (which, Tenant.deleted_at.is_(None), ~Tenant.key_sha256.startswith(_NOBODYS))
    found = session.execute(select(row_of_key).where(*live)).first()
    if found is not None and not found[0]:
        # Locked, so that a key that is revoked just now is looked at again and does not come back.
        row = select(literal(new_id("key")), Tenant.id, literal(FIRST_KEY), Tenant.key_sha256, Tenant.created_at)
        columns = ["id", "tenant_id", "name", "sha256", "created_at"]
        adopted = insert(TenantKey).from_select(columns, row.where(*live).with_for_update())
        session.execute(adopted.on_conflict_do_nothing())
    return found is not None


def note_use(session: Session, key_id: str) -> None:
    """Set `last_used_at` of a key, unless it is younger than NOTE_USE_AFTER."""
    overdue = or_(TenantKey.last_used_at.is_(None), TenantKey.last_used_at < _NOW - NOTE_USE_AFTER)
    session.execute(update(TenantKey).where(TenantKey.id == key_id, overdue).values(last_used_at=_NOW))


def is_held(session: Session, key: str) -> bool:
    """Whether `key` is a valid API key."""
    try:
        authenticate(session, key)
    except Unauthorized:
        return False
    return True


def add_key(scope: Scope, key_id: str, name: str, key: str, max_keys: int) -> TenantKey:
    """Add a key to a tenant. Raises NotFound, and Conflict if it has `max_keys` keys already."""
    _locked(scope.session, scope.tenant_id)
    _adopt(scope.session, Tenant.id == scope.tenant_id)
    count = select(func.count()).select_from(TenantKey).where(scope.owns(TenantKey))
    if (scope.session.scalar(count) or 0) >= max_keys:
        raise Conflict(f"a tenant has at most {max_keys} keys (max_tenant_keys); revoke one that is not used")
    return scope.add(TenantKey(id=key_id, name=name, sha256=hashed(key)))


def keys(scope: Scope, limit: int, cursor: str | None) -> PageOf[TenantKey]:
    """A page of the tenant's keys, newest first. Raises InvalidCursor."""
    _adopt(scope.session, Tenant.id == scope.tenant_id)
    return scope.page(TenantKey, limit, cursor)


def rename_key(scope: Scope, key_id: str, name: str) -> TenantKey:
    """Give a key another name. Raises NotFound."""
    key = scope.get(TenantKey, key_id, lock=True)
    audit.note(scope, "key.renamed", key.id, name=name, before=key.name)
    key.name = name
    scope.session.flush()
    return key


def revoke_key(scope: Scope, key_id: str) -> None:
    """Delete a key; it is invalid from the commit on. Raises NotFound."""
    tenant = _locked(scope.session, scope.tenant_id)
    key = scope.get(TenantKey, key_id)
    if tenant.key_sha256 == key.sha256:
        tenant.key_sha256 = _nobodys_hash()
    scope.delete(key)


def _nobodys_hash() -> str:
    return _NOBODYS + secrets.token_hex(16)


# --- tenants ---------------------------------------------------------------------------------------------------------


def create(session: Session, name: str, key: str, tenant_id: str | None = None, quota: Quota | None = None) -> Tenant:
    """Create a tenant whose first API key is `key`."""
    tenant = Tenant(id=tenant_id or new_id("ten"), name=name, key_sha256=hashed(key), quota=_kept(quota or Quota()))
    session.add(tenant)
    session.flush()
    session.refresh(tenant)
    scope = as_admin(session, tenant.id)
    audit.note(scope, "tenant.created", tenant.id)
    scope.add(TenantKey(name=FIRST_KEY, sha256=tenant.key_sha256))
    return tenant


def as_admin(session: Session, tenant_id: str) -> Scope:
    """The scope of a tenant for the admin; whether the tenant exists is not checked."""
    return Scope(session, tenant_id, audit.ADMIN)


def find(session: Session, tenant_id: str, *, deleted: bool = False) -> Tenant:
    """The tenant with this id; with `deleted` also one that is being removed. Raises NotFound."""
    tenant = session.get(Tenant, tenant_id)
    if tenant is None or (tenant.deleted_at is not None and not deleted):
        raise NotFound(f"there is no tenant {tenant_id}")
    return tenant


def page(session: Session, limit: int, cursor: str | None) -> PageOf[Tenant]:
    """A page of up to `limit` tenants, newest first, from behind `cursor`. Raises InvalidCursor."""
    return page_of(session, select(Tenant), Tenant, limit, cursor)


def set_quota(session: Session, tenant_id: str, quota: Quota) -> None:
    """Replace the quota of a tenant. Raises NotFound."""
    tenant = _locked(session, tenant_id)
    tenant.quota = _kept(quota)
    audit.note(as_admin(session, tenant_id), "quota.set", tenant_id, **_kept(quota))


def _kept(quota: Quota) -> dict[str, int]:
    return quota.model_dump(exclude_none=True)


def delete_tenant(session: Session, tenant_id: str) -> Tenant:
    """Delete the keys of a tenant and cancel its jobs, in this transaction; the sweeper removes the rest (removal.py).

    Raises NotFound, also for one that is being removed.
    """
    tenant = session.get(Tenant, tenant_id, with_for_update=True, populate_existing=True)
    if tenant is None or tenant.deleted_at is not None:
        raise NotFound(f"there is no tenant {tenant_id}")
    tenant.deleted_at = _NOW
    tenant.key_sha256 = _nobodys_hash()
    scope = as_admin(session, tenant_id)
    session.execute(delete(TenantKey).where(scope.owns(TenantKey)))
    jobs.stop_all(scope)
    audit.note(scope, "tenant.deleted", tenant_id)
    session.flush()
    session.refresh(tenant)
    return tenant


def _locked(session: Session, tenant_id: str) -> Tenant:
    """The tenant, locked until the transaction ends; others may still insert rows of the tenant. Raises NotFound."""
    query = select(Tenant).where(Tenant.id == tenant_id, Tenant.deleted_at.is_(None))
    tenant = session.scalar(query.with_for_update(key_share=True).execution_options(populate_existing=True))
    if tenant is None:
        raise NotFound(f"there is no tenant {tenant_id}")
    return tenant
