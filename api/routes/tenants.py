"""POST /tenants."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api import checks
from api.creation import fingerprint, once, respond
from api.deps import AdminDep, IdempotencyKey
from api.schemas import NewTenant, TenantBody
from saft_core.store import tenants
from saft_core.store.idempotency import StoredAnswer

router = APIRouter(tags=["tenants"])


@router.post("/tenants", status_code=201, response_model=NewTenant)
def create_tenant(body: TenantBody, services: AdminDep, idempotency_key: IdempotencyKey = None) -> JSONResponse:
    """Make a tenant and its key. Takes the admin key. The new key is shown this once."""
    name = checks.name(body.name, services.limits)
    key = tenants.derived_key(services.admin_key, idempotency_key) if idempotency_key else tenants.new_key()

    def work(session: Session) -> StoredAnswer:
        tenant = tenants.create(session, name, key)
        return StoredAnswer(201, {"id": tenant.id, "name": tenant.name}, None)

    answer, replayed = once(services.sessions, "admin", idempotency_key, fingerprint("POST /tenants", body), work)
    return respond(answer, replayed, api_key=key)
