from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from saft_client import (
    ApiError,
    AsyncClient,
    Client,
    Conflict,
    ConnectionFailed,
    Job,
    JobCancelled,
    JobFailed,
    NotFound,
    UnexpectedAnswer,
)
from saft_client import _events as event_module
from saft_client import _jobs as module
from saft_client._progress import ProgressBar
from saft_core.errors import TrainingDiverged
from saft_core.store import leases
from tests.client.test_progress import Terminal
from tests.client.test_reading import JOB
from tests.fixtures.client import Faulty
from tests.fixtures.page import key_of
from tests.fixtures.rest import Site, new_dataset
from tests.fixtures.server import Server
from tests.fixtures.service import free_port

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)


def watched(handler: Handler) -> list[Job]:
    """All states, as both clients tell them."""

    async def main() -> list[Job]:
        async with AsyncClient("http://service", "key", transport=httpx.MockTransport(handler)) as saft:
            return [job async for job in saft.jobs.events("job_1")]

    found = list(Client("http://service", "key", transport=httpx.MockTransport(handler)).jobs.events("job_1"))
    assert asyncio.run(main()) == found
    return found


def event(**changes: Any) -> str:
    return f"event: job\r\ndata: {json.dumps(JOB | changes)}\r\n\r\n"


def stream(text: str) -> httpx.Response:
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def test_events_are_read_until_the_job_has_ended() -> None:
    text = ": ping\r\n\r\n" + event(step=1) + event(step=2) * 2 + event(status="succeeded") + event(step=99)
    assert [(job.step, job.final) for job in watched(lambda _: stream(text))] == [(1, False), (2, False), (3, True)]


def test_an_event_may_span_several_data_lines() -> None:
    lines = json.dumps(JOB | {"status": "failed"}, indent=1).splitlines()
    text = "".join(f"data: {line}\n" for line in lines) + "\n"
    assert [job.status for job in watched(lambda _: stream(text))] == ["failed"]


class Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in chunks of this size."""

    def __init__(self, text: bytes, size: int) -> None:
        self.chunks = [text[start : start + size] for start in range(0, len(text), size)]

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_events_come_in_chunks_of_any_size(size: int) -> None:
    text = (": ping\n\n" + event(step=1) + "event: other\n\n" + event(step=2) + event(status="succeeded")).encode()
    headers = {"content-type": "text/event-stream"}
    found = watched(lambda _: httpx.Response(200, headers=headers, stream=Chunks(text, size)))
    assert [(job.step, job.final) for job in found] == [(1, False), (2, False), (JOB["step"], True)]


def test_the_size_of_a_stream_is_not_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what came before an event nothing counts."""
    monkeypatch.setattr(event_module, "EVENT_BYTES", 2000)
    text = ("".join(event(step=step) for step in range(100)) + event(status="succeeded")).encode()
    headers = {"content-type": "text/event-stream"}
    found = watched(lambda _: httpx.Response(200, headers=headers, stream=Chunks(text, 100)))
    assert len(text) > 20_000
    assert len(found) == 101


@pytest.mark.parametrize("text", ["data: " + "x" * 2000, "data:\n" * 2000, ":" * 2000])
def test_an_event_without_end_is_unexpected(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_module, "EVENT_BYTES", 1000)
    with pytest.raises(UnexpectedAnswer, match="event is larger"):
        watched(lambda _: stream(text))


def test_an_event_may_have_a_long_curve_in_it() -> None:
    losses = [[step, 0.123456789] for step in range(200_000)]
    (job,) = watched(lambda _: stream(event(status="succeeded", losses=losses)))
    assert len(job.losses) == 200_000


@pytest.mark.parametrize("events", [502, 200, httpx.ReadError("reset")])
def test_where_events_break_off_the_job_is_looked_at(events: int | httpx.ReadError) -> None:
    states: Iterator[dict[str, Any]] = iter(())

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal states
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, json=next(states))
        if isinstance(events, httpx.ReadError):
            raise events
        return httpx.Response(events, text=event(step=1))

    def anew() -> Iterator[dict[str, Any]]:
        for _ in range(2):  # for either client
            yield from (JOB | {"step": 4}, JOB | {"step": 5}, JOB | {"step": 6, "status": "succeeded"})

    states = anew()
    steps = [job.step for job in watched(answer)]
    assert [step for step in steps if step > 1] == [4, 5, 6]


def test_a_job_that_is_not_there_is_an_error() -> None:
    said = {"status": 404, "code": "not_found", "detail": "there is no such thing"}
    with pytest.raises(NotFound):
        watched(lambda _: httpx.Response(404, json=said))


def test_a_service_that_stays_away_is_given_up() -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    saft = Client("http://service", "key", transport=httpx.MockTransport(away))
    with pytest.raises(ConnectionFailed):
        saft.jobs.wait("job_1", reconnect_seconds=0.05)
    tired = Client("http://service", "key", transport=httpx.MockTransport(lambda _: httpx.Response(503)))
    with pytest.raises(ApiError):
        tired.jobs.wait("job_1", reconnect_seconds=0)


def queued(client: TestClient, name: str = "pets") -> str:
    """A job that waits for a worker."""
    dataset = new_dataset(client)
    return str(client.post("/adapters", json={"name": name, "dataset_id": dataset["id"]}).json()["id"])


def test_a_server_that_restarts_is_waited_for(site: Site, client: TestClient) -> None:
    job_id, port = queued(client), free_port()
    server = Server(site.app, port=port).__enter__()
    with Client(f"http://127.0.0.1:{port}", key_of(client)) as saft:
        states = saft.jobs.events(job_id)
        assert next(states).status == "queued"
        server.__exit__(None, None, None)
        site.work(job_id)
        with Server(site.app, port=port):
            assert [job.status for job in states] == ["succeeded"]


def test_a_stream_that_breaks_off_is_opened_again(site: Site, client: TestClient) -> None:
    job_id = queued(client)
    site.work(job_id)
    faulty = Faulty(site.app, f"/jobs/{job_id}/events", lost=1)
    with Server(faulty) as server, Client(server.url, key_of(client)) as saft:
        assert saft.jobs.wait(job_id).status == "succeeded"


def test_a_job_that_fails_or_is_cancelled_raises(site: Site, client: TestClient, saft: Client) -> None:
    failed, cancelled = queued(client), queued(client, "others")
    with site.services.sessions.begin() as session:
        assert leases.claim(session, failed, "worker", 60, 3)
        leases.fail(session, failed, "worker", TrainingDiverged())
    with pytest.raises(JobFailed, match="Lower the learning rate") as caught:
        saft.jobs.wait(failed)
    assert (caught.value.code, caught.value.job.status) == ("training_diverged", "failed")
    assert saft.jobs.cancel(cancelled).status == "cancelled"
    with pytest.raises(JobCancelled):
        saft.jobs.wait(cancelled)
    with pytest.raises(Conflict):
        saft.jobs.cancel(failed)
    assert {job.id for job in saft.jobs.list()} == {failed, cancelled}


def test_waiting_draws_a_bar_where_it_is_asked_for(
    site: Site, client: TestClient, saft: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, terminal = queued(client), Terminal()
    site.work(job_id)
    monkeypatch.setattr(module, "ProgressBar", lambda shown: ProgressBar(shown, terminal))
    saft.jobs.wait(job_id)
    assert terminal.getvalue() == ""
    saft.jobs.wait(job_id, progress=True)
    assert "pets: succeeded" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
