"""A probe passes where the other side answers, and raises where it does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from saft import probes
from tests.fixtures.service import free_port


@asynccontextmanager
async def answering(line: bytes) -> AsyncIterator[str]:
    """The URL of a server that answers every request so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /health HTTP/1.1\r\n")
        writer.write(line + b"\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/health"


async def probe(line: bytes) -> None:
    async with answering(line) as url:
        await probes.http(url)


def test_http_passes_by_success() -> None:
    asyncio.run(probe(b"HTTP/1.1 200 OK"))


@pytest.mark.parametrize("line", [b"HTTP/1.1 503 Service Unavailable", b"HTTP/1.1 301 Moved", b"", b"hello"])
def test_http_raises_by_anything_else(line: bytes) -> None:
    with pytest.raises(ConnectionError):
        asyncio.run(probe(line))


def test_http_raises_where_nobody_listens() -> None:
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(probes.http(f"http://127.0.0.1:{free_port()}/health"))
