"""Request bodies through a real server: nothing without a key, and never too large, too slow or too many."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.multipart import BodyParser
from api.protocol import EdgeProtocol
from saft_core.store.scope import PageOf
from tests.fixtures.rest import ADMIN_KEY, Site, labelled, ok, png, problem
from tests.fixtures.server import Server

MIB = 1 << 20
LIMIT = 200_000
WAIT_SECONDS = 60


@pytest.fixture
def http(site: Site) -> Iterator[httpx.Client]:
    with served(site.with_limits(max_upload_bytes=LIMIT)) as client:
        yield client


@contextlib.contextmanager
def served(site: Site) -> Iterator[httpx.Client]:
    """A tenant's client of the site behind a real server."""
    key = site.new_tenant().headers["authorization"]
    headers = {"Authorization": key}
    with Server(site.app) as server, httpx.Client(base_url=server.url, headers=headers, timeout=WAIT_SECONDS) as client:
        yield client


def chunks(total: int) -> Iterator[bytes]:
    for _ in range(0, total, 10_000):
        yield b"x" * 10_000


# --- size ------------------------------------------------------------------------------------------------------------

KINDS = {
    "/datasets": ["multipart/form-data; boundary=x"],
    "/classify": ["multipart/form-data; boundary=x", "application/json"],
    "/adapters": ["application/json"],
    "/collections": ["application/json"],
}


@pytest.mark.parametrize(("path", "kind"), [(path, kind) for path, kinds in KINDS.items() for kind in kinds])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_above_the_limit_is_refused_naming_it(http: httpx.Client, path: str, announced: bool, kind: str) -> None:
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


def test_a_body_that_is_held_in_memory_has_a_limit_of_its_own(site: Site) -> None:
    client = site.with_limits(max_json_bytes=1000).new_tenant()
    found = problem(client.post("/collections", json={"name": "x" * 2000}), 413, "too_large")
    assert "max_json_bytes" in found["detail"]
    assert "multipart" in found["detail"]
    files = [("files", (f"{n}.png", png(n))) for n in range(2)]
    ok(client.post("/classify", files=files, data={"labels": ["a", "b"]}))


@pytest.mark.parametrize("path", ["/tenants", "/adapters", "/collections", "/retrieve"])
def test_json_cannot_pass_for_a_form_whose_limit_is_higher(site: Site, path: str) -> None:
    site = site.with_limits(max_json_bytes=1000)
    client = site.admin if path == "/tenants" else site.new_tenant()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post(path, content=b'"' + b"x" * 5000 + b'"', headers=headers), 415, "unsupported_media_type")


# --- raw sockets -----------------------------------------------------------------------------------------------------


class Raw:
    """One connection that says what it likes, and what came back so far."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=WAIT_SECONDS)
        self.came = b""

    def say(self, data: bytes) -> None:
        self._socket.sendall(data)

    def say_what_fits(self, data: memoryview) -> int:
        """Send without waiting; how many bytes were taken, 0 when the other side takes none now."""
        self._socket.setblocking(False)
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        finally:
            self._socket.settimeout(WAIT_SECONDS)

    def listen_now(self) -> None:
        """Take what has come already."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.came += self._socket.recv(1 << 16)
        self._socket.settimeout(WAIT_SECONDS)

    def answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and body, once they are there."""
        while True:
            head, end, rest = self.came.partition(b"\r\n\r\n")
            headers = dict(re.findall(r"(?m)^([\w-]+): *(.*?)\r?$", head.decode().lower()))
            length = int(headers.get("content-length", 0))
            if end and len(rest) >= length:
                return int(head.split()[1]), headers, json.loads(rest[:length] or b"{}")
            piece = self._socket.recv(1 << 16)
            assert piece, f"closed after {self.came!r}"
            self.came += piece

    def is_closed(self) -> bool:
        """Whether the other side has closed the connection; waits for it."""
        with contextlib.suppress(ConnectionError):
            return self._socket.recv(1) == b""
        return True

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def connections(url: str, count: int) -> Iterator[list[Raw]]:
    made = [Raw(url) for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            each.close()


def head(path: str, *lines: str, key: str | None = None, method: str = "POST") -> bytes:
    key_line = [f"Authorization: {key}"] if key else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *key_line, *lines, "", ""]).encode()


def resident_bytes() -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


BODIES = {
    "/retrieve": ("application/json", b'{"adapter": "'),
    "/tenants": ("application/json", b'{"name": "'),
    "/adapters": ("application/json", b'{"name": "'),
    "/collections": ("application/json", b'{"name": "'),
    "/adapters/x/retrain": ("application/json", b'{"publish": "'),
    "/classify": ("application/json", b'{"adapter": "'),
    "/keys": ("application/json", b'{"name": "'),
    "/tenants/x/keys": ("application/json", b'{"name": "'),
    "/v1/embeddings": ("application/json", b'{"model": "'),
    "/datasets": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="archive"; filename="a"\r\n\r\n',
    ),
    "/datasets/x/revisions": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="archive"; filename="a"\r\n\r\n',
    ),
    "/adapters/import": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
    ),
    "/thumbnails": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
    ),
    "/collections/x/images": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n',
    ),
}


@pytest.mark.parametrize("key", [None, "Bearer wrong", "Bearer", "Basic eDp5"])
@pytest.mark.parametrize("path", BODIES)
def test_without_a_key_the_answer_comes_before_one_byte_of_the_body(site: Site, path: str, key: str | None) -> None:
    kind, _ = BODIES[path]
    with Server(site.app) as server, connections(server.url, 1) as (raw,):
        raw.say(head(path, f"Content-Type: {kind}", "Content-Length: 1000000", "Expect: 100-continue", key=key))
        status, headers, body = raw.answer()  # and no "100 Continue" before it, which asks for the body
    assert (status, body["code"]) == (401, "unauthorized")
    assert headers["content-type"] == "application/problem+json"


def test_every_call_with_a_body_is_among_these(site: Site) -> None:
    paths = ok(site.client(None).get("/openapi.json"))["paths"]
    with_body = [path for path in paths if "requestBody" in paths[path].get("post", {})]
    assert {re.sub(r"\{\w+\}", "x", path) for path in with_body} == set(BODIES)


def flood(raws: list[Raw], start: bytes, sent_bytes: int) -> None:
    """Send as much as the server takes over all connections, until each has sent so much or has its answer."""
    piece = memoryview(b"x" * MIB)
    left = dict.fromkeys(raws, sent_bytes)
    for raw in raws:
        raw.say(start)
    deadline = time.monotonic() + 2 * WAIT_SECONDS
    while left:
        assert time.monotonic() < deadline, "the server neither reads nor answers"
        before = sum(left.values())
        for raw in list(left):
            raw.listen_now()
            left[raw] -= raw.say_what_fits(piece[: min(MIB, left[raw])])
            if raw.came or left[raw] <= 0:
                del left[raw]
        if sum(left.values()) == before:
            time.sleep(0.01)


def test_twenty_large_bodies_hold_no_memory_without_a_key(site: Site) -> None:
    start = head("/retrieve", "Content-Type: application/json", f"Content-Length: {60 * MIB}") + b'{"adapter": "'
    with Server(site.app) as server, connections(server.url, 20) as raws:
        before = resident_bytes()
        flood(raws, start, 55 * MIB)
        assert {raw.answer()[0] for raw in raws} == {401}
        assert resident_bytes() - before < 60 * MIB


def test_twenty_large_bodies_with_a_key_share_one_budget(site: Site) -> None:
    site = site.with_settings(body_memory_bytes=130 * MIB)
    key = site.new_tenant().headers["authorization"]
    lines = ("Content-Type: application/json", f"Content-Length: {60 * MIB}")
    with Server(site.app) as server, connections(server.url, 20) as raws:
        before = resident_bytes()
        flood(raws, head("/retrieve", *lines, key=key) + b'{"adapter": "', 55 * MIB)
        assert resident_bytes() - before < 200 * MIB
        refused = [raw.answer() for raw in raws if raw.came]
        assert len(refused) == 19  # a second one would be more than one caller's half
        for status, headers, body in refused:
            assert (status, body["code"]) == (429, "busy")
            assert "body_memory_bytes" in body["detail"]
            assert int(headers["retry-after"]) > 0
        other = site.new_tenant()
        ok(httpx.post(f"{server.url}/collections", json={"name": "x"}, headers=other.headers), 201)
    ok(site.new_tenant().post("/collections", json={"name": "x"}), 201)


def test_forms_on_disk_share_a_budget_too(site: Site) -> None:
    site = site.with_limits(max_upload_bytes=3 * MIB).with_settings(body_disk_bytes=4 * MIB)
    key = site.new_tenant().headers["authorization"]
    kind, content = BODIES["/datasets"]
    start = head("/datasets", f"Content-Type: {kind}", f"Content-Length: {3 * MIB}", key=key) + content
    with Server(site.app) as server, connections(server.url, 2) as (first, second):
        first.say(start)
        until(lambda: bool(list_spools(site)))
        second.say(start)
        status, headers, body = second.answer()
        assert (status, body["code"], headers["retry-after"]) == (429, "busy", "1")
        assert "body_disk_bytes" in body["detail"]


def list_spools(site: Site) -> list[Path]:
    """Open temporary files of this process in the site's data folder."""
    folder = str(site.services.settings.data_dir)
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(link.readlink())
    return [path for path in found if str(path).startswith(folder) and "deleted" in path.name]


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- pace ------------------------------------------------------------------------------------------------------------

SLOW = {"min_body_bytes_per_second": 1000, "body_patience_seconds": 0.5}


@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_stops_coming_is_ended(site: Site, path: str) -> None:
    site = site.with_settings(**SLOW)
    key = f"Bearer {ADMIN_KEY}" if path.startswith("/tenants") else site.new_tenant().headers["authorization"]
    kind, start = BODIES[path]
    with Server(site.app) as server, connections(server.url, 1) as (raw,):
        raw.say(head(path, f"Content-Type: {kind}", "Content-Length: 100000", key=key) + start)
        status, headers, body = raw.answer()
        assert (status, body["code"]) == (408, "slow_body")
        assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
        assert raw.is_closed()


def test_a_body_that_drips_is_ended(site: Site) -> None:
    site = site.with_settings(**SLOW)
    key = site.new_tenant().headers["authorization"]
    with Server(site.app) as server, connections(server.url, 1) as (raw,):
        raw.say(head("/collections", "Content-Type: application/json", "Content-Length: 100000", key=key))
        until(lambda: bool(drip(raw)))
        assert raw.answer()[0] == 408


def drip(raw: Raw) -> bytes:
    with contextlib.suppress(ConnectionError):  # it closes the connection at last
        raw.say(b" ")
    raw.listen_now()
    return raw.came


def test_a_body_that_never_ends_is_ended(site: Site) -> None:
    site = site.with_settings(min_body_bytes_per_second=0, max_body_seconds=1)
    key = site.new_tenant().headers["authorization"]
    with Server(site.app) as server, connections(server.url, 1) as (raw,):
        raw.say(head("/collections", "Content-Type: application/json", "Transfer-Encoding: chunked", key=key))
        until(lambda: bool(drip_chunk(raw)))
        assert raw.answer()[0] == 408


def drip_chunk(raw: Raw) -> bytes:
    with contextlib.suppress(ConnectionError):
        raw.say(b"1\r\n \r\n")
    raw.listen_now()
    return raw.came


def test_a_slow_service_is_not_the_clients_fault(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site = site.with_settings(**SLOW | {"min_body_bytes_per_second": 1})
    feed = BodyParser.feed

    def slowly(parser: BodyParser, chunk: bytes) -> None:
        time.sleep(0.6)
        feed(parser, chunk)

    monkeypatch.setattr(BodyParser, "feed", slowly)
    client = site.new_tenant()
    files = [("files", item) for item in labelled().items()]
    ok(client.post("/datasets", data={"name": "x"}, files=files), 201)


# --- framing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/collections", "/healthz", "/datasets", "/nothing"])
def test_two_lengths_of_one_body_are_refused(site: Site, path: str) -> None:
    key = site.new_tenant().headers["authorization"]
    lines = ("Content-Type: application/json", "Content-Length: 4", "Transfer-Encoding: chunked")
    with Server(site.app) as server, connections(server.url, 1) as (raw,):
        raw.say(head(path, *lines, key=key) + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, body = raw.answer()
        assert (status, body["code"]) == (400, "bad_framing")
        assert headers["connection"] == "close"
        assert raw.is_closed()


# --- heads -----------------------------------------------------------------------------------------------------------


class Impatient(EdgeProtocol):
    head_seconds = 0.5


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "])
def test_a_head_that_does_not_come_ends_the_connection(site: Site, start: bytes) -> None:
    with Server(site.app, Impatient) as server, connections(server.url, 1) as (raw,):
        raw.say(start)
        assert raw.is_closed()


def test_a_refused_body_that_does_not_end_ends_the_connection(site: Site) -> None:
    with Server(site.app, Impatient) as server, connections(server.url, 1) as (raw,):
        raw.say(head("/collections", "Content-Type: application/json", "Content-Length: 1000000"))
        assert raw.answer()[0] == 401
        until(lambda: gone(raw))


def gone(raw: Raw) -> bool:
    try:
        raw.say(b"x")
        raw.listen_now()
    except ConnectionError:
        return True
    return False


def test_a_request_may_take_longer_than_its_head(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*_: Any) -> PageOf[Any]:
        time.sleep(1.2)
        return PageOf([], None)

    monkeypatch.setattr("saft_core.store.scope.Scope.page", slowly)
    key = site.new_tenant().headers["authorization"]
    with Server(site.app, Impatient) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(2):
            ok(client.get("/collections", headers={"Authorization": key}))


@pytest.mark.parametrize("start", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n"])
def test_what_is_not_http_is_answered_with_problem_details(site: Site, start: bytes) -> None:
    with Server(site.app) as server, connections(server.url, 1) as (raw,):
        raw.say(start)
        status, headers, body = raw.answer()
        assert (status, headers["content-type"], body["code"]) == (400, "application/problem+json", "bad_request")
        assert raw.is_closed()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/classify", {"images": [""], "labels": [1] * 100_000}),
        ("/classify", {"images": [1] * 100_000}),
        ("/classify", {"images": [""], "template": [1] * 100_000}),
        ("/classify", {f"images{number}": 1 for number in range(100_000)}),
        ("/v1/embeddings", {"model": "base", "input": [1] * 100_000}),
        ("/datasets/ds_x/revisions", {"remove": [-1] * 100_000}),
        ("/datasets/ds_x/revisions", {"relabel": [1] * 100_000}),
        ("/adapters", {f"name{number}": 1 for number in range(100_000)}),
        ("/adapters", {"name": "x", "dataset_id": "x", "config": {str(number): 1 for number in range(100_000)}}),
    ],
)
def test_a_hundred_thousand_flaws_have_a_short_answer(client: TestClient, path: str, body: dict[str, Any]) -> None:
    answer = client.post(path, json=body)
    problem(answer, 422, "invalid_request")
    assert len(answer.content) < 5_000
