"""A tenant's own account, and all tenants as the admin sees them."""

from __future__ import annotations

from saft_client._endpoints import Endpoints
from saft_client._flow import D, Flow, Items, call, listing
from saft_client._requests import Request, at, create, get, id_of
from saft_client.tenant_records import AuditEvent, Key, NewKey, NewTenant, Quota, Tenant


class Keys(Endpoints[D]):
    """The tenant's own keys."""

    @call
    def create(self, name: str) -> Flow[NewKey]:
        """Make another key, which may do all that this one may; its `api_key` is shown this once."""
        return self._record(NewKey, create("/keys", {"name": name}))

    @listing
    def list(self) -> Items[Key]:
        """All keys, newest first."""
        return self._pages(Key, "/keys")

    @call
    def rename(self, key: Key | str, name: str) -> Flow[Key]:
        """Yield a key another name."""
        return self._record(Key, Request("PATCH", at("keys", id_of(key)), json={"name": name}))

    @call
    def revoke(self, key: Key | str) -> Flow[None]:
        """Revoke a key: it opens nothing any more, within a second. Raises Conflict for the key that asks."""
        return self._nothing(Request("DELETE", at("keys", id_of(key))))


class Tenants(Endpoints[D]):
    """All tenants. The client must have the admin key."""

    @call
    def create(self, name: str) -> Flow[NewTenant]:
        """Make a tenant and its first key; its `api_key` is shown this once."""
        return self._record(NewTenant, create("/tenants", {"name": name}))

    @call
    def get(self, tenant: Tenant | NewTenant | str) -> Flow[Tenant]:
        """One tenant, with what it has and may have."""
        return self._record(Tenant, get(at("tenants", id_of(tenant))))

    @listing
    def list(self) -> Items[Tenant]:
        """All tenants, newest first."""
        return self._pages(Tenant, "/tenants")

    @call
    def delete(self, tenant: Tenant | NewTenant | str) -> Flow[None]:
        """Shut a tenant out at once; a worker removes all that it has after that."""
        return self._nothing(Request("DELETE", at("tenants", id_of(tenant))))

    @call
    def set_quota(
        self,
        tenant: Tenant | NewTenant | str,
        *,
        images: int | None = None,
        storage_bytes: int | None = None,
        adapters: int | None = None,
        queued_jobs: int | None = None,
        requests_per_minute: int | None = None,
    ) -> Flow[Quota]:
        """Set all limits of a tenant. One that is left out is no limit."""
        body = {
            "images": images,
            "storage_bytes": storage_bytes,
            "adapters": adapters,
            "queued_jobs": queued_jobs,
            "requests_per_minute": requests_per_minute,
        }
        return self._record(Quota, Request("PUT", at("tenants", id_of(tenant), "quota"), json=body))

    @listing
    def keys(self, tenant: Tenant | NewTenant | str) -> Items[Key]:
        """The keys of a tenant, newest first."""
        return self._pages(Key, at("tenants", id_of(tenant), "keys"))

    @call
    def create_key(self, tenant: Tenant | NewTenant | str, name: str) -> Flow[NewKey]:
        """Make another key of a tenant; its `api_key` is shown this once."""
        return self._record(NewKey, create(at("tenants", id_of(tenant), "keys"), {"name": name}))

    @call
    def revoke_key(self, tenant: Tenant | NewTenant | str, key: Key | str) -> Flow[None]:
        """Revoke a key of a tenant."""
        return self._nothing(Request("DELETE", at("tenants", id_of(tenant), "keys", id_of(key))))

    @listing
    def audit(self, tenant: Tenant | NewTenant | str) -> Items[AuditEvent]:
        """What was done by and for a tenant, newest first."""
        return self._pages(AuditEvent, at("tenants", id_of(tenant), "audit"))
