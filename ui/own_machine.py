"""Signing in by itself where nobody else could have asked: on the machine of whoever started the service.

Four things have to hold at once: the request came over the loopback interface, from a process of the same user as the
service (Linux tells whose a socket is), to a name of the loopback interface, from a page with that very address. The
third keeps out other sites whose name was made to point here (DNS rebinding), the fourth their forms and scripts, and
both keep out whoever comes through a proxy on this machine.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from starlette.requests import Request

from saft_client import ApiError
from ui.visitors import Connect

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
FORWARDED = re.compile(
    r"forwarded(-.*)?|via|x-forwarded-.*|x-real-ip|(.*-)?(client|connecting|external)-(ip|address)|x-original-.*"
    r"|x-proxy.*|tailscale-.*"
)
"""Names of headers that proxies and tunnels add."""
TENANT_NAME = "this computer"
_SOCKETS = ("/proc/net/tcp", "/proc/net/tcp6")
_REFUSED = (401, 403)


class KeyKeeper(Protocol):
    """Where the key of this machine's own tenant is kept."""

    def load(self) -> str:
        """The key, or an empty text."""

    def save(self, key: str) -> None:
        """Keep this one from now on."""


@dataclass(frozen=True)
class OwnMachine:
    """The tenant of whoever started the service. `admin_key` makes it when it is first asked for."""

    admin_key: Callable[[], str]
    keeper: KeyKeeper
    connect: Connect
    making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def key(self) -> str:
        """Its key. Raises ApiError, as the service does."""
        async with self.making:
            key = await asyncio.to_thread(self.keeper.load)
            return key if key and await self._opens(key) else await self._made()

    async def _opens(self, key: str) -> bool:
        try:
            async with self.connect(key) as client:
                await client.check_key()
        except ApiError as error:
            if error.status in _REFUSED:  # revoked, or of a database that is gone
                return False
            raise
        return True

    async def _made(self) -> str:
        async with self.connect(self.admin_key()) as client:
            tenant = await client.tenants.create(TENANT_NAME)
        await asyncio.to_thread(self.keeper.save, tenant.api_key)
        return tenant.api_key


def is_own(request: Request, *, by_link: bool = False) -> bool:
    """Whether the request was made in a browser of whoever started this process, by the page itself.

    by_link: the request only asks, and browsers name no Origin with those.
    """
    client, server = request.scope.get("client"), request.scope.get("server")
    if client is None or server is None or any(FORWARDED.fullmatch(name) for name in request.headers):
        return False
    host = request.headers.get("host", "")
    return (
        ip_address(client[0]).is_loopback
        and _name_of(host) in LOOPBACK_NAMES
        and (by_link or request.headers.get("origin") == f"http://{host}")
        and owner_of_socket(client, server) == os.getuid()
    )


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def owner_of_socket(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The user of the process on this machine that connects from `local` to `remote`; None where it cannot be told.

    Read from /proc/net/tcp (proc_pid_net(5)), so not told but on Linux.
    """
    wanted = {(_in_hex(local, mapped), _in_hex(remote, mapped)) for mapped in (False, True)}
    for name in _SOCKETS:
        try:
            lines = Path(name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if (fields[1], fields[2]) in wanted:
                return int(fields[7])
    return None


def _in_hex(address: tuple[str, int], mapped: bool) -> str:
    """As the kernel writes it: words of four bytes in the machine's order; `mapped`: an IPv4 address as IPv6."""
    ip = ip_address(address[0])
    packed = ip.packed if not (mapped and ip.version == 4) else socket.inet_pton(socket.AF_INET6, f"::ffff:{ip}")
    words = struct.unpack(f">{len(packed) // 4}I", packed)
    native = (struct.unpack(">I", struct.pack("=I", word))[0] for word in words)
    return "".join(f"{word:08X}" for word in native) + f":{address[1]:04X}"
