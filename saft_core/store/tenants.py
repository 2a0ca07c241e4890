"""Tenants and their keys. A key is shown once and stored as its SHA-256: 256 random bits need no slow hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from saft_core.errors import Conflict, Unauthorized
from saft_core.store.database import constraint
from saft_core.store.models import Tenant

UNIQUE_KEY = "uq_tenants_key_sha256"
KEY_PREFIX = "saft_"
_KEY_BYTES = 32


def new_key() -> str:
    """A fresh random key."""
    return KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def derived_key(admin_key: str, idempotency_key: str) -> str:
    """The key of a tenant made under an Idempotency-Key.

    Only the admin can compute it, and a replay computes it again, so it need not be stored to be shown again.
    """
    digest = hmac.digest(admin_key.encode(), b"tenant key\0" + idempotency_key.encode(), "sha256")
    return KEY_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def create(session: Session, name: str, key: str) -> Tenant:
    """A new tenant that authenticates with `key`.

    Raises Conflict when a tenant holds that key, as happens with a derived one whose Idempotency-Key is used again
    after its record has expired; the session must then be rolled back.
    """
    tenant = Tenant(name=name, key_sha256=hashed(key))
    session.add(tenant)
    try:
        session.flush()
    except IntegrityError as error:
        if constraint(error) != UNIQUE_KEY:
            raise
        raise Conflict("this Idempotency-Key has made a tenant before; send a new one") from error
    return tenant


def authenticate(session: Session, key: str) -> Tenant:
    """The tenant that holds `key`. Raises Unauthorized."""
    tenant = session.scalar(select(Tenant).where(Tenant.key_sha256 == hashed(key)))
    if tenant is None:
        raise Unauthorized("nobody holds this key; check it, or ask the admin for a new tenant")
    return tenant


def holds(session: Session, tenant_id: str, key: str) -> bool:
    """Whether there is such a tenant, and `key` is his."""
    tenant = session.get(Tenant, tenant_id)
    return tenant is not None and tenant.key_sha256 == hashed(key)


def hashed(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
