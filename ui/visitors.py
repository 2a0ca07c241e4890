"""Who is signed in: the holders of the keys in the browser's cookies, each of which has a name that may be seen.

A cookie holds the key, so that it says the same to every process of the service and after a restart. No script can
read it (HttpOnly) and no other site can have it sent along (SameSite=Strict). Several visitors may be signed in in one
browser, each in tabs of their own: a request of the page names its visitor, and only that cookie counts.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
from starlette.requests import Request
from starlette.responses import Response

from saft_client import ApiError, AsyncClient

COOKIE = "saft_"
"""What the names of cookies begin with; the visitor's name follows."""
REMEMBERED_SECONDS = 90 * 24 * 3600
"""How long a browser keeps the key of a visitor who asks for it; otherwise until it is closed."""
SAFE_METHODS = frozenset({"GET", "HEAD"})

Connect = Callable[[str], AsyncClient]
"""A client of the service that speaks with a key."""


def connect(url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> AsyncClient:
    """A client for one request of the page. It asks once, since a visitor waits, and no proxy stands in between."""
    return AsyncClient(url, key, retries=0, verify=_TLS, trust_env=False, transport=transport)


# Made once: each request has a client of its own, and reading the certificates takes some 30 ms.
_TLS = ssl.create_default_context()
# What a bearer token may consist of (RFC 6750); all of it may stand in a cookie as it is.
_KEY = re.compile(r"[A-Za-z0-9._~+/-]{1,500}={0,2}")
_NAME = re.compile(r"[0-9a-f]{16}")
_PAGE = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){0,10}/page")


def name_of(key: str) -> str:
    """What a visitor is called in addresses and scripts: 16 hexadecimal digits, the same for the same key."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def checked(key: str) -> str:
    """The key, if it may be one. Raises ApiError `unauthorized`."""
    if not _KEY.fullmatch(key):
        raise ApiError("unauthorized", "This is no key.", 401)
    return key


def key_of(request: Request, name: str) -> str:
    """The key of the visitor of this name. Raises ApiError `no_key` where the browser has none."""
    key = request.cookies.get(COOKIE + name, "") if _NAME.fullmatch(name) else ""
    if not key:
        raise ApiError("no_key", "You are not signed in.", 401)
    if name_of(checked(key)) != name:  # somebody else has put it there, by another port or subdomain of this host
        raise ApiError("unauthorized", "This is the key of another visitor.", 401)
    return key


def names_in(request: Request) -> list[str]:
    """All visitors that the browser has keys of."""
    found = (cookie.removeprefix(COOKIE) for cookie in request.cookies if cookie.startswith(COOKIE))
    return sorted(name for name in found if _NAME.fullmatch(name))


def refuse_other_sites(request: Request) -> None:
    """Raise ApiError `cross_site` if a page of another origin made the browser send this.

    Browsers say so in Sec-Fetch-Site; where they do not, over plain http, the Origin has to name this host. A proxy may
    change the Host, so the first counts where it is there. What changes something has to come with one of the two.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    elif origin is not None:
        foreign = not host_of(origin) or host_of(origin) != request.headers.get("host")
    else:
        foreign = request.method not in SAFE_METHODS
    if foreign:
        raise ApiError("cross_site", "Another site sent this. Use the page itself.", 403)


def host_of(origin: str) -> str | None:
    """Host and port; None of what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def remember(response: Response, request: Request, key: str, *, long: bool) -> None:
    """Have the browser keep the key: `long` for REMEMBERED_SECONDS, else until it is closed."""
    response.set_cookie(
        COOKIE + name_of(key),
        key,
        max_age=REMEMBERED_SECONDS if long else None,
        path=_page(request),
        httponly=True,
        samesite="strict",
        secure=_is_https(request),
    )


def forget(response: Response, request: Request, name: str) -> None:
    """Have the browser forget the key of the visitor of this name."""
    if _NAME.fullmatch(name):
        where, secure = _page(request), _is_https(request)
        response.delete_cookie(COOKIE + name, path=where, httponly=True, samesite="strict", secure=secure)


def _page(request: Request) -> str:
    """The path below which the browser sends the cookie: the page's own, which a proxy may have put below another.

    Browsers send cookies to all ports of a host, so that another server there had better not be asked for such a path.
    """
    told = request.headers.get("saft-page", "")
    return told if _PAGE.fullmatch(told) else "/page"


def _is_https(request: Request) -> bool:
    """Whether the browser sees https: it says so itself, whatever stands between."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")
