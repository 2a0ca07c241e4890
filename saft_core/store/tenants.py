"""Tenants and their keys. A key is shown once and stored as its SHA-256: 256 random bits need no slow hash.

`tenants.key_sha256` is the hash of a tenant's first key, for a version that knows one key a tenant and runs beside this
one in a rolling deploy. A tenant that it makes has no row in `tenant_keys` yet: its key gets one when it is used or
listed. What no longer opens anything is taken from both.
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
"""The name of the key that a tenant is made with."""
KEY_PREFIX = "saft_"
NOTE_USE_AFTER = timedelta(minutes=1)
"""`last_used_at` is at most so much too old: more exact would be a write a request."""
_KEY_BYTES = 32
_NOBODYS = "of no key "
"""How a `key_sha256` begins that is nobody's any more; no SHA-256 in hexadecimal does."""
_NOW = func.clock_timestamp()


@dataclass(frozen=True)
class Holder:
    """Whose a key is, and what the API wants to know of him at every request.

    is_noted: whether the key's last use was noted within NOTE_USE_AFTER.
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
    """The key that belongs to a new row: a tenant, or a key of one.

    salt: an Idempotency-Key, or something that nobody can guess. With the former only the service can compute the key,
    and a replay computes it again, so it need not be stored to be shown again. The row's id keeps a key that was
    revoked from coming back when an Idempotency-Key is used again after its time.
    """
    message = b"\0".join((b"tenant key", row_id.encode(), salt.encode()))
    digest = hmac.digest(admin_key.encode(), message, "sha256")
    return KEY_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def hashed(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def authenticate(session: Session, key: str) -> Holder:
    """Who holds `key`. Raises Unauthorized.

    One query by an index for a key that is somebody's, two for one that is nobody's.
    """
    return authenticate_hash(session, hashed(key))


def authenticate_hash(session: Session, key_sha256: str) -> Holder:
    """The same by the key's hash."""
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
    """Give the first key of a tenant that another version made its row. Whether there is such a key."""
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
    """Note that a key is in use now, unless that was noted within NOTE_USE_AFTER."""
    overdue = or_(TenantKey.last_used_at.is_(None), TenantKey.last_used_at < _NOW - NOTE_USE_AFTER)
    session.execute(update(TenantKey).where(TenantKey.id == key_id, overdue).values(last_used_at=_NOW))


def is_held(session: Session, key: str) -> bool:
    """Whether somebody holds `key`."""
    try:
        authenticate(session, key)
    except Unauthorized:
        return False
    return True


def add_key(scope: Scope, key_id: str, name: str, key: str, max_keys: int) -> TenantKey:
    """Another key of a tenant. Raises NotFound, and Conflict when he has `max_keys`."""
    _locked(scope.session, scope.tenant_id)
    _adopt(scope.session, Tenant.id == scope.tenant_id)
    count = select(func.count()).select_from(TenantKey).where(scope.owns(TenantKey))
    if (scope.session.scalar(count) or 0) >= max_keys:
        raise Conflict(f"a tenant has at most {max_keys} keys (max_tenant_keys); revoke one that is not used")
    return scope.add(TenantKey(id=key_id, name=name, sha256=hashed(key)))


def keys(scope: Scope, limit: int, cursor: str | None) -> PageOf[TenantKey]:
    """The tenant's keys, newest first. Raises InvalidCursor."""
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
    """Remove a key. Raises NotFound."""
    tenant = _locked(scope.session, scope.tenant_id)
    key = scope.get(TenantKey, key_id)
    if tenant.key_sha256 == key.sha256:
        tenant.key_sha256 = _nobodys_hash()
    scope.delete(key)


def _nobodys_hash() -> str:
    return _NOBODYS + secrets.token_hex(16)


# --- tenants ---------------------------------------------------------------------------------------------------------


def create(session: Session, name: str, key: str, tenant_id: str | None = None, quota: Quota | None = None) -> Tenant:
    """A new tenant that authenticates with `key`."""
    tenant = Tenant(id=tenant_id or new_id("ten"), name=name, key_sha256=hashed(key), quota=_kept(quota or Quota()))
    session.add(tenant)
    session.flush()
    session.refresh(tenant)
    scope = as_admin(session, tenant.id)
    audit.note(scope, "tenant.created", tenant.id)
    scope.add(TenantKey(name=FIRST_KEY, sha256=tenant.key_sha256))
    return tenant


def as_admin(session: Session, tenant_id: str) -> Scope:
    """A tenant's things, seen by the admin. Nothing is looked up: there may be no such tenant."""
    return Scope(session, tenant_id, audit.ADMIN)


def find(session: Session, tenant_id: str, *, deleted: bool = False) -> Tenant:
    """The tenant; with `deleted` also one that is being removed. Raises NotFound."""
    tenant = session.get(Tenant, tenant_id)
    if tenant is None or (tenant.deleted_at is not None and not deleted):
        raise NotFound(f"there is no tenant {tenant_id}")
    return tenant


def page(session: Session, limit: int, cursor: str | None) -> PageOf[Tenant]:
    """Up to `limit` tenants, newest first, from behind `cursor`. Raises InvalidCursor."""
    return page_of(session, select(Tenant), Tenant, limit, cursor)


def set_quota(session: Session, tenant_id: str, quota: Quota) -> None:
    """Set all limits of a tenant. Raises NotFound."""
    tenant = _locked(session, tenant_id)
    tenant.quota = _kept(quota)
    audit.note(as_admin(session, tenant_id), "quota.set", tenant_id, **_kept(quota))


def _kept(quota: Quota) -> dict[str, int]:
    return quota.model_dump(exclude_none=True)


def delete_tenant(session: Session, tenant_id: str) -> Tenant:
    """Shut a tenant out and stop its jobs, in this transaction; the sweeper removes the rest.

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
    """The tenant, locked until the transaction ends; rows of his are still added. Raises NotFound."""
    query = select(Tenant).where(Tenant.id == tenant_id, Tenant.deleted_at.is_(None))
    tenant = session.scalar(query.with_for_update(key_share=True).execution_options(populate_existing=True))
    if tenant is None:
        raise NotFound(f"there is no tenant {tenant_id}")
    return tenant
