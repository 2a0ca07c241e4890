"""Tenants, for the admin: create, list, delete, their API keys, quota and audit log.

The limits of a quota are fields of saft_core/quota.py, and are enforced in saft_core/store/quotas.py.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api import checks
from api.accounts import Secret, new_key, usage_of
from api.authenticated import AdminRoute
from api.deps import AdminDep, PagingDep
from api.idempotency import AdminIdempotencyDep
from api.schemas.common import Page
from api.schemas.tenants import (
    AuditView,
    KeyBody,
    KeyView,
    NewKey,
    NewTenant,
    TenantBody,
    TenantDetails,
    TenantView,
)
from saft_core.quota import Quota
from saft_core.store import tenants
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import AuditEvent, new_id

router = APIRouter(prefix="/tenants", tags=["tenants"], route_class=AdminRoute)


@router.post("", status_code=201, response_model=NewTenant)
def create_tenant(body: TenantBody, services: AdminDep, idempotency: AdminIdempotencyDep) -> JSONResponse:
    """Make a tenant and its first key. Takes the admin key. The new key is shown this once."""
    name = checks.name(body.name, services.limits)
    secret = Secret(services, idempotency.key)

    def work(session: Session) -> StoredAnswer:
        tenant_id = new_id("ten")
        key = secret.of(tenant_id)
        tenant = tenants.create(session, name, key, tenant_id, services.settings.default_quota)
        return StoredAnswer(201, {"id": tenant.id, "name": tenant.name}, f"/tenants/{tenant.id}")

    return secret.shown(idempotency.once(body, work))


@router.get("", response_model=Page[TenantView])
def list_tenants(services: AdminDep, paging: PagingDep) -> object:
    """All tenants, newest first."""
    with services.sessions() as session:
        return tenants.page(session, paging.limit, paging.cursor)


@router.get("/{tenant_id}", response_model=TenantDetails)
async def get_tenant(tenant_id: str, services: AdminDep) -> object:
    """One tenant, with what it has and what it may have."""
    found, has = await usage_of(services, tenant_id)
    return TenantView.model_validate(found).model_dump() | {"usage": has}


@router.delete("/{tenant_id}", status_code=202, response_model=TenantView)
def delete_tenant(tenant_id: str, services: AdminDep) -> object:
    """Shut a tenant out and remove all that it has.

    From the answer on none of its keys opens anything, within a second on every replica, and its jobs stop. Its rows,
    files and adapters are removed by a worker after that; until then the list of tenants shows it, with `deleted_at`.
    """
    with services.sessions.begin() as session:
        return tenants.delete_tenant(session, tenant_id)


@router.put("/{tenant_id}/quota", response_model=Quota)
def set_quota(tenant_id: str, body: Quota, services: AdminDep) -> object:
    """Set all limits of a tenant; one that is null or left out is no limit. What it has by now stays."""
    with services.sessions.begin() as session:
        tenants.set_quota(session, tenant_id, body)
    return body


@router.get("/{tenant_id}/keys", response_model=Page[KeyView])
def list_keys(tenant_id: str, services: AdminDep, paging: PagingDep) -> object:
    """The keys of a tenant, newest first."""
    with services.sessions.begin() as session:
        tenants.find(session, tenant_id)
        return tenants.keys(tenants.as_admin(session, tenant_id), paging.limit, paging.cursor)


@router.post("/{tenant_id}/keys", status_code=201, response_model=NewKey)
def create_key(tenant_id: str, body: KeyBody, services: AdminDep, idempotency: AdminIdempotencyDep) -> JSONResponse:
    """Make another key of a tenant. It is shown this once."""
    return new_key(services, idempotency.on(lambda session: tenants.as_admin(session, tenant_id)), body)


@router.patch("/{tenant_id}/keys/{key_id}", response_model=KeyView)
def rename_key(tenant_id: str, key_id: str, body: KeyBody, services: AdminDep) -> object:
    """Give a key another name."""
    name = checks.name(body.name, services.limits)
    with services.sessions.begin() as session:
        return tenants.rename_key(tenants.as_admin(session, tenant_id), key_id, name)


@router.delete("/{tenant_id}/keys/{key_id}", status_code=204)
def revoke_key(tenant_id: str, key_id: str, services: AdminDep) -> None:
    """Revoke a key: it opens nothing any more, within a second on every replica."""
    with services.sessions.begin() as session:
        tenants.revoke_key(tenants.as_admin(session, tenant_id), key_id)


@router.get("/{tenant_id}/audit", response_model=Page[AuditView])
def list_events(tenant_id: str, services: AdminDep, paging: PagingDep) -> object:
    """What was created, changed and deleted by and for a tenant, newest first; kept for a year.

    Of a tenant that is gone remains when it was made, limited and deleted.
    """
    with services.sessions() as session:
        page = tenants.as_admin(session, tenant_id).page(AuditEvent, paging.limit, paging.cursor)
        if not page.items:
            tenants.find(session, tenant_id, deleted=True)
        return page
