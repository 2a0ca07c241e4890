"""Images by URL from a server that does what a bad one does. Loopback is let in by the check of addresses alone."""

from __future__ import annotations

import base64
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme
from fastapi.testclient import TestClient

from api.image_fetcher import AT_ONCE, Network
from api.image_urls import IpAddress, is_public
from saft_core.settings import Limits
from tests.fixtures.rest import Site, new_collection, ok, png, problem

LABELS = ["cat", "dog"]
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as `answers` of its server says for the path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        self.server.answers[self.path](self)  # type: ignore[attr-defined]

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **named}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class Host:
    """A server of images on loopback."""

    def __init__(self, certificate: trustme.LeafCert | None = None) -> None:
        self.server = Listener(("127.0.0.1", 0), Handler)
        self.server.answers, self.server.seen = {}, []  # type: ignore[attr-defined]
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    @property
    def seen(self) -> list[Any]:
        return self.server.seen  # type: ignore[attr-defined, no-any-return]

    def on(self, path: str, answer: Answer) -> None:
        self.server.answers[path] = answer  # type: ignore[attr-defined]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    made.on("/good.png", lambda request: request.reply(200, png(1)))
    yield made
    made.close()


def loopback(address: IpAddress) -> bool:
    return address.is_loopback


def allowing(site: Site, hosts: str, network: Network | None = None, **settings: Any) -> Site:
    """The site with images by URL from these hosts."""
    changed = site.services.settings.model_copy(update={"image_urls": hosts, **settings})
    network, metrics = network or Network(loopback), type(site.services.metrics)()
    return Site(replace(site.services, settings=changed, network=network, metrics=metrics))


@pytest.fixture
def open_site(site: Site, host: Host) -> Site:
    return allowing(site, f"http://localhost:{host.port}", image_url_seconds=2.0)


@pytest.fixture
def caller(open_site: Site) -> TestClient:
    return open_site.new_tenant()


def ask(client: TestClient, *images: str, **options: Any) -> Any:
    return client.post("/classify", json={"images": list(images), "labels": LABELS} | options)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_an_image_by_url_is_answered_as_the_file_is(site: Site, host: Host, caller: TestClient) -> None:
    url = f"http://localhost:{host.port}/good.png"
    assert ok(ask(caller, url)) == ok(ask(caller, b64(png(1))))
    mixed = ok(ask(caller, b64(png(2)), url, b64(png(3))))["results"]
    alone = [ok(ask(caller, image))["results"][0] for image in (b64(png(2)), url, b64(png(3)))]
    assert [result["score"] for result in mixed] == pytest.approx([result["score"] for result in alone], abs=1e-6)
    path, headers = host.seen[0]
    assert (path, headers["Host"], headers["Accept-Encoding"]) == ("/good.png", f"localhost:{host.port}", "identity")
    assert not {"Authorization", "Cookie"} & set(headers)
    embedded = ok(caller.post("/v1/embeddings", json={"model": "base", "input": [{"image": url}]}))
    sent = ok(caller.post("/v1/embeddings", json={"model": "base", "input": [{"image": b64(png(1))}]}))
    assert embedded["data"] == sent["data"]
    collection, _ = new_collection(caller, {"a.png": png(1), "b.png": png(2)})
    found = ok(caller.post("/retrieve", json={"collection_id": collection, "image": url}))["results"]
    assert found[0]["filename"] == "a.png"


def test_many_are_fetched_side_by_side_and_answered_in_order(host: Host, site: Site) -> None:
    caller = allowing(site, f"http://localhost:{host.port}", image_url_seconds=60.0).new_tenant()
    together = threading.Barrier(4)

    def answer(request: Handler) -> None:
        together.wait(60)
        request.reply(200, png(int(request.path[1:])))

    urls = []
    for number in range(2 * AT_ONCE):
        host.on(f"/{number}", answer)
        urls.append(f"http://localhost:{host.port}/{number}")
    assert len(urls) % 4 == 0
    known = [ok(ask(caller, b64(png(number))))["results"][0] for number in range(len(urls))]
    found = ok(ask(caller, *urls))["results"]
    assert [r["score"] for r in found] == pytest.approx([r["score"] for r in known], abs=1e-6)


def test_by_default_no_host_is_asked(client: TestClient, host: Host) -> None:
    url = f"http://localhost:{host.port}/good.png"
    assert "SAFT_IMAGE_URLS" in problem(ask(client, url), 422, "urls_not_taken")["detail"]
    assert ok(ask(client, url, b64(png()), on_error="skip"))["results"][0]["error"]["code"] == "urls_not_taken"
    assert host.seen == []


def test_the_check_of_addresses_that_is_shipped_keeps_loopback_out(site: Site, host: Host) -> None:
    assert site.services.network.allows is is_public
    client = allowing(site, f"http://localhost:{host.port}", Network()).new_tenant()
    refused = problem(ask(client, f"http://localhost:{host.port}/good.png"), 422, "host_not_allowed")
    assert refused["where"] == "images[0]"
    assert "127.0.0.1" not in refused["detail"]
    assert host.seen == []


def test_one_address_of_a_host_that_is_not_public_is_enough(
    site: Site, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def resolve(name: str, port: int, **_: Any) -> list[Any]:
        asked.append(name)
        return [(2, 1, 6, "", ("127.0.0.1", port)), (2, 1, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr("anyio.getaddrinfo", resolve)
    client = allowing(site, f"http://two.example.com:{host.port}").new_tenant()
    problem(ask(client, f"http://two.example.com:{host.port}/good.png"), 422, "host_not_allowed")
    assert host.seen == []
    assert asked == ["two.example.com"]


def test_a_name_that_changes_its_address_is_resolved_once_and_connected_as_checked(
    site: Site, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a second look would give another address."""
    answers = iter(["127.0.0.1", "127.0.0.2"])

    async def resolve(_: str, port: int, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", (next(answers), port))]

    monkeypatch.setattr("anyio.getaddrinfo", resolve)
    client = allowing(site, f"http://moves.example.com:{host.port}").new_tenant()
    ok(ask(client, f"http://moves.example.com:{host.port}/good.png"))
    assert host.seen[0][1]["Host"] == f"moves.example.com:{host.port}"
    assert next(answers) == "127.0.0.2"


def test_redirects_are_checked_at_each_hop(site: Site, host: Host, caller: TestClient) -> None:
    other = Host()
    here = f"http://localhost:{host.port}"
    targets = {
        "/there": "/good.png",
        "/whole": f"{here}/good.png",
        "/elsewhere": f"http://localhost:{other.port}/good.png",
        "/by-number": f"http://127.0.0.1:{host.port}/good.png",
        "/metadata": "http://169.254.169.254/latest/meta-data",
        "/file": "file:///etc/passwd",
        "/password": f"http://user:x@localhost:{host.port}/good.png",
        "/broken": "http://[",
        "/round": "/round",
        "/1": "/2", "/2": "/3", "/3": "/there",
    }  # fmt: skip
    for path, location in targets.items():
        host.on(path, lambda request, location=location: request.reply(302, b"", Location=location))  # type: ignore[misc]
    for path in ("/there", "/whole", "/2"):
        ok(ask(caller, here + path))
    for path in ("/elsewhere", "/by-number", "/metadata", "/broken"):
        problem(ask(caller, here + path), 422, "host_not_allowed")
    for path in ("/file", "/password"):
        problem(ask(caller, here + path), 422, "invalid_url")
    for path in ("/round", "/1"):
        problem(ask(caller, here + path), 422, "url_failed")
    assert other.seen == []
    other.close()


def drip(request: Handler, header: bool) -> None:
    """A byte now and then, so that no read is slow and the whole never ends."""
    request.send_response(200)
    if not header:
        request.send_header("Content-Length", "100000")
        request.end_headers()
    try:
        for _ in range(100):
            request.wfile.write(b"X-A: b\r\n" if header else b"x")
            request.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass


def endless(request: Handler) -> None:
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    try:
        while True:
            request.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
    except OSError:
        pass


def hang_up(_: Any, request: Handler) -> None:
    request.close_connection = True


def cut_off(request: Handler) -> None:
    request.reply(200, b"x", Content_Length="50")
    request.close_connection = True


BAD: dict[str, tuple[Answer, str]] = {
    "missing": (lambda request: request.reply(404, b"no"), "url_failed"),
    "redirect without a place": (lambda request: request.reply(302), "url_failed"),
    "page": (lambda request: request.reply(200, b"<html>", Content_Type="image/png"), "not_an_image"),
    "empty": (lambda request: request.reply(200), "empty_file"),
    "packed": (lambda request: request.reply(200, b"x", Content_Encoding="gzip"), "url_failed"),
    "large, as announced": (lambda request: request.reply(200, Content_Length="99999999"), "image_too_large"),
    "large, as it comes": (endless, "image_too_large"),
    "cut off": (cut_off, "url_failed"),
    "no HTTP": (lambda request: hang_up(request.wfile.write(b"SSH-2.0\r\n\r\n"), request), "url_failed"),
    "slow": (lambda request: drip(request, header=False), "url_failed"),
    "slow head": (lambda request: drip(request, header=True), "url_failed"),
    "silent": (lambda request: time.sleep(3), "url_failed"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_host_costs_its_own_image_only(open_site: Site, host: Host, kind: str) -> None:
    answer, code = BAD[kind]
    host.on("/bad", answer)
    site = open_site.with_settings(limits=Limits(max_image_bytes=1 << 20))
    here, client = f"http://localhost:{host.port}", site.new_tenant()
    found = ok(ask(client, f"{here}/bad", f"{here}/good.png", b64(png(1)), on_error="skip"))["results"]
    assert [result["error"] and result["error"]["code"] for result in found] == [code, None, None]
    assert problem(ask(client, f"{here}/bad"), 422, code)["where"] == "images[0]"
    assert site.services.image_reader._fetcher.slots.taken == 0


def test_a_host_without_a_server_or_a_name(site: Site, host: Host) -> None:
    gone = Host()
    gone.close()
    client = allowing(site, f"http://localhost:{gone.port}, no-such-host.invalid").new_tenant()
    problem(ask(client, f"http://localhost:{gone.port}/"), 422, "url_failed")
    problem(ask(client, "https://no-such-host.invalid/"), 422, "url_failed")


def test_the_next_address_of_a_host_is_tried(site: Site, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(_: str, port: int, **__: Any) -> list[Any]:
        return [(10, 1, 6, "", ("::1", port, 0, 0)), (2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("anyio.getaddrinfo", resolve)
    client = allowing(site, f"http://both.example.com:{host.port}").new_tenant()
    ok(ask(client, f"http://both.example.com:{host.port}/good.png"))


def test_proxies_of_the_environment_are_not_used(
    site: Site, host: Host, caller: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    ok(ask(caller, f"http://localhost:{host.port}/good.png"))


def test_tls_is_spoken_to_the_name_at_the_address(site: Site) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    for certificate, works in (
        (authority.issue_cert("localhost"), True),
        (authority.issue_cert("other.example.com"), False),
        (stranger.issue_cert("localhost"), False),
    ):
        host = Host(certificate)
        host.on("/good.png", lambda request: request.reply(200, png(1)))
        client = allowing(site, f"localhost:{host.port}", Network(loopback, trust)).new_tenant()
        answer = ask(client, f"https://localhost:{host.port}/good.png")
        if works:
            ok(answer)
        else:
            problem(answer, 422, "url_failed")
        host.close()


def test_places_are_bounded_and_whoever_finds_none_is_told_soon(site: Site, host: Host) -> None:
    hold = threading.Event()

    def held(request: Handler) -> None:
        hold.wait(20)
        request.reply(200, png(1))

    host.on("/held", held)
    site = allowing(site, f"http://localhost:{host.port}", image_url_requests=AT_ONCE)
    client, url = site.new_tenant(), f"http://localhost:{host.port}/held"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, client, *[url] * AT_ONCE)
        while len(host.seen) < AT_ONCE:
            time.sleep(0.01)
        assert "image_url_requests" in problem(ask(client, url), 429, "busy")["detail"]
        ok(ask(client, b64(png())))  # others are not held up: no place for pictures is taken
        assert site.services.image_reader.prepared.free == site.services.image_reader.prepared.units
        hold.set()
        ok(waiting.result(30))
