from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from saft.own_key import KeyFile
from tests.fixtures.page import key_of
from tests.fixtures.rest import ADMIN_KEY, Site, ok, problem
from tests.fixtures.service import Service
from ui.own_machine import OwnMachine, is_own, owner_of_socket
from ui.visitors import connect


@dataclass
class Connection:
    """A connection of this process to itself, as a server sees it."""

    client: socket.socket

    def request(self, **changes: str | None) -> Request:
        """A request of the page over it, with these headers in place of what a browser sends."""
        server = self.client.getpeername()
        name = f"[{server[0]}]" if ":" in server[0] else server[0]
        headers: dict[str, str | None] = {
            "host": f"{name}:{server[1]}",
            "origin": f"http://{name}:{server[1]}",
        }
        headers |= {key.replace("_", "-"): value for key, value in changes.items()}
        sent = [(key.encode(), value.encode()) for key, value in headers.items() if value is not None]
        scope = {"type": "http", "method": "POST", "path": "/page/session", "headers": sent}
        return Request(scope | {"client": self.client.getsockname()[:2], "server": server[:2]})


@pytest.fixture(params=["127.0.0.1", "::1"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with (
        socket.create_server((request.param, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        yield Connection(client)


def test_the_own_page_on_the_own_machine_is_ones_own(connection: Connection) -> None:
    assert is_own(connection.request())


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "evil.example:8000", "origin": "http://evil.example:8000"},  # a name that was made to point here
        {"host": "127.0.0.1.evil.example", "origin": "http://127.0.0.1.evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": None},
        {"origin": "http://127.0.0.1:1"},
        {"host": None},
        {"host": "[", "origin": "http://["},
        {"x_forwarded_for": "203.0.113.7"},
        {"x_forwarded_proto": "https"},
        {"x_real_ip": "203.0.113.7"},
        {"forwarded": "for=203.0.113.7"},
        {"via": "1.1 proxy"},
        {"cf_connecting_ip": "203.0.113.7"},
        {"true_client_ip": "203.0.113.7"},
        {"x_forwarded_prefix": "/saft"},
        {"tailscale_user_login": "ann@example.com"},
        {"origin": "https://127.0.0.1:1"},
        {"origin": "chrome-extension://abc"},
        {"origin": "https://saft.example"},  # through a proxy that calls us by our own address
    ],
)
def test_all_else_is_not(connection: Connection, changes: dict[str, str | None]) -> None:
    assert not is_own(connection.request(**changes))


def test_another_user_of_the_machine_is_not(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert not is_own(connection.request())


def test_a_connection_that_is_not_there_is_nobodys() -> None:
    assert owner_of_socket(("127.0.0.1", 1), ("127.0.0.1", 2)) is None


def test_a_request_from_elsewhere_is_not(connection: Connection) -> None:
    request = connection.request()
    request.scope["client"] = ("192.0.2.1", 5000)
    assert not is_own(request)
    request.scope["client"] = None
    assert not is_own(request)


def own_machine(site: Site, path: Path) -> OwnMachine:
    reach = partial(connect, "http://site", transport=httpx.ASGITransport(site.app))
    return OwnMachine(lambda: ADMIN_KEY, KeyFile(path), reach)


def test_its_tenant_is_made_once_and_found_again(site: Site, tmp_path: Path) -> None:
    machine = own_machine(site, tmp_path / "own-key")

    async def asked() -> list[str]:
        return await asyncio.gather(*(machine.key() for _ in range(5)))

    (key,) = set(asyncio.run(asked()))
    assert ok(site.client(key).get("/usage"))["name"] == "this computer"
    assert oct((tmp_path / "own-key").stat().st_mode)[-3:] == "600"
    assert asyncio.run(own_machine(site, tmp_path / "own-key").key()) == key


def test_a_key_that_opens_nothing_any_more_is_made_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "own-key").write_text("saft_of_another_database")
    key = asyncio.run(own_machine(site, tmp_path / "own-key").key())
    assert ok(site.client(key).get("/usage"))["name"] == "this computer"


def test_the_page_signs_in_by_itself_only_where_it_may(service: Service) -> None:
    own = {"origin": service.url}
    answer = httpx.post(f"{service.url}/page/session", json={}, headers=own)
    assert ok(answer)["name"] == "this computer"
    port = service.url.rsplit(":", 1)[1]
    for headers in (
        {"host": f"evil.example:{port}", "origin": f"http://evil.example:{port}"},
        {"origin": service.url, "x-forwarded-for": "203.0.113.7"},
    ):
        refused = httpx.post(f"{service.url}/page/session", json={}, headers=headers)
        problem(refused, 401, "no_key")
        assert "set-cookie" not in refused.headers


def test_a_service_for_others_signs_nobody_in(site: Site) -> None:
    settings = site.services.settings
    assert settings.signs_in_by_itself
    for change in ({"page_sign_in": "key"}, {"host": "0.0.0.0"}, {"host": "192.0.2.7"}):
        assert not settings.model_copy(update=change).signs_in_by_itself
    assert key_of(site.new_tenant())
