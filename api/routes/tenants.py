"""POST /tenants."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api import checks
from api.creation import fingerprint, once, respond
from api.deps import AdminDep, IdempotencyKey
from api.keyed import AdminRoute
from api.schemas import NewTenant, TenantBody
from api.services import Services
from saft_core.errors import KeyGone
from saft_core.store import tenants
from saft_core.store.idempotency import StoredAnswer

router = APIRouter(tags=["tenants"], route_class=AdminRoute)


@router.post("/tenants", status_code=201, response_model=NewTenant)
def create_tenant(body: TenantBody, services: AdminDep, idempotency_key: IdempotencyKey = None) -> JSONResponse:
    """Make a tenant and its key. Takes the admin key. The new key is shown this once."""
    name = checks.name(body.name, services.limits)
    key = tenants.derived_key(services.admin_key, idempotency_key) if idempotency_key else tenants.new_key()

    def work(session: Session) -> StoredAnswer:
        tenant = tenants.create(session, name, key)
        return StoredAnswer(201, {"id": tenant.id, "name": tenant.name}, None)

    answer, replayed = once(services.sessions, "admin", idempotency_key, fingerprint("POST /tenants", body), work)
    if replayed:
        _check_key(services, answer, key)
    return respond(answer, replayed, api_key=key)


def _check_key(services: Services, answer: StoredAnswer, key: str) -> None:
    """A replay derives the key again; after a change of the admin key, that is another one. Raises KeyGone."""
    tenant_id = answer.body["id"]
    with services.sessions() as session:
        if not tenants.holds(session, tenant_id, key):
            raise KeyGone(
                f"this Idempotency-Key made tenant {tenant_id} under another admin key, so its key cannot be shown"
                " again; use the key that was shown then, or make a tenant with a new Idempotency-Key"
            )
