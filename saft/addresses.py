"""Addresses as URLs."""

from __future__ import annotations

import ipaddress
from contextlib import suppress


def http_url(host: str, port: int) -> str:
    """The URL of a host name or address; an IPv6 address stands in brackets there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_url(host: str, port: int) -> str:
    """Where this machine reaches a server that listens on `host`: one that listens everywhere, on its loopback."""
    with suppress(ValueError):  # a name
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
    return http_url(host, port)
