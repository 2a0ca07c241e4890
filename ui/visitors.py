"""Who sent a request: the holder of the key in its cookie, which the service itself vouches for.

The cookie holds the key, so that it says the same to every process of the service and after a restart. No script can
read it (HttpOnly) and no other site can have it sent along (SameSite=Strict).
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
from cachetools import TTLCache
from starlette.requests import Request
from starlette.responses import Response

from saft_client import ApiError, AsyncClient

COOKIE = "saft_key"
REMEMBERED_SECONDS = 90 * 24 * 3600
"""How long a browser keeps the key of a visitor who asks for it; otherwise until it is closed."""
CHECK_SECONDS = 5.0
"""How long the service's word that a key is somebody's is good for."""
MAX_CHECKED_KEYS = 10_000

Connect = Callable[[str], AsyncClient]
"""A client of the service that speaks with a key."""


def connect(url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> AsyncClient:
    """A client for one event of the page. It asks once, since a visitor waits, and no proxy stands in between."""
    return AsyncClient(url, key, retries=0, verify=_TLS, trust_env=False, transport=transport)


# Made once: each event of the page has a client of its own, and reading the certificates takes some 30 ms.
_TLS = ssl.create_default_context()
# What a bearer token may consist of (RFC 6750); all of it may stand in a cookie as it is.
_KEY = re.compile(r"[A-Za-z0-9._~+/-]{1,500}={0,2}")


@dataclass(frozen=True)
class Visitor:
    """Somebody whose key the service knows. `tag` names them where the key must not be seen."""

    key: str = field(repr=False)

    @property
    def tag(self) -> str:
        """32 hexadecimal digits, the same for the same key."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:32]


class Visitors:
    """Checks keys with the service, and remembers for CHECK_SECONDS that one is somebody's."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._known: TTLCache[str, bool] = TTLCache(MAX_CHECKED_KEYS, CHECK_SECONDS)

    async def sender(self, request: Request) -> Visitor:
        """Who sent the request. Raises ApiError: `cross_site`, `no_key`, `unauthorized`, or that nobody answered."""
        refuse_other_sites(request)
        key = request.cookies.get(COOKIE, "")
        if not key:
            raise ApiError("no_key", "This needs a key. Open the Key tab first.", 401)
        return await self.holder(key)

    async def holder(self, key: str) -> Visitor:
        """Whose key it is. Raises ApiError as `sender` does."""
        if not _KEY.fullmatch(key):
            raise ApiError("unauthorized", "This is no key.", 401)
        visitor = Visitor(key)
        if visitor.tag not in self._known:
            async with self._connect(key) as client:
                await client.check_key()
            self._known[visitor.tag] = True
        return visitor


def refuse_other_sites(request: Request) -> None:
    """Raise ApiError `cross_site` if a page of another origin made the browser send this.

    Browsers say so in Sec-Fetch-Site; where they do not, over plain http, the Origin has to name this host. A proxy may
    change the Host, so the first counts where it is there.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        foreign = origin is not None and _host_of(origin) != request.headers.get("host")
    if foreign:
        raise ApiError("cross_site", "Another site sent this. Use the page itself.", 403)


def _host_of(origin: str) -> str | None:
    """Host and port; None of what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def remember(response: Response, request: Request, key: str, *, long: bool) -> None:
    """Have the browser keep the key: `long` for REMEMBERED_SECONDS, else until it is closed."""
    response.set_cookie(
        COOKIE,
        key,
        max_age=REMEMBERED_SECONDS if long else None,
        httponly=True,
        samesite="strict",
        secure=_is_https(request),
    )


def forget(response: Response, request: Request) -> None:
    """Have the browser forget the key."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_https(request))


def _is_https(request: Request) -> bool:
    """Whether the browser sees https: it says so itself, whatever stands between."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")
