"""FastAPI dependencies: the services, the tenant or the admin whose key it is, and the page of a list."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request
from fastapi.security import HTTPBearer
from sqlalchemy.orm import Session

from api.services import Services
from saft_core.errors import InvalidCursor, Unauthorized
from saft_core.store import images
from saft_core.store.database import reading
from saft_core.store.scope import Scope
from saft_core.store.tenants import hashed

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_tenant_key = HTTPBearer(scheme_name="TenantKey", auto_error=False, description="The key that POST /tenants made.")
_admin_key = HTTPBearer(scheme_name="AdminKey", auto_error=False, description="The key that 'saft serve' printed.")


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]


@dataclass(frozen=True)
class Tenancy:
    """The authenticated tenant of a request, and the only way for a route to the tenant's rows."""

    services: Services
    tenant_id: str
    key_id: str
    key_sha256: str
    request: Request

    def scope(self, session: Session) -> Scope:
        """A scope over the tenant's rows in `session`; the audit log names the request's key."""
        return Scope(session, self.tenant_id, self.key_id)

    @contextmanager
    def begin(self) -> Iterator[Scope]:
        """A transaction over the tenant's rows; committed at the end, rolled back on an error."""
        with self.services.sessions.begin() as session:
            yield self.scope(session)

    @contextmanager
    def reading(self) -> Iterator[Scope]:
        """A scope for a single read, in autocommit without a transaction."""
        with reading(self.services.sessions) as session:
            yield self.scope(session)

    async def infer(self, work: Callable[[], Answer]) -> Answer:
        """The result of `work()` in a thread, once the concurrency gate gives the tenant its turn. Raises Busy."""
        return await self.services.gate.run(self.tenant_id, work, self._gone)

    async def thumbnail(self, work: Callable[[], Answer]) -> Answer:
        """The same behind the gate of thumbnails. Raises Busy."""
        return await self.services.thumbnail_gate.run(self.tenant_id, work, self._gone)

    async def _gone(self) -> None:
        """Return when the client has left; what else it sends has been read, or is of no use."""
        while (await self.request.receive())["type"] != "http.disconnect":
            pass

    def release(self, hashes: Sequence[str], owner_id: str) -> None:
        """Remove the files of a deleted dataset or collection that no row refers to any more.

        hashes: SHA-256 of its images.
        """
        with images.left_to_the_sweeper():
            self.services.blobs.delete_before(owner_id)
            images.release(self.services.sessions, self.services.blobs, self.tenant_id, hashes)

    async def check_key(self) -> None:
        """Authenticate the key again, in a response that lasts long. Raises Unauthorized."""
        await self.services.key_cache.holder_of(self.key_sha256)


async def admit_tenant(request: Request) -> None:
    """Authenticate a tenant's key and count the request for the rate limit. Raises Unauthorized and Busy."""
    services, credentials = await _services(request), await _tenant_key(request)
    if credentials is None:
        raise Unauthorized
    key_sha256 = hashed(credentials.credentials)
    holder = await services.key_cache.holder_of(key_sha256)
    if services.rate_limiter is not None and holder.requests_per_minute is not None:
        await services.rate_limiter.admit(holder.tenant_id, holder.requests_per_minute)
    request.state.caller = holder.tenant_id
    request.state.tenancy = Tenancy(services, holder.tenant_id, holder.key_id, key_sha256, request)


async def admit_admin(request: Request) -> None:
    """Authenticate the admin key. Raises Unauthorized; a key that is too short, as of an empty file, is never valid."""
    services, credentials = await _services(request), await _admin_key(request)
    key = services.admin_key()
    is_key = len(key) >= services.limits.min_admin_key_characters
    given = b"" if credentials is None else credentials.credentials.encode()
    if not is_key or not hmac.compare_digest(given, key.encode()):
        raise Unauthorized("this call takes the admin key, which 'saft serve' printed at its first start")
    request.state.caller, request.state.admin = "admin", services


async def _tenancy(request: Request, _: Annotated[object, Depends(_tenant_key)]) -> Tenancy:
    """The tenant that `TenantRoute` authenticated before the body was read."""
    tenancy: Tenancy = request.state.tenancy
    return tenancy


async def _admin(request: Request, _: Annotated[object, Depends(_admin_key)]) -> Services:
    services: Services = request.state.admin
    return services


TenancyDep = Annotated[Tenancy, Depends(_tenancy)]
AdminDep = Annotated[Services, Depends(_admin)]


@dataclass(frozen=True)
class Paging:
    """The page of a list that a request asks for: `limit` items after `cursor`."""

    limit: int
    cursor: str | None

    @property
    def after(self) -> int:
        """The cursor of a list that is ordered by numbers from 0: the last number seen, or -1. Raises InvalidCursor."""
        if self.cursor is None:
            return -1
        if not (self.cursor.isascii() and self.cursor.isdigit() and len(self.cursor) < 10):
            raise InvalidCursor
        return int(self.cursor)

    def numbered(self, rows: Sequence[Item], number: Callable[[Item], int]) -> tuple[Sequence[Item], str | None]:
        """The rows of the page, and the next cursor, from rows ordered by `number` and read one beyond the limit."""
        page = rows[: self.limit]
        return page, str(number(page[-1])) if len(rows) > self.limit else None


async def _paging(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=10**18, description="Items a page; capped at max_page_items.")] = 20,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
) -> Paging:
    return Paging(min(limit, services.limits.max_page_items), cursor)


PagingDep = Annotated[Paging, Depends(_paging)]
