"""What routes/tenants.py (admin) and routes/account.py (tenant) share: new API keys, and usage beside quota."""

from __future__ import annotations

import secrets
from dataclasses import asdict

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api import checks
from api.idempotency import Idempotency, Made, created
from api.schemas.tenants import KeyBody, KeyView, UsageView
from api.services import Services
from saft_core.errors import KeyGone
from saft_core.quota import Quota
from saft_core.store import quotas, tenants
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Tenant, new_id
from saft_core.store.scope import Scope


class Secret:
    """The API key that a request makes: known before its row is, and again when the request is sent again.

    idempotency_key: without one the request has no replay, and the API key is random; else it is derived from the admin
    key, so that it need not be stored.
    """

    def __init__(self, services: Services, idempotency_key: str | None) -> None:
        self._sessions, self._admin_key = services.sessions, services.admin_key()
        self._salt = secrets.token_urlsafe(32) if idempotency_key is None else idempotency_key

    def of(self, row_id: str) -> str:
        """The API key of the row with this id."""
        return tenants.derived_key(self._admin_key, self._salt, row_id)

    def shown(self, made: Made) -> JSONResponse:
        """The response with the API key in it, which is stored nowhere.

        Raises KeyGone for a replay that derives another key than before, since the admin key was changed meanwhile.
        """
        key = self.of(made.id)
        if made.replayed:
            self._check(made.id, key)
        return made.response(api_key=key)

    def _check(self, made_id: str, key: str) -> None:
        with self._sessions.begin() as session:
            if not tenants.is_held(session, key):
                raise KeyGone(
                    f"this Idempotency-Key made {made_id} under another admin key, or the key that it made was revoked,"
                    " so it cannot be shown again; use the key that was shown then, or send a new Idempotency-Key"
                )


def new_key(services: Services, idempotency: Idempotency[Scope], body: KeyBody) -> JSONResponse:
    """The response with another API key of the tenant that `idempotency` gives a scope of."""
    name = checks.name(body.name, services.limits)
    secret = Secret(services, idempotency.key)

    def work(scope: Scope) -> StoredAnswer:
        key_id = new_id("key")
        row = tenants.add_key(scope, key_id, name, secret.of(key_id), max_keys=services.limits.max_tenant_keys)
        return created(KeyView.model_validate(row))

    return secret.shown(idempotency.once(body, work))


async def usage_of(services: Services, tenant_id: str) -> tuple[Tenant, UsageView]:
    """A tenant's row and usage. Raises NotFound."""

    def count() -> tuple[Tenant, quotas.Usage]:
        with services.sessions() as session:
            found = tenants.find(session, tenant_id)
            return found, quotas.usage(Scope(session, tenant_id))

    tenant, usage = await run_in_threadpool(count)
    limited = Quota.model_validate(tenant.quota).requests_per_minute is not None
    requests = await services.rate_limiter.used(tenant_id) if limited and services.rate_limiter is not None else None
    return tenant, UsageView(**asdict(usage), requests_per_minute=requests)
