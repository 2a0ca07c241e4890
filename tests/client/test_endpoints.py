"""Retries and errors, before servers that fail."""

from __future__ import annotations

import asyncio
import itertools
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

import saft_client
from saft_client import (
    AsyncClient,
    Busy,
    Client,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    SaftError,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from saft_client import _endpoints as endpoints
from tests.fixtures.client import Elsewhere, Faulty
from tests.fixtures.page import key_of
from tests.fixtures.rest import Site
from tests.fixtures.server import Server

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "FIRST_PAUSE_SECONDS", 0.001)


def answering(handler: Handler, **options: Any) -> Client:
    return Client("http://service", "key-1", transport=httpx.MockTransport(handler), **options)


@pytest.mark.parametrize("fault", ["busy", "lost"])
def test_what_creates_is_sent_again_and_creates_once(site: Site, client: TestClient, fault: str) -> None:
    faulty = Faulty(site.app, "/collections", **{fault: 2})
    with Server(faulty) as server, Client(server.url, key_of(client)) as saft:
        made = saft.collections.create("pictures")
        assert faulty.seen == ["POST"] * 3
        assert [found.id for found in saft.collections.list()] == [made.id]


def test_a_deletion_whose_answer_was_lost_is_done(site: Site, client: TestClient) -> None:
    with Server(site.app) as server, Client(server.url, key_of(client)) as saft:
        made = saft.collections.create("pictures")
    faulty = Faulty(site.app, f"/collections/{made.id}", lost=1)
    with Server(faulty) as server, Client(server.url, key_of(client)) as saft:
        saft.collections.delete(made)
        assert faulty.seen == ["DELETE"] * 2
        with pytest.raises(NotFound):
            saft.collections.delete(made)


def test_a_deletion_that_never_arrived_is_not_taken_for_done() -> None:
    missing = httpx.Response(404, json={"code": "not_found", "detail": "no"})
    answers: Iterator[httpx.Response | Exception] = iter([httpx.ConnectError("refused"), missing])

    def answer(_: httpx.Request) -> httpx.Response:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    with pytest.raises(NotFound):
        answering(answer).datasets.delete("ds_1")


def test_retries_are_bounded(site: Site, client: TestClient) -> None:
    faulty = Faulty(site.app, "/usage", busy=9)
    with Server(faulty) as server:
        with Client(server.url, key_of(client), retries=2) as saft, pytest.raises(Unavailable):
            saft.usage()
        assert len(faulty.seen) == 3
        with Client(server.url, key_of(client), retries=0) as saft, pytest.raises(Unavailable):
            saft.usage()
        assert len(faulty.seen) == 4


def test_asyncio_retries_as_well(site: Site, client: TestClient) -> None:
    async def main(url: str) -> list[str]:
        async with AsyncClient(url, key_of(client)) as saft:
            await saft.collections.create("pictures")
            return [found.name async for found in saft.collections.list()]

    faulty = Faulty(site.app, "/collections", lost=1)
    with Server(faulty) as server:
        assert asyncio.run(main(server.url)) == ["pictures"]


def test_who_is_told_to_come_back_much_later_is_told_so_at_once() -> None:
    seen: list[str] = []

    def busy(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(429, headers={"Retry-After": "3600"}, json={"code": "busy", "detail": "later"})

    with pytest.raises(Busy):
        answering(busy).usage()
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (httpx.ConnectError("refused"), "no_connection"),
        (httpx.ConnectTimeout("slow"), "no_connection"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.ReadError("reset"), "no_connection"),
    ],
)
def test_a_service_that_does_not_answer_is_a_failed_connection(failure: httpx.HTTPError, code: str) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(ConnectionFailed) as caught:
        answering(fail, retries=0).check_key()
    assert (caught.value.code, caught.value.status, caught.value.cause) == (code, 0, str(failure))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthorized", Unauthorized),
        (404, "not_found", NotFound),
        (409, "name_taken", Conflict),
        (409, "quota_exceeded", QuotaExceeded),
        (422, "invalid_dataset", InvalidRequest),
        (500, "internal", Unavailable),
        (418, "teapot", saft_client.ApiError),
    ],
)
def test_a_problem_document_is_read_whole(status: int, code: str, kind: type[saft_client.ApiError]) -> None:
    rejected = [{"path": "a.txt", "code": "invalid_image", "reason": "not an image"}]
    said = {"status": status, "title": "Words", "code": code, "detail": "too few images", "rejected": rejected}
    with pytest.raises(kind) as caught:
        answering(lambda _: httpx.Response(status, json=said)).usage()
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.detail, error.status, error.title) == (code, "too few images", status, "Words")
    assert ([entry.path for entry in error.rejected], error.extra) == (["a.txt"], {"rejected": rejected})


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"[]", b"", b'{"detail": ["no text"]}'])
def test_an_error_without_a_problem_document_still_says_something(body: bytes) -> None:
    with pytest.raises(Unavailable) as caught:
        answering(lambda _: httpx.Response(502, content=body)).usage()
    assert (caught.value.code, caught.value.rejected) == ("error", ())
    assert caught.value.detail == "The service answered with status 502."


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"usage": 3}'])
def test_an_answer_of_something_else_is_unexpected(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        answering(lambda _: httpx.Response(200, content=body)).usage()


@pytest.mark.parametrize("items", [None, 5, {"a": 1}, "text", [5]])
def test_a_list_that_is_none_is_unexpected(items: object) -> None:
    saft = answering(lambda _: httpx.Response(200, json={"items": items, "results": items}))
    for ask in (saft.jobs.list, lambda: saft.retrieve("col_1", "a cat"), lambda: saft.classify(b"x")):
        with pytest.raises(UnexpectedAnswer):
            list(ask())


def test_results_for_fewer_images_are_unexpected() -> None:
    with pytest.raises(UnexpectedAnswer, match="0 for 2 images"):
        answering(lambda _: httpx.Response(200, json={"results": []})).classify([b"x", b"y"])


def test_pages_that_go_round_in_circles_are_unexpected() -> None:
    pages = itertools.cycle({"items": [], "results": [], "next_cursor": cursor} for cursor in "ab")
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        assert len(seen) < 9
        return httpx.Response(200, json=next(pages))

    saft = answering(answer)
    for ask in (saft.jobs.list, lambda: saft.retrieve("col_1", "a cat", top_k=None)):
        with pytest.raises(UnexpectedAnswer, match="next_cursor"):
            list(ask())
    assert seen == ["/jobs"] * 3 + ["/retrieve"] * 3


def test_a_download_touches_no_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "x.saft.part").write_bytes(b"mine")
    (tmp_path / "y.saft.part").symlink_to(tmp_path / "x.saft.part")
    (tmp_path / "new").touch()
    saft = answering(lambda _: httpx.Response(200, content=b"delta"))
    for name in ("x.saft", "y.saft"):
        target = saft.adapters.download_delta("ad_1", tmp_path / name)
        assert (target.read_bytes(), target.is_symlink()) == (b"delta", False)
        assert target.stat().st_mode == (tmp_path / "new").stat().st_mode
    assert (tmp_path / "x.saft.part").read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 5


def test_no_redirect_is_followed_with_the_key(site: Site, client: TestClient) -> None:
    target = Faulty(site.app, "/usage")
    with (
        Server(target) as other,
        Server(Elsewhere(other.url)) as server,
        Client(server.url, key_of(client)) as saft,
        pytest.raises(SaftError, match=other.url),
    ):
        saft.usage()
    assert target.seen == []


def test_the_key_is_neither_shown_nor_logged(site: Site, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    key = key_of(client)
    with caplog.at_level(logging.DEBUG), Server(site.app) as server, Client(server.url, key) as saft:
        saft.usage()
        made = saft.keys.create("another")
        with pytest.raises(NotFound) as caught:
            saft.jobs.get("job_1")
    with pytest.raises(ConnectionFailed) as away:
        Client("http://127.0.0.1:1", key, retries=0).usage()
    told = "".join("".join(traceback.format_exception(error.value)) for error in (caught, away))
    shown = caplog.text + told + repr(saft) + repr(saft.datasets) + repr(made)
    assert "/usage" in caplog.text
    assert key not in shown
    assert made.api_key not in shown


@pytest.mark.parametrize(
    ("url", "key", "named"),
    [
        (None, "k", "SAFT_URL"),
        ("http://x", None, "SAFT_API_KEY"),
        ("localhost:8000", "k", "url"),
        ("http://me:secret-password@x", "k", "url"),
        ("http://x", "secret\nkey", "api_key"),
        ("http://x", "secret\ud800key", "api_key"),
    ],
)
def test_an_address_or_a_key_that_cannot_be_is_refused_before_anything_is_sent(
    no_settings: pytest.MonkeyPatch, url: str | None, key: str | None, named: str
) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ConfigurationError, match=named) as caught:
            kind(url, key)
        assert "secret" not in str(caught.value)


def test_address_and_key_come_from_the_environment(no_settings: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"items": []})

    no_settings.setenv("SAFT_URL", "http://service/prefix/")
    no_settings.setenv("SAFT_API_KEY", " key-1\n")
    Client(transport=httpx.MockTransport(keep)).check_key()
    assert str(seen[0].url) == "http://service/prefix/datasets?limit=1"
    assert seen[0].headers["authorization"] == "Bearer key-1"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_what_is_no_id_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="neither an id"):
        answering(lambda _: httpx.Response(204)).datasets.delete(name)


def test_an_id_stays_one_part_of_the_path() -> None:
    seen: list[bytes] = []

    def keep(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(204)

    answering(keep).adapters.delete("../a/b?c#d@3")
    assert seen == [b"/adapters/..%2Fa%2Fb%3Fc%23d@3"]
