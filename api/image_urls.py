"""Which image URLs may be fetched (against SSRF): of hosts that the operator allows, at public addresses only.

A setting is a list such as `images.example.com, *.cdn.example.com, http://old.example.com:8080`: https on port 443
unless written otherwise, `*.` for any name below, not for the name itself.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import httpx

from saft_core.errors import InvalidImage

MAX_URL_CHARACTERS = 2_000
PORTS = {"http": 80, "https": 443}
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_ALSO_NOT = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "3fff::/20"))
)
"""Networks that `ipaddress` does not call private, or not in every version: special purposes, documentation, and the
address at which Azure answers its own machines."""


def is_url(text: str) -> bool:
    """Whether a text that stands for an image is a URL; base64 never is one, since it has no colon."""
    return text[:8].lower().startswith(("http://", "https://"))


def is_public(address: IpAddress) -> bool:
    """Whether an IP address is public, and carries no private address within it.

    Of IPv6 only global unicast, without the parts that carry an IPv4 address within (6to4, Teredo); mapped and
    translated ones (::ffff:0:0/96, 64:ff9b::/96) lie outside of it.
    """
    if isinstance(address, ipaddress.IPv6Address):
        tunnel = address.sixtofour is not None or address.teredo is not None
        if tunnel or address.scope_id or address not in _GLOBAL_UNICAST:
            return False
    special = address.is_multicast or address.is_reserved or any(address in network for network in _ALSO_NOT)
    return address.is_global and not special


@dataclass(frozen=True)
class _Rule:
    """One allowed host, or with `below` every subdomain of it."""

    scheme: str
    host: str
    port: int
    below: bool

    def fits(self, scheme: str, host: str, port: int) -> bool:
        named = host.endswith(f".{self.host}") if self.below else host == self.host
        return named and (scheme, port) == (self.scheme, self.port)


@dataclass(frozen=True)
class Target:
    """A URL of an allowed host; its addresses are still to be checked."""

    url: httpx.URL
    host: str
    port: int


class AllowedHosts:
    """The hosts of the setting `image_urls`."""

    def __init__(self, setting: str) -> None:
        self._rules = tuple(_rule(entry) for entry in setting.lower().replace(",", " ").split())

    def target(self, text: str) -> Target:
        """The URL, parsed. Raises InvalidImage with code `urls_not_taken`, `invalid_url` or
        `host_not_allowed`.
        """
        if not self._rules:
            raise InvalidImage(
                "Images by URL are not taken by this service (SAFT_IMAGE_URLS names no hosts). Send the file itself.",
                code="urls_not_taken",
            )
        url = _parsed(text)
        host, port = url.raw_host.decode("ascii").lower(), url.port or PORTS[url.scheme]
        if not any(rule.fits(url.scheme, host, port) for rule in self._rules):
            raise InvalidImage(
                f"Images are not fetched from {url.scheme}://{host}:{port}; the operator names the hosts"
                " (SAFT_IMAGE_URLS). Send the file itself.",
                code="host_not_allowed",
            )
        return Target(url, host, port)


def _rule(entry: str) -> _Rule:
    scheme, separator, rest = entry.partition("://")
    scheme, rest = (scheme, rest) if separator else ("https", entry)
    host, _, port = rest.partition(":")
    return _Rule(scheme, host.removeprefix("*."), int(port or PORTS[scheme]), host.startswith("*."))


def _parsed(text: str) -> httpx.URL:
    """Read by the parser of the client that goes there, so that the two cannot differ. Raises InvalidImage."""
    if len(text) > MAX_URL_CHARACTERS:
        raise invalid_url(f"has more than {MAX_URL_CHARACTERS:,} characters")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise invalid_url("cannot be read") from error
    if url.userinfo:
        raise invalid_url("has a name or a password in it; use one that needs none")
    if url.scheme not in PORTS or not url.raw_host:
        raise invalid_url("is not one of http or https with a host")
    return url


def invalid_url(why: str) -> InvalidImage:
    """The error of a URL that cannot be used."""
    return InvalidImage(f"The URL {why}.", code="invalid_url")
