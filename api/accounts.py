"""What calls of the admin and calls of a tenant do alike: make keys, and tell what a tenant has and may have."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api import checks
from api.creation import created, fingerprint, once, respond
from api.services import Services
from api.tenant_schemas import KeyBody, KeyView, UsageView
from saft_core.errors import KeyGone
from saft_core.quota import Quota
from saft_core.store import quotas, tenants
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Tenant, new_id
from saft_core.store.scope import Scope


class Secret:
    """The key that a request makes: known before the row is, and again when the request is sent again.

    admin_key: what keys are derived from. Without an Idempotency-Key the request has no replay, and the key is random.
    """

    def __init__(self, admin_key: str, idempotency_key: str | None) -> None:
        self._admin_key = admin_key
        self._salt = secrets.token_urlsafe(32) if idempotency_key is None else idempotency_key

    def of(self, row_id: str) -> str:
        """The key of the row with this id."""
        return tenants.derived_key(self._admin_key, self._salt, row_id)

    @staticmethod
    def check(services: Services, made_id: str, key: str) -> None:
        """A replay derives the key again; after a change of the admin key, that is another one. Raises KeyGone."""
        with services.sessions.begin() as session:
            if not tenants.is_held(session, key):
                raise KeyGone(
                    f"this Idempotency-Key made {made_id} under another admin key, or the key that it made was revoked,"
                    " so it cannot be shown again; use the key that was shown then, or send a new Idempotency-Key"
                )


def new_key(
    services: Services,
    owner: str,
    call: str,
    body: KeyBody,
    idempotency_key: str | None,
    scope_of: Callable[[Session], Scope],
) -> JSONResponse:
    """The answer with another key of a tenant.

    owner:    of the Idempotency-Key: a tenant's id, or "admin".
    scope_of: what the tenant owns, and who is asking.
    """
    name = checks.name(body.name, services.limits)
    secret = Secret(services.admin_key(), idempotency_key)

    def work(session: Session) -> StoredAnswer:
        key_id = new_id("key")
        row = tenants.add_key(
            scope_of(session), key_id, name, secret.of(key_id), max_keys=services.limits.max_tenant_keys
        )
        return created(KeyView.model_validate(row))

    answer, replayed = once(services.sessions, owner, idempotency_key, fingerprint(call, body), work)
    key_id = str(answer.body["id"])
    key = secret.of(key_id)
    if replayed:
        secret.check(services, key_id, key)
    return respond(answer, replayed, api_key=key)


async def usage_of(services: Services, tenant_id: str) -> tuple[Tenant, UsageView]:
    """A tenant and what it has. Raises NotFound."""

    def count() -> tuple[Tenant, quotas.Usage]:
        with services.sessions() as session:
            found = tenants.find(session, tenant_id)
            return found, quotas.usage(Scope(session, tenant_id))

    tenant, usage = await run_in_threadpool(count)
    limited = Quota.model_validate(tenant.quota).requests_per_minute is not None
    requests = await services.rates.used(tenant_id) if limited and services.rates is not None else None
    return tenant, UsageView(**asdict(usage), requests_per_minute=requests)
