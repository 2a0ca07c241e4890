"""A tenant's own account: its keys, what it has and may have, and what was done with its keys."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api import checks
from api.accounts import new_key, usage_of
from api.authenticated import TenantRoute
from api.deps import PagingDep, TenancyDep
from api.idempotency import IdempotencyDep
from api.schemas.common import Page
from api.schemas.tenants import AuditView, KeyBody, KeyView, NewKey, UsageAndQuota
from saft_core.errors import Conflict
from saft_core.store import tenants
from saft_core.store.models import AuditEvent

router = APIRouter(tags=["account"], route_class=TenantRoute)


@router.get("/usage", response_model=UsageAndQuota)
async def get_usage(tenancy: TenancyDep) -> object:
    """Who you are, what you have, and what you may have."""
    tenant, usage = await usage_of(tenancy.services, tenancy.tenant_id)
    return {
        "tenant_id": tenant.id,
        "name": tenant.name,
        "key_id": tenancy.key_id,
        "usage": usage,
        "quota": tenant.quota,
    }


@router.get("/audit", response_model=Page[AuditView])
def list_events(tenancy: TenancyDep, paging: PagingDep) -> object:
    """What was created, changed and deleted with your keys, or by the admin for you, newest first; kept for a year."""
    with tenancy.begin() as scope:
        return scope.page(AuditEvent, paging.limit, paging.cursor)


@router.get("/keys", response_model=Page[KeyView])
def list_keys(tenancy: TenancyDep, paging: PagingDep) -> object:
    """Your keys, newest first."""
    with tenancy.begin() as scope:
        return tenants.keys(scope, paging.limit, paging.cursor)


@router.post("/keys", status_code=201, response_model=NewKey)
def create_key(body: KeyBody, tenancy: TenancyDep, idempotency: IdempotencyDep) -> JSONResponse:
    """Make another key, which may do all that this one may. It is shown this once."""
    return new_key(tenancy.services, idempotency, body)


@router.patch("/keys/{key_id}", response_model=KeyView)
def rename_key(key_id: str, body: KeyBody, tenancy: TenancyDep) -> object:
    """Give a key another name."""
    name = checks.name(body.name, tenancy.services.limits)
    with tenancy.begin() as scope:
        return tenants.rename_key(scope, key_id, name)


@router.delete("/keys/{key_id}", status_code=204)
def revoke_key(key_id: str, tenancy: TenancyDep) -> None:
    """Revoke a key: it opens nothing any more, within a second on every replica. Not the key that asks."""
    if key_id == tenancy.key_id:
        raise Conflict("this request came with that very key; make another one, and revoke this one with it")
    with tenancy.begin() as scope:
        tenants.revoke_key(scope, key_id)
