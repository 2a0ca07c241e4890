"""Jobs: look, watch, wait, cancel."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import httpx

from saft_client._asking import Asking, asked, no_answer
from saft_client._flow import D, Flow, Give, Items, Next, Sleep, call, each, listing
from saft_client._progress import Bar
from saft_client._reading import json_of, object_of
from saft_client._requests import Request, at, get, id_of, post
from saft_client.errors import ApiError, ConnectionFailed, JobCancelled, JobFailed, UnexpectedAnswer
from saft_client.records import Job

SILENCE_SECONDS = 45.0
"""The service sends a sign of life on a quiet event stream well within this time."""
LOOK_SECONDS = 1.5
RECONNECT_SECONDS = 300.0
EVENT_BYTES = 16 << 20
"""Of an event, which has the whole curve of the job in it: half a million steps."""
_FOR_A_WHILE = frozenset({408, 429})


class Jobs(Asking[D]):
    """The tenant's fine-tunes."""

    @call
    def get(self, job: Job | str) -> Flow[Job]:
        """The job as it stands."""
        return self._record(Job, get(at("jobs", id_of(job))))

    @listing
    def list(self) -> Items[Job]:
        """All jobs, newest first, without their curves."""
        return self._pages(Job, "/jobs")

    @call
    def cancel(self, job: Job | str) -> Flow[Job]:
        """Stop a job: one that waits at once, one that runs within a step.

        Raises Conflict for one that has ended otherwise.
        """
        return self._record(Job, post(at("jobs", id_of(job), "cancel")))

    @listing
    def events(self, job: Job | str, *, reconnect_seconds: float = RECONNECT_SECONDS) -> Items[Job]:
        """The job as it stands and each time it changes, until it has ended.

        By server-sent events, and by looking where none get through. A service that is away, as in a restart, is waited
        for as long as reconnect_seconds says; then ConnectionFailed or Unavailable is raised.
        """
        return _watched(id_of(job), reconnect_seconds)

    @call
    def wait(
        self, job: Job | str, *, progress: bool = False, reconnect_seconds: float = RECONNECT_SECONDS
    ) -> Flow[Job]:
        """Wait for the end of a job. Raises JobFailed, or JobCancelled, unless it succeeds.

        progress: draw a bar on stderr, if that is a terminal. reconnect_seconds: as in `events`.
        """
        last: list[Job] = []
        with Bar(progress) as bar:

            def use(state: Job) -> None:
                bar.show(state)
                last[:] = [state]

            yield from each(_watched(id_of(job), reconnect_seconds), use)
        (ended,) = last
        if ended.status != "succeeded":
            raise (JobCancelled if ended.status == "cancelled" else JobFailed)(ended)
        return ended


class _Seen:
    """The last state of a job, and when it came."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._heard = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self.job is not None and self.job.final

    def news(self, job: Job) -> Iterator[Give[Job]]:
        """The state, if it differs from the one before."""
        self._heard = time.monotonic()
        if job != self.job:
            self.job = job
            yield Give(job)

    def bear(self, error: ApiError | ConnectionFailed, seconds: float) -> None:
        """Let pass what may pass by itself; raise it where it has not for so long."""
        passes = isinstance(error, ConnectionFailed) or error.status >= 500 or error.status in _FOR_A_WHILE
        if not passes or time.monotonic() - self._heard > seconds:
            raise error


def _watched(job_id: str, reconnect_seconds: float) -> Items[Job]:
    """Each state that differs from the one before. A round is a stream, and when it has ended a look."""
    seen = _Seen()
    while True:
        for states in (_streamed, _looked_at):
            try:
                yield from states(job_id, seen)
            except (ApiError, ConnectionFailed) as error:
                seen.bear(error, reconnect_seconds)
            if seen.ended:
                return
        yield Sleep(LOOK_SECONDS)


def _looked_at(job_id: str, seen: _Seen) -> Items[Job]:
    answer = yield from asked(get(at("jobs", job_id)), retries=0)
    yield from seen.news(Job.read(object_of(answer.body)))


def _streamed(job_id: str, seen: _Seen) -> Items[Job]:
    headers = {"Accept": "text/event-stream"}
    request = Request("GET", at("jobs", job_id, "events"), headers=headers, answer_seconds=SILENCE_SECONDS)
    answer = yield from asked(request, retries=0, whole=False)
    events = Events()
    try:
        while (chunk := (yield Next(answer))) is not None:
            for data in events.feed(chunk):
                yield from seen.news(Job.read(data))
                if seen.ended:
                    return
    except httpx.HTTPError as error:
        raise no_answer(error) from error


class Events:
    """Server-sent events of JSON as their bytes come in; comments and other fields are left aside."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """The data of each event that ends within the chunk. Raises UnexpectedAnswer."""
        for piece in io.BytesIO(chunk):
            self._line += piece
            if len(self._line) + len(self._data) > EVENT_BYTES:
                raise UnexpectedAnswer(f"An event is larger than {EVENT_BYTES >> 20} MiB.")
            if piece.endswith(b"\n"):
                line, self._line = self._line, bytearray()
                yield from self._ended(line.rstrip(b"\r\n"))

    def _ended(self, line: bytearray) -> Iterator[Any]:
        """The data of the event, if an empty line ends it."""
        if line.startswith(b"data:"):
            self._data += line.removeprefix(b"data:").removeprefix(b" ") + b"\n"
        elif not line and self._data:
            data, self._data = self._data, bytearray()
            yield json_of(data)
