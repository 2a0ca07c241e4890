"""The health checks of PostgreSQL, Valkey and the API: each raises unless the server answers, without a time limit."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urlsplit

import psycopg


async def postgres(url: str) -> None:
    """Connect to PostgreSQL and run a query."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SELECT 1")


async def valkey(socket: Path) -> None:
    """Connect to Valkey and send PING."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(b"PING\r\n")
        if await reader.readline() != b"+PONG\r\n":
            raise ConnectionError("no PONG")
    finally:
        writer.close()


async def http(url: str) -> None:
    """GET `url`, which must answer 2xx. By plain streams: httpx warns about a connection that is cancelled."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        status = await reader.readline()
        if not re.match(rb"HTTP/1\.[01] 2\d\d ", status):
            raise ConnectionError(f"answered {status!r}")
        await reader.read()  # to its end: a caller who hangs up early is an error in the other's log
    finally:
        writer.close()
