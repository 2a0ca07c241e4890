"""Bodies above the limits, announced and unannounced, through a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api import body_limit
from tests.fixtures.rest import Site, labelled, ok, png, problem
from tests.fixtures.server import Server

LIMIT = 200_000


@pytest.fixture
def http(site: Site) -> Iterator[httpx.Client]:
    small = site.with_limits(max_upload_bytes=LIMIT)
    key = small.new_tenant().headers["authorization"]
    with Server(small.app) as server, httpx.Client(base_url=server.url, headers={"Authorization": key}) as client:
        yield client


def chunks(total: int) -> Iterator[bytes]:
    for _ in range(0, total, 10_000):
        yield b"x" * 10_000


@pytest.mark.parametrize("path", ["/datasets", "/classify", "/adapters", "/collections"])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json"])
def test_a_body_above_the_limit_is_refused_naming_it(http: httpx.Client, path: str, announced: bool, kind: str) -> None:
    if kind == "application/json" and path == "/datasets":
        kind = "multipart/form-data; boundary=x"  # JSON is refused there without being read
    total = 20 * LIMIT
    body: Any = b"x" * total if announced else chunks(total)
    if kind.startswith("multipart") and not announced:
        body = multipart_start(total)
    found = problem(http.post(path, content=body, headers={"content-type": kind}), 413, "too_large")
    assert f"{LIMIT:,}" in found["detail"]
    assert "max_upload_bytes" in found["detail"]
    ok(http.get("/datasets"))


def multipart_start(total: int) -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    yield from chunks(total)


def test_a_body_just_below_the_limit_is_read(http: httpx.Client) -> None:
    files = [("files", item) for item in labelled().items()]
    ok(http.post("/datasets", data={"name": "x"}, files=files), 201)


def test_a_body_that_is_held_in_memory_has_a_limit_of_its_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "MAX_JSON_BYTES", 1000)
    client = site.new_tenant()
    found = problem(client.post("/collections", json={"name": "x" * 2000}), 413, "too_large")
    assert "MAX_JSON_BYTES" in found["detail"]
    assert "multipart" in found["detail"]
    files = [("files", (f"{n}.png", png(n))) for n in range(2)]
    ok(client.post("/classify", files=files, data={"labels": ["a", "b"]}))
