from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from sqlalchemy import delete
from ui.uploads import UploadLimits

from api.multipart import BodyParser
from saft_core.store.models import Tenant
from saft_core.store.tenants import hashed
from tests.fixtures.page import Visitor, key_of
from tests.fixtures.rest import Site, ok, problem
from tests.fixtures.service import Service
from ui.app import mount


def cookie_of(answer: httpx.Response) -> tuple[str, set[str]]:
    """The value that a cookie is set to and its attributes."""
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == "saft_key"
    value, *attributes = rest.split("; ")
    return value, set(attributes)


def test_a_key_is_sent_once_and_comes_back_as_a_cookie(service: Service, stranger: Visitor) -> None:
    key = key_of(service.new_tenant())
    answer = stranger.http.post("/page/session", json={"key": f" {key}\n"})
    assert "works" in ok(answer)["notice"]
    assert cookie_of(answer) == (key, {"HttpOnly", "Path=/", "SameSite=strict"})
    assert key not in answer.text
    assert stranger.http.get("/page/session").json()["who"] == answer.json()["who"] != ""
    stranger.join(stranger.function("refresh"), [None]).raise_for_status()


def test_a_remembered_key_outlives_the_browser(service: Service, stranger: Visitor) -> None:
    answer = stranger.http.post("/page/session", json={"key": key_of(service.new_tenant()), "remember": True})
    assert any(attribute.startswith("Max-Age=") for attribute in cookie_of(answer)[1])
    answer = stranger.http.patch("/page/session", json={"remember": False})
    assert cookie_of(answer)[1] == {"HttpOnly", "Path=/", "SameSite=strict"}


def test_behind_https_the_cookie_is_secure(service: Service, stranger: Visitor) -> None:
    host = service.url.removeprefix("http://")
    headers = {"origin": f"https://{host}"}
    answer = stranger.http.post("/page/session", json={"key": key_of(service.new_tenant())}, headers=headers)
    assert "Secure" in cookie_of(answer)[1]


def test_signing_out_takes_the_cookie_away(visitor: Visitor) -> None:
    assert ok(visitor.http.delete("/page/session"))["who"] == ""
    assert "saft_key" not in visitor.http.cookies
    problem(visitor.join(visitor.function("refresh"), [None]), 401, "no_key")


def test_the_admin_makes_a_tenant_and_is_signed_in_as_it(service: Service, stranger: Visitor) -> None:
    answer = stranger.http.post("/page/tenants", json={"admin_key": service.admin_key, "name": "<b>me</b>"})
    key = ok(answer)["key"]
    assert cookie_of(answer)[0] == key
    assert "&lt;b&gt;me" in answer.json()["notice"]
    assert service.admin_key not in answer.text + answer.headers["set-cookie"]
    stranger.join(stranger.function("refresh"), [None]).raise_for_status()


@pytest.mark.parametrize("admin_key", ["wrong", "ключ", "a\nb", "x" * 9000])
def test_a_wrong_admin_key_makes_nothing(stranger: Visitor, admin_key: str) -> None:
    answer = stranger.http.post("/page/tenants", json={"admin_key": admin_key, "name": "me"})
    assert 400 <= answer.status_code < 500
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"key": "saft_wrong"}', 401, "unauthorized"),
        (b'{"key": "two words"}', 401, "unauthorized"),
        (b'{"key": "a\\r\\nSet-Cookie: x=y"}', 401, "unauthorized"),
        (b'{"key": ["x"]}', 401, "unauthorized"),
        (b"{}", 401, "unauthorized"),
        (b"[]", 400, "bad_request"),
        (b"{", 400, "bad_request"),
        (b"[" * 15_000, 400, "bad_request"),
        (b'{"key": "' + b"x" * 20_000 + b'"}', 413, "too_large"),
    ],
)
def test_what_is_no_key_signs_nobody_in(stranger: Visitor, body: bytes, status: int, code: str) -> None:
    answer = stranger.http.post("/page/session", content=body)
    assert "notice" in problem(answer, status, code)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("body", [b'{"admin_key": "\\ud800", "name": "x"}', b'{"admin_key": "x", "name": "\\ud800"}'])
def test_half_a_character_is_refused(stranger: Visitor, body: bytes) -> None:
    problem(stranger.http.post("/page/tenants", content=body), 422, "invalid_request")


@pytest.mark.parametrize("origin", ["http://[", "http://]", "http://[::1"])
def test_an_origin_that_is_no_address_is_another_site(stranger: Visitor, origin: str) -> None:
    problem(stranger.http.get("/page/session", headers={"origin": origin}), 403, "cross_site")


def test_a_wrong_key_leaves_who_was_signed_in(visitor: Visitor) -> None:
    problem(visitor.http.post("/page/session", json={"key": "saft_wrong"}), 401, "unauthorized")
    visitor.join(visitor.function("refresh"), [None]).raise_for_status()


def test_a_key_that_nobody_holds_any_more_is_shut_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.visitors.CHECK_SECONDS", 0)
    settings = site.services.settings.model_copy(update={"key_memory_seconds": 0})
    forgetful = Site(replace(site.services, settings=settings, metrics=type(site.services.metrics)()))
    limits = UploadLimits(1 << 20, 1 << 20, 1 << 20, 10, 60)
    mount(forgetful.app, "http://site", BodyParser, limits, transport=httpx.ASGITransport(forgetful.app))
    key = forgetful.new_tenant().headers["authorization"].removeprefix("Bearer ")
    browser = forgetful.client(None)  # without the start-up of the app, whose end would close the site's engine
    assert ok(browser.post("/page/session", json={"key": key}))["who"]
    problem(browser.get("/gradio_api/file=x"), 404, "no_upload")  # past the guard
    with site.services.sessions.begin() as session:
        session.execute(delete(Tenant).where(Tenant.key_sha256 == hashed(key)))
    problem(browser.get("/gradio_api/file=x"), 401, "unauthorized")
    problem(browser.get("/page/session"), 401, "unauthorized")
