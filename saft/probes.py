"""Whether a part of the service does its work: each probe raises unless it does. The caller sets the time limit."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urlsplit

import psycopg


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
    """GET answers with success. By plain streams: httpx's connections leave a warning where they are cancelled."""
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
