"""Both drivers, before a server that sends more than anybody wants to have."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from saft_client import AsyncClient, Client, UnexpectedAnswer
from saft_client import _endpoints as endpoints
from tests.fixtures.server import Server

PIECE = b"x" * (64 << 10)
BOMB = gzip.compress(bytes(32 << 20))


class Flood:
    """An app that answers everything with the same pieces of a body."""

    def __init__(self, pieces: list[bytes], status: int = 200, encoding: str = "identity") -> None:
        self._pieces = pieces
        self._start = {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-encoding", encoding.encode())],
        }
        self.accepted: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.accepted.append(dict(scope["headers"])[b"accept-encoding"])
        await send(self._start)
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})


def by_blocking(url: str) -> bytes:
    with Client(url, "key") as saft:
        return saft.datasets.image("ds_1", 0)


def by_awaiting(url: str) -> bytes:
    async def main() -> bytes:
        async with AsyncClient(url, "key") as saft:
            return await saft.datasets.image("ds_1", 0)

    return asyncio.run(main())


@pytest.mark.parametrize("fetch", [by_blocking, by_awaiting])
@pytest.mark.parametrize(
    "flood",
    [Flood([PIECE] * 256), Flood([PIECE] * 256, status=500), Flood([BOMB], encoding="gzip")],
    ids=["endless", "endless error", "bomb"],
)
def test_an_answer_beyond_the_bound_is_not_kept(
    flood: Flood, fetch: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "ANSWER_BYTES", 1 << 20)
    with Server(flood) as server, pytest.raises(UnexpectedAnswer, match="larger than 1 MiB"):
        fetch(server.url)


@pytest.mark.parametrize("fetch", [by_blocking, by_awaiting])
def test_an_answer_within_the_bound_is_unpacked(fetch: Callable[[str], bytes]) -> None:
    flood = Flood([gzip.compress(PIECE)], encoding="gzip")
    with Server(flood) as server:
        assert fetch(server.url) == PIECE
    assert flood.accepted == [b"gzip"]


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd"])
def test_what_unpacks_to_any_size_is_not_unpacked(encoding: str, tmp_path: Path) -> None:
    with Server(Flood([gzip.compress(BOMB)], encoding=encoding)) as server, Client(server.url, "key") as saft:
        for ask in (lambda: saft.datasets.image("ds_1", 0), lambda: saft.adapters.download_delta("a", tmp_path / "a")):
            with pytest.raises(UnexpectedAnswer, match="packed"):
                ask()
    assert list(tmp_path.iterdir()) == []


def test_a_download_may_be_larger_than_what_is_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "ANSWER_BYTES", 1 << 20)
    with Server(Flood([PIECE] * 64)) as server, Client(server.url, "key") as saft:
        assert saft.adapters.download_delta("ad_1", tmp_path / "a.saft").stat().st_size == 64 * len(PIECE)
