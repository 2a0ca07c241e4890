from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.fixtures.page import until_there
from tests.fixtures.rest import Answer, Site, ok, problem
from ui.allowlist import routes
from ui.app import mount
from ui.loading import Page


class Slow:
    """A page that takes until `gate` is open to load, or fails to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.then = threading.Event()
        self.error: BaseException | None = None
        self.runs = False

    def build(self) -> Starlette:
        assert self.gate.wait(60)
        if self.error:
            raise self.error
        parts = [Route(path, lambda _: PlainTextResponse("the page")) for path in ("/", "/config")]
        return Starlette(routes=parts, lifespan=self.running)

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        self.runs = True
        yield
        self.runs = False


@pytest.fixture
def slow() -> Iterator[Slow]:
    """Its thread ends with the test."""
    made = Slow()
    yield made
    made.gate.set()


def app_with(slow: Slow) -> Starlette:
    """Something that answers, and the page behind its guard."""
    app = Starlette(routes=[Route("/healthz", lambda _: PlainTextResponse("ok"))])
    page = Page(slow.build, slow.then.set)
    page.live_in(app)
    app.router.routes.extend(routes(page))
    return app


def starting(answer: Answer) -> None:
    problem(answer, 503, "starting")
    assert int(answer.headers["retry-after"]) > 0


def test_all_else_answers_while_the_page_is_loaded_and_then_it_is_there(slow: Slow) -> None:
    with TestClient(app_with(slow)) as client:
        assert client.get("/healthz").text == "ok"
        starting(client.get("/config"))
        shown = client.get("/")
        assert (shown.status_code, shown.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert 'http-equiv="refresh"' in shown.text
        assert int(shown.headers["retry-after"]) > 0
        slow.gate.set()
        until_there(client)
        assert client.get("/config").text == "the page"
        assert slow.runs
        assert slow.then.wait(60)
    assert not slow.runs


@pytest.mark.parametrize("error", [ImportError("no gradio"), StopIteration("no gradio"), SystemExit("no gradio")])
def test_a_page_that_cannot_be_loaded_says_so_and_all_else_goes_on(
    error: BaseException, slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    slow.error = error
    slow.gate.set()
    with TestClient(app_with(slow)) as client:
        assert slow.then.wait(60)
        problem(client.get("/config"), 500, "page_failed")
        shown = client.get("/")
        assert (shown.status_code, "refresh" in shown.text) == (500, False)
        assert client.get("/healthz").text == "ok"
    assert "no gradio" in caplog.text


def test_an_end_does_not_wait_for_a_page_that_is_loading(slow: Slow) -> None:
    with TestClient(app_with(slow)) as client:
        assert client.get("/healthz").text == "ok"
    assert not slow.gate.is_set()
    assert not slow.then.is_set()


def test_signing_in_and_the_own_files_need_no_page(site: Site) -> None:
    fresh = Site(replace(site.services, metrics=type(site.services.metrics)()))
    mount(fresh.app, "http://site", transport=httpx.ASGITransport(fresh.app))
    browser = fresh.client(None)  # no start of the app, so no page
    browser.headers["origin"] = str(browser.base_url)
    key = fresh.new_tenant().headers["authorization"].removeprefix("Bearer ")
    starting(browser.get("/config"))
    problem(browser.get("/static/..%2fx"), 404, "not_found")
    problem(browser.get("/gradio_api/info"), 404, "not_found")
    assert browser.get("/page/static/app.js").status_code == 200
    who = ok(browser.post("/page/session", json={"key": key}))["who"]
    assert ok(browser.get(f"/page/{who}/api/datasets"))["items"] == []
