"""The page's frame as an attacker meets it: over HTTP, against the running product."""

from __future__ import annotations

import re
from collections.abc import Iterator

import fastapi
import fastapi.testclient
import httpx
import pytest

from tests.fixtures.page import Visitor, until_there
from tests.fixtures.service import Service
from ui.allowlist import PATHS
from ui.app import mount
from ui.loading import Page
from ui.static import OURS


def gradio_of(page: Page) -> fastapi.FastAPI:
    """Gradio's app as it stands behind the guard."""
    (route,) = (route for route in page.built.routes if type(route).__name__ == "Mount")
    gradio = getattr(route, "app", None)
    assert isinstance(gradio, fastapi.FastAPI)
    return gradio


def routes_of(app: fastapi.FastAPI) -> Iterator[tuple[str, str]]:
    """(method, path template) of all that an app has, with what routers add to it."""
    for route in app.routes:
        for known in getattr(route, "effective_route_contexts", lambda route=route: [route])():
            path = getattr(known, "path", None) or known.starlette_route.path
            for method in known.methods or ():
                yield method, path


def filled(template: str) -> str:
    """A path of the template."""
    return re.sub(r"\{[^}]*\}", "1", template)


def test_every_route_of_gradio_is_a_part_of_the_page_or_shut(stranger: Visitor, visitor: Visitor) -> None:
    routes = set(routes_of(gradio_of(mount(fastapi.FastAPI(), "http://127.0.0.1:1"))))
    assert len(routes) > 60
    for method, template in sorted(routes):
        if method == "HEAD" or template in ("/openapi.json", *OURS):  # the service's own
            continue
        for who in (stranger, visitor):
            answer = who.http.request(method, filled(template))
            if template in PATHS and method == "GET":
                assert answer.status_code in (200, 404), (method, template)
            else:
                assert answer.status_code in (404, 405), (method, template)
                assert answer.headers["content-type"] == "application/problem+json", (method, template)


def test_no_other_page_shows_this_one_within_itself(stranger: Visitor) -> None:
    for path in ("/", "/config"):
        headers = stranger.http.get(path).headers
        assert headers["content-security-policy"] == "frame-ancestors 'none'"
        assert headers["x-frame-options"] == "DENY"


def test_no_event_of_the_page_runs_in_gradio(stranger: Visitor) -> None:
    config = stranger.http.get("/config").raise_for_status().json()
    assert [function for function in config["dependencies"] if function["backend_fn"]] == []


def test_a_route_that_a_later_gradio_adds_is_shut() -> None:
    app = fastapi.FastAPI()
    page = mount(app, "http://127.0.0.1:1")
    for path in ("/gradio_api/brand_new", "/brand_new"):
        gradio_of(page).get(path)(lambda: "open")
    with fastapi.testclient.TestClient(app) as client:
        until_there(client)
        for path in ("/gradio_api/brand_new", "/brand_new"):
            assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%2e%2e/%2e%2e/index.html",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/assets/.%00./x",
        "//gradio_api/file=/etc/passwd",
        "/gradio_api//file=/etc/passwd",
        "/./gradio_api/info",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file=http://127.0.0.1:1/x",
        "/gradio_api/file=..%2f..%2fetc%2fpasswd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/svelte/svelte.js",
        "/GRADIO_API/info",
        "/gradio_api/queue/join",
        "/gradio_api/upload",
        "/gradio_api/startup-events",
        "/login",
        "/page/static/../sign_in.py",
        "/page/static/%2e%2e/sign_in.py",
        "/page/static//etc/passwd",
    ],
)
def test_no_path_leads_out(service: Service, visitor: Visitor, path: str) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with httpx.Client(headers={"cookie": f"saft_{visitor.who}={visitor.http.cookies[f'saft_{visitor.who}']}"}) as raw:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
            request = httpx.Request(method, service.url, headers=raw.headers)
            request.url = httpx.URL(scheme="http", host=host, port=int(port), raw_path=path.encode())
            answer = raw.send(request)
            assert answer.status_code in (404, 405), (method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_takes_nothing_of_what_its_address_says(stranger: Visitor) -> None:
    plain = stranger.http.get("/config").json()
    asked = stranger.http.get(
        "/config?deep_link=../../state&page=x&file=/etc/passwd", headers={"x-gradio-server": "http://evil.example"}
    )
    assert asked.json() == plain
    odd = stranger.http.get("/", headers={"host": "evil[", "x-forwarded-host": "a b"})
    assert odd.status_code == 200
