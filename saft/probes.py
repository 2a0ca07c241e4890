"""Whether a part of the service does its work: each probe raises unless it does. The caller sets the time limit."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import psycopg

# Unused, since all is plain HTTP; the one that httpx would make reads a file of certificates for each probe.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def postgres(url: str) -> None:
    """A new connection answers a query."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SELECT 1")


async def valkey(socket: Path) -> None:
    """A new connection answers PING."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(b"PING\r\n")
        if await reader.readline() != b"+PONG\r\n":
            raise ConnectionError("no PONG")
    finally:
        writer.close()


async def http(url: str) -> None:
    """GET answers with success."""
    async with httpx.AsyncClient(trust_env=False, timeout=None, verify=_NO_TLS) as client:  # noqa: S113 (the caller's)
        (await client.get(url)).raise_for_status()
