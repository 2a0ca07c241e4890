"""Jobs: get, list, follow their events, wait, cancel."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from saft_client._endpoints import Endpoints, connection_error, send
from saft_client._flow import D, Flow, Items, Next, Sleep, Yield, call, each, listing
from saft_client._progress import ProgressBar
from saft_client._reading import json_of, object_of
from saft_client._requests import Request, at, get, id_of, post
from saft_client.errors import ApiError, ConnectionFailed, JobCancelled, JobFailed
from saft_client.records import Job

SILENCE_SECONDS = 45.0
"""Read timeout of the event stream, on which the service sends a comment more often."""
POLL_SECONDS = 1.5
RECONNECT_SECONDS = 300.0
_FOR_A_WHILE = frozenset({408, 429})


class Jobs(Endpoints[D]):
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

        By server-sent events, and by polling where a proxy keeps them back. A service that is down, as in a restart, is
        waited for during reconnect_seconds; then ConnectionFailed or Unavailable is raised.
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
        with ProgressBar(progress) as bar:

            def use(state: Job) -> None:
                bar.show(state)
                last[:] = [state]

            yield from each(_watched(id_of(job), reconnect_seconds), use)
        (ended,) = last
        if ended.status != "succeeded":
            raise (JobCancelled if ended.status == "cancelled" else JobFailed)(ended)
        return ended


class _Seen:
    """The last state of a job, and when the service was last heard."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._heard = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.job is not None and self.job.final

    def changed(self, job: Job) -> Iterator[Yield[Job]]:
        """The state, if it differs from the one before."""
        self._heard = time.monotonic()
        if job != self.job:
            self.job = job
            yield Yield(job)

    def tolerate(self, error: ApiError | ConnectionFailed, seconds: float) -> None:
        """Raise the error, unless it may be temporary and the service was heard within so many seconds."""
        passes = isinstance(error, ConnectionFailed) or error.status >= 500 or error.status in _FOR_A_WHILE
        if not passes or time.monotonic() - self._heard > seconds:
            raise error


def _watched(job_id: str, reconnect_seconds: float) -> Items[Job]:
    """Each state that differs from the one before: from the event stream, and whenever that ends from one GET."""
    seen = _Seen()
    while True:
        for states in (_streamed, _polled):
            try:
                yield from states(job_id, seen)
            except (ApiError, ConnectionFailed) as error:
                seen.tolerate(error, reconnect_seconds)
            if seen.ended:
                return
        yield Sleep(POLL_SECONDS)


def _polled(job_id: str, seen: _Seen) -> Items[Job]:
    answer = yield from send(get(at("jobs", job_id)), retries=0)
    yield from seen.changed(Job.read(object_of(answer.body)))


def _streamed(job_id: str, seen: _Seen) -> Items[Job]:
    request = Request("GET", at("jobs", job_id, "events"), events=True, answer_seconds=SILENCE_SECONDS)
    answer = yield from send(request, retries=0, whole=False)
    try:
        while not seen.ended and (event := (yield Next(answer))) is not None:
            if event.data:
                yield from seen.changed(Job.read(json_of(event.data)))
    except httpx.HTTPError as error:
        raise connection_error(error) from error
