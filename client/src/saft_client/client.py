"""The clients: `Client` is synchronous, `AsyncClient` is for asyncio."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import TypeVar

import httpx

from saft_client._account import Keys, Tenants
from saft_client._adapters import Adapters
from saft_client._collections import Collections
from saft_client._datasets import Datasets
from saft_client._drivers import RETRIES, AsyncDriver, SyncDriver, http_options
from saft_client._flow import D, Flow, Items, Resource, call, listing
from saft_client._inference import Inference
from saft_client._jobs import Jobs
from saft_client._requests import WORK_SECONDS, create, get
from saft_client.records import Base, Example
from saft_client.tenant_records import Account, AuditEvent

Self = TypeVar("Self", bound="_SyncConnections | _AsyncConnections")


class _Service(Inference[D]):
    """All methods of both clients: `tenants` takes the admin key, all others a tenant's."""

    def __init__(self, driver: D) -> None:
        super().__init__(driver)
        self.datasets = Datasets(driver)
        self.adapters = Adapters(driver)
        self.jobs = Jobs(driver)
        self.collections = Collections(driver)
        self.keys = Keys(driver)
        self.tenants = Tenants(driver)

    def __repr__(self) -> str:
        driver = getattr(self, "_driver", None)  # none where __init__ has raised
        return f"{type(self).__name__}({str(driver.http.base_url)!r})" if driver else f"{type(self).__name__}()"

    @call
    def check_key(self) -> Flow[None]:
        """Raise Unauthorized unless the key is a tenant's."""
        return self._nothing(get("/datasets", limit=1))

    @call
    def base(self) -> Flow[Base]:
        """The model that every adapter of the service changes."""
        return self._record(Base, get("/base"))

    @call
    def example(self) -> Flow[Example]:
        """The sample photographs as datasets of the tenant, and an adapter on them; made once, then found again."""
        return self._record(Example, create("/example", None, answer_seconds=WORK_SECONDS))

    @call
    def usage(self) -> Flow[Account]:
        """What the tenant has, and what it may have."""
        return self._record(Account, get("/usage"))

    @listing
    def audit(self) -> Items[AuditEvent]:
        """What was done with the tenant's keys, or by the admin for it, newest first."""
        return self._pages(AuditEvent, "/audit")


class _SyncConnections(Resource[SyncDriver]):
    """A client's connections: close it, or use it in a `with`."""

    def close(self) -> None:
        """Close the connections."""
        self._driver.http.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _AsyncConnections(Resource[AsyncDriver]):
    """A client's connections: close it, or use it in an `async with`."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self._driver.http.aclose()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Client(_Service[SyncDriver], _SyncConnections):
    """A synchronous client of the service.

    url: the service's address; SAFT_URL, if left out. api_key: a tenant's, or the admin's for `tenants`; SAFT_API_KEY,
    if left out. retries: how often a request is sent again that was not answered, or answered with 429 or 503; what
    creates is created once all the same. verify: of TLS, as in httpx. trust_env: whether proxies are taken from the
    environment. transport: replaces the network.

    Raises ConfigurationError without an address or a key; all methods raise what `saft_client.errors` lists.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        retries: int = RETRIES,
        verify: ssl.SSLContext | bool = True,
        trust_env: bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        options = http_options(url, api_key, verify, trust_env)
        super().__init__(SyncDriver(httpx.Client(transport=transport, **options), retries))


class AsyncClient(_Service[AsyncDriver], _AsyncConnections):
    """`Client` for asyncio: each method is awaited, or iterated over with `async for`."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        retries: int = RETRIES,
        verify: ssl.SSLContext | bool = True,
        trust_env: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        options = http_options(url, api_key, verify, trust_env)
        super().__init__(AsyncDriver(httpx.AsyncClient(transport=transport, **options), retries))
