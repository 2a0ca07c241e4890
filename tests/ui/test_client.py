from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from io import BytesIO
from typing import Any, BinaryIO, TypeVar

import httpx
import pytest

from ui import client as client_module
from ui.client import ApiClient, ApiError
from ui.records import Job, Order

Result = TypeVar("Result")
Handler = Callable[[httpx.Request], httpx.Response]

DATASET = {
    "id": "ds_1",
    "name": "icons",
    "classes": [{"name": "cat", "count": 2}],
    "image_count": 2,
    "rejected": [],
    "created_at": "2026-01-01T00:00:00Z",
}
JOB: dict[str, Any] = {
    "id": "job_1",
    "name": "icons",
    "dataset_id": "ds_1",
    "status": "running",
    "phase": "training",
    "progress": 0.5,
    "step": 3,
    "steps": 6,
    "loss": 1.5,
    "losses": [[1, 2.0], [3, 1.5]],
    "eta_seconds": 4.0,
    "metrics": None,
    "adapter_id": None,
    "error": None,
    "cancel_requested": False,
}


def ask(handler: Handler, question: Callable[[ApiClient], Coroutine[Any, Any, Result]]) -> Result:
    async def run() -> Result:
        async with ApiClient("http://service", "key-1", transport=httpx.MockTransport(handler)) as client:
            return await question(client)

    return asyncio.run(run())


async def watched(client: ApiClient) -> list[Job]:
    return [job async for job in client.watch("job_1")]


def event(**changes: Any) -> str:
    return f"event: job\r\ndata: {json.dumps(JOB | changes)}\r\n\r\n"


def stream(text: str) -> httpx.Response:
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def test_a_problem_document_is_read_whole() -> None:
    rejected = [{"path": "a.txt", "code": "invalid_image", "reason": "not an image"}]
    problem = {"status": 422, "code": "invalid_dataset", "detail": "too few images", "rejected": rejected}
    with pytest.raises(ApiError) as caught:
        ask(lambda _: httpx.Response(422, json=problem), lambda client: client.datasets())
    assert (caught.value.code, caught.value.detail, caught.value.status) == ("invalid_dataset", "too few images", 422)
    assert [entry.path for entry in caught.value.rejected] == ["a.txt"]


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"[]", b"", b'{"detail": ["no text"]}'])
def test_an_error_without_a_problem_document_still_says_something(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        ask(lambda _: httpx.Response(502, content=body), lambda client: client.datasets())
    assert caught.value.code == "error"
    assert caught.value.detail == "The service answered with status 502."
    assert caught.value.rejected == ()


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (httpx.ConnectError("refused"), "no_connection"),
        (httpx.ConnectTimeout("slow"), "no_connection"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.ReadError("reset"), "no_connection"),
    ],
)
def test_a_service_that_does_not_answer_is_an_api_error(failure: httpx.HTTPError, code: str) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(ApiError) as caught:
        ask(fail, lambda client: client.check_key())
    assert (caught.value.code, caught.value.status) == (code, 0)


def test_lists_follow_the_cursor_to_the_end() -> None:
    def pages(request: httpx.Request) -> httpx.Response:
        at = int(request.url.params.get("cursor", "0"))
        following = str(at + 1) if at < 2 else None
        return httpx.Response(200, json={"items": [DATASET | {"id": f"ds_{at}"}], "next_cursor": following})

    assert [dataset.id for dataset in ask(pages, lambda client: client.datasets())] == ["ds_0", "ds_1", "ds_2"]


def test_a_list_stops_where_the_page_shows_no_more() -> None:
    image = {"position": 0, "label": "cat", "path": "cat/1.png"}

    def endless(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [image] * 4, "next_cursor": "on"})

    assert len(ask(endless, lambda client: client.dataset_images("ds_1", 10))) == 10


@pytest.mark.parametrize("template", [None, "an icon of {}", ["an icon of {}", "the {}"]])
def test_a_question_has_the_templates_of_the_adapter(template: str | list[str] | None) -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        result = {"predictions": [{"label": "cat", "probability": 1.0}], "unknown": None}
        return httpx.Response(200, json={"adapter": "base", "results": [result], "unknown_threshold": None})

    assert ask(answer, lambda client: client.classify("base", b"image", ["cat"], template)).best == "cat"
    assert asked[0].get("template") == template


class Zip:
    """A file to send on."""

    filename = "icons.zip"

    def open(self) -> BinaryIO:
        return BytesIO(b"zip bytes")


def test_the_key_goes_along_and_an_upload_is_a_multipart_form() -> None:
    seen: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json=DATASET)

    dataset = ask(keep, lambda client: client.create_dataset("my icons", Zip()))
    assert dataset.classes[0].name == "cat"
    assert seen[0].headers["authorization"] == "Bearer key-1"
    body = seen[0].content
    assert b'name="name"\r\n\r\nmy icons' in body
    assert b'name="archive"; filename="icons.zip"' in body
    assert b"zip bytes" in body


def test_an_order_sends_only_what_was_set() -> None:
    bodies: list[dict[str, Any]] = []

    def keep(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(202, json=JOB)

    ask(keep, lambda client: client.start(Order("icons", "ds_1", None, {"epochs": 3})))
    assert bodies == [{"name": "icons", "dataset_id": "ds_1", "config": {"epochs": 3}}]


def test_watching_reads_events_until_the_job_has_ended() -> None:
    text = ": ping\r\n\r\n" + event(step=1) + event(step=2) + event(status="succeeded") + event(step=99)
    jobs = ask(lambda _: stream(text), watched)
    assert [(job.step, job.final) for job in jobs] == [(1, False), (2, False), (3, True)]


def test_an_event_may_span_several_data_lines() -> None:
    lines = json.dumps(JOB | {"status": "failed"}, indent=1).splitlines()
    text = "".join(f"data: {line}\n" for line in lines) + "\n"
    assert [job.status for job in ask(lambda _: stream(text), watched)] == ["failed"]


@pytest.mark.parametrize("events", [httpx.Response(502), stream(event(step=1)), httpx.ReadError("reset")])
def test_watching_goes_on_by_polling_where_events_break_off(
    events: httpx.Response | httpx.ReadError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "POLL_SECONDS", 0)
    states = iter([JOB | {"step": 4}, JOB | {"step": 5}, JOB | {"step": 6, "status": "succeeded"}])

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, json=next(states))
        if isinstance(events, httpx.ReadError):
            raise events
        return events

    jobs = ask(answer, watched)
    assert [job.step for job in jobs][-3:] == [4, 5, 6]
    assert jobs[-1].final


def test_watching_a_job_that_is_not_there_is_an_error() -> None:
    problem = {"status": 404, "code": "not_found", "detail": "there is no such thing"}
    with pytest.raises(ApiError) as caught:
        ask(lambda _: httpx.Response(404, json=problem), watched)
    assert caught.value.code == "not_found"
