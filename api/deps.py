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
    """One authenticated tenant: the only way for a route to reach the database."""

    services: Services
    tenant_id: str
    key_id: str
    key_sha256: str
    request: Request

    def scope(self, session: Session) -> Scope:
        """What the tenant owns, in a session that is there; what is done in it is done by the tenant's key."""
        return Scope(session, self.tenant_id, self.key_id)

    @contextmanager
    def begin(self) -> Iterator[Scope]:
        """A transaction over what the tenant owns; committed at the end, rolled back on an error."""
        with self.services.sessions.begin() as session:
            yield self.scope(session)

    @contextmanager
    def reading(self) -> Iterator[Scope]:
        """The same for a single read, without a transaction around it."""
        with reading(self.services.sessions) as session:
            yield self.scope(session)

    async def infer(self, work: Callable[[], Answer]) -> Answer:
        """`work()` in a thread, once it is the tenant's turn. Raises Busy."""
        return await self.services.gate.run(self.tenant_id, work, self._gone)

    async def draw(self, work: Callable[[], Answer]) -> Answer:
        """The same for thumbnails, which have turns of their own. Raises Busy."""
        return await self.services.thumbnail_gate.run(self.tenant_id, work, self._gone)

    async def _gone(self) -> None:
        """Return when the client has left; what else it sends has been read, or is of no use."""
        while (await self.request.receive())["type"] != "http.disconnect":
            pass

    def release(self, hashes: Sequence[str], owner_id: str) -> None:
        """Remove what nobody refers to any more of a dataset or collection that is gone."""
        with images.left_to_the_sweeper():
            self.services.blobs.delete_before(owner_id)
            images.release(self.services.sessions, self.services.blobs, self.tenant_id, hashes)

    async def check_key(self) -> None:
        """Whether the key still opens anything: for what goes on for long. Raises Unauthorized."""
        await self.services.key_cache.holder_of_hash(self.key_sha256)


async def admit_tenant(request: Request) -> None:
    """Let a tenant's key pass, and remember whose it is for the dependencies. Raises Unauthorized and Busy."""
    services, credentials = await _services(request), await _tenant_key(request)
    if credentials is None:
        raise Unauthorized
    key_sha256 = hashed(credentials.credentials)
    holder = await services.key_cache.holder_of_hash(key_sha256)
    if services.rate_limiter is not None and holder.requests_per_minute is not None:
        await services.rate_limiter.admit(holder.tenant_id, holder.requests_per_minute)
    request.state.caller = holder.tenant_id
    request.state.tenancy = Tenancy(services, holder.tenant_id, holder.key_id, key_sha256, request)


async def admit_admin(request: Request) -> None:
    """Let the admin key pass. Raises Unauthorized; a short key, such as an empty file gives, opens nothing."""
    services, credentials = await _services(request), await _admin_key(request)
    key = services.admin_key()
    is_key = len(key) >= services.limits.min_admin_key_characters
    if credentials is None or not is_key or not _same(credentials.credentials, key):
        raise Unauthorized("this call takes the admin key, which 'saft serve' printed at its first start")
    request.state.caller, request.state.admin = "admin", services


def _same(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode(), key.encode())


async def _tenancy(request: Request, _: Annotated[object, Depends(_tenant_key)]) -> Tenancy:
    """Who was admitted: the route asked before the body was read, and must be a `TenantRoute`."""
    tenancy: Tenancy = request.state.tenancy
    return tenancy


async def _admin(request: Request, _: Annotated[object, Depends(_admin_key)]) -> Services:
    services: Services = request.state.admin
    return services


TenancyDep = Annotated[Tenancy, Depends(_tenancy)]
AdminDep = Annotated[Services, Depends(_admin)]


@dataclass(frozen=True)
class Paging:
    """Which page of a list is wanted."""

    limit: int
    cursor: str | None

    @property
    def after(self) -> int:
        """The cursor of a list that goes by numbers from 0 on: the last one seen. Raises InvalidCursor."""
        if self.cursor is None:
            return -1
        if not (self.cursor.isascii() and self.cursor.isdigit() and len(self.cursor) < 10):
            raise InvalidCursor
        return int(self.cursor)

    def numbered(self, rows: Sequence[Item], number: Callable[[Item], int]) -> tuple[Sequence[Item], str | None]:
        """Of rows by number, read one beyond the limit, this page's and the cursor of the next one."""
        page = rows[: self.limit]
        return page, str(number(page[-1])) if len(rows) > self.limit else None


async def _paging(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=10**18, description="Items a page; capped at max_page_items.")] = 20,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
) -> Paging:
    return Paging(min(limit, services.limits.max_page_items), cursor)


PagingDep = Annotated[Paging, Depends(_paging)]
