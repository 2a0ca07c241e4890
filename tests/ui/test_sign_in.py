from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from sqlalchemy import delete

from saft_core.store.models import Tenant
from saft_core.store.tenants import hashed
from tests.fixtures.page import Visitor, key_of, refused
from tests.fixtures.rest import Site, ok, problem
from tests.fixtures.service import Service
from ui.app import mount
from ui.visitors import name_of

SITES = (
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
)


def cookie_of(answer: httpx.Response, key: str) -> set[str]:
    """The attributes of the cookie that a key is kept in."""
    name, _, rest = answer.headers["set-cookie"].partition("=")
    value, *attributes = rest.split("; ")
    assert (name, value) == (f"saft_{name_of(key)}", key)
    return set(attributes)


def test_a_key_is_sent_once_and_comes_back_as_a_cookie(service: Service, stranger: Visitor) -> None:
    key = key_of(service.new_tenant("me"))
    answer = stranger.http.post("/page/session", json={"key": f" {key}\n"})
    told = ok(answer)
    assert (told["who"], told["name"]) == (name_of(key), "me")
    assert cookie_of(answer, key) == {"HttpOnly", "Path=/page", "SameSite=strict"}
    assert key not in answer.text
    assert stranger.http.get("/page/session").json() == answer.json()
    usage = ok(stranger.http.get(f"/page/{name_of(key)}/api/usage"))
    assert (usage["name"], usage["tenant_id"]) == ("me", told["tenant"])


@pytest.mark.parametrize(
    ("told", "path"),
    [("/saft/page", "/saft/page"), ("/a/b-c/page", "/a/b-c/page"), ("/", "/page"), ("/x; Domain=evil/page", "/page")],
)
def test_the_cookie_stays_below_the_page(service: Service, stranger: Visitor, told: str, path: str) -> None:
    key = key_of(service.new_tenant())
    answer = stranger.http.post("/page/session", json={"key": key}, headers={"saft-page": told})
    assert f"Path={path}" in cookie_of(answer, key)


@pytest.mark.parametrize("who", ["/x", "%0d%0aSet-Cookie: a=b", "é", "a; Domain=evil", ""])
def test_signing_out_somebody_who_cannot_be_is_nothing(visitor: Visitor, who: str) -> None:
    answer = visitor.http.delete("/page/session", params={"who": who})
    assert ok(answer)["who"] is None
    assert "set-cookie" not in answer.headers


def test_a_remembered_key_outlives_the_browser(service: Service, stranger: Visitor) -> None:
    key = key_of(service.new_tenant())
    answer = stranger.http.post("/page/session", json={"key": key, "remember": True})
    assert any(attribute.startswith("Max-Age=") for attribute in cookie_of(answer, key))


def test_behind_https_the_cookie_is_secure(service: Service, stranger: Visitor) -> None:
    key = key_of(service.new_tenant())
    headers = {"origin": f"https://{service.url.removeprefix('http://')}"}
    answer = stranger.http.post("/page/session", json={"key": key}, headers=headers)
    assert "Secure" in cookie_of(answer, key)


def test_signing_out_takes_the_cookie_away(visitor: Visitor) -> None:
    assert ok(visitor.http.delete("/page/session", params={"who": visitor.who}))["who"] is None
    assert f"saft_{visitor.who}" not in visitor.http.cookies
    problem(visitor.ask("GET", "/datasets"), 401, "no_key")


def test_two_visitors_of_one_browser_are_told_apart(service: Service, visitor: Visitor) -> None:
    other = key_of(service.new_tenant("other"))
    visitor.http.post("/page/session", json={"key": other}).raise_for_status()
    assert visitor.http.get("/page/session").json()["who"] is None  # which of the two?
    assert visitor.http.get("/page/session", params={"who": name_of(other)}).json()["name"] == "other"
    assert visitor.http.get("/page/session", params={"who": visitor.who}).json()["name"] == "tests"


def test_the_admin_makes_a_tenant_and_is_signed_in_as_it(service: Service, stranger: Visitor) -> None:
    answer = stranger.http.post("/page/tenants", json={"admin_key": service.admin_key, "name": "me"})
    key = ok(answer)["key"]
    cookie_of(answer, key)
    assert service.admin_key not in answer.text + answer.headers["set-cookie"]
    assert ok(stranger.http.get(f"/page/{name_of(key)}/api/usage"))["name"] == "me"


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
        (b'{"key": ""}', 401, "unauthorized"),
        (b"[]", 400, "bad_request"),
        (b"{", 400, "bad_request"),
        (b"[" * 15_000, 400, "bad_request"),
        (b'{"key": "' + b"x" * 20_000 + b'"}', 413, "too_large"),
    ],
)
def test_what_is_no_key_signs_nobody_in(stranger: Visitor, body: bytes, status: int, code: str) -> None:
    answer = stranger.http.post("/page/session", content=body)
    problem(answer, status, code)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("body", [b'{"admin_key": "\\ud800", "name": "x"}', b'{"admin_key": "x", "name": "\\ud800"}'])
def test_half_a_character_is_refused(stranger: Visitor, body: bytes) -> None:
    problem(stranger.http.post("/page/tenants", content=body), 422, "invalid_request")


@pytest.mark.parametrize("origin", ["http://[", "http://]", "http://[::1"])
def test_an_origin_that_is_no_address_is_another_site(stranger: Visitor, origin: str) -> None:
    problem(stranger.http.get("/page/session", headers={"origin": origin}), 403, "cross_site")


def test_a_wrong_key_leaves_who_was_signed_in(visitor: Visitor) -> None:
    problem(visitor.http.post("/page/session", json={"key": "saft_wrong"}), 401, "unauthorized")
    ok(visitor.ask("GET", "/datasets"))


def test_a_key_that_nobody_holds_any_more_is_shut_out(site: Site) -> None:
    settings = site.services.settings.model_copy(update={"key_memory_seconds": 0})
    forgetful = Site(replace(site.services, settings=settings, metrics=type(site.services.metrics)()))
    mount(forgetful.app, "http://site", transport=httpx.ASGITransport(forgetful.app))
    key = key_of(forgetful.new_tenant())
    browser = forgetful.client(None)  # without the start-up of the app, whose end would close the site's engine
    browser.headers["origin"] = str(browser.base_url)
    who = ok(browser.post("/page/session", json={"key": key}))["who"]
    ok(browser.get(f"/page/{who}/api/datasets"))
    with site.services.sessions.begin() as session:
        session.execute(delete(Tenant).where(Tenant.key_sha256 == hashed(key)))
    refused(browser.get(f"/page/{who}/api/datasets"), 401, "unauthorized")
    assert ok(browser.get("/page/session"))["who"] is None
    assert f"saft_{who}" not in browser.cookies


@pytest.mark.parametrize("headers", SITES)
def test_another_site_signs_nobody_in_or_out(service: Service, visitor: Visitor, headers: dict[str, str]) -> None:
    key = key_of(service.new_tenant())
    for method, path in (
        ("GET", "/page/session"),
        ("POST", "/page/session"),
        ("DELETE", "/page/session"),
        ("POST", "/page/tenants"),
    ):
        problem(visitor.http.request(method, path, json={"key": key}, headers=headers), 403, "cross_site")


def test_what_changes_something_says_where_it_comes_from(service: Service) -> None:
    key = key_of(service.new_tenant())
    problem(httpx.post(f"{service.url}/page/session", json={"key": key}), 403, "cross_site")
