"""Sending requests: retries where they are safe, and errors as exceptions; the base class of the API's groups."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from saft_client._flow import Answer, D, Flow, Items, Next, Open, Resource, Sleep, Yield
from saft_client._reading import Record, list_of, next_cursor, object_of
from saft_client._requests import Request, get, given
from saft_client.errors import ApiError, ConnectionFailed, UnexpectedAnswer, kind_of, text_of

RETRIED = frozenset({429, 503})
"""Statuses of requests that had no effect, so that any of them may be retried."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
"""A longer `Retry-After` raises at once."""
PAGE_ITEMS = 100
ANSWER_BYTES = 256 << 20
"""Decompressed, of a body that is kept in memory: eight times the default limit of an image."""
ENCODINGS = frozenset({"identity", "gzip"})
"""Content encodings: one layer of gzip makes at most 66 MB of a chunk of 64 KB; two, or brotli, make any size of it."""

R = TypeVar("R", bound=Record)


class Endpoints(Resource[D]):
    """The base class of groups of methods: sends requests and parses answers."""

    def _answer(self, request: Request) -> Flow[Answer]:
        """The answer with its body. Raises ApiError and ConnectionFailed."""
        return send(request, self._driver.retries)

    def _json(self, request: Request) -> Flow[dict[str, Any]]:
        """The JSON object of the answer."""
        answer = yield from self._answer(request)
        return object_of(answer.body, answer.response.status_code)

    def _record(self, kind: type[R], request: Request) -> Flow[R]:
        """The answer as a record of this kind."""
        return kind.read((yield from self._json(request)))

    def _nothing(self, request: Request) -> Flow[None]:
        """Send a request whose answer has no body."""
        yield from self._answer(request)

    def _bytes(self, path: str, **params: Any) -> Flow[bytes]:
        """The body of a GET, in memory."""
        return (yield from self._answer(get(path, **params))).body

    def _pages(self, kind: type[R], path: str, **params: Any) -> Items[R]:
        """All items of a paginated list, each page fetched when it is needed."""
        params = {"limit": PAGE_ITEMS} | given(params)
        seen: set[str] = set()
        while True:
            page = yield from self._json(get(path, **params))
            for item in list_of(page, "items"):
                yield Yield(kind.read(item))
            if (cursor := next_cursor(page, seen)) is None:
                return
            params["cursor"] = cursor

    def _saved(self, request: Request, target: Path) -> Flow[Path]:
        """The body written to `target`, atomically."""
        answer = yield from send(request, self._driver.retries, whole=False)
        partial = target.with_name(f"{uuid4().hex}.part")
        try:
            with partial.open("xb") as file:  # a new file: never one that is there, nor where a link leads
                while (chunk := (yield Next(answer))) is not None:
                    file.write(chunk)
            partial.replace(target)
        except httpx.HTTPError as error:
            raise connection_error(error) from error
        finally:
            partial.unlink(missing_ok=True)
        return target


def send(request: Request, retries: int, *, whole: bool = True) -> Flow[Answer]:
    """The answer, after up to `retries` retries. Raises ApiError and ConnectionFailed.

    whole: whether to read the body; that of an error always is.
    """
    lost = False
    for attempt in itertools.count():
        last = attempt >= retries
        try:
            answer = yield from _opened(request, whole)
        except httpx.HTTPError as error:
            if last:
                raise connection_error(error) from error
            lost, pause = lost or not _is_unsent(error), _pause(attempt)
        else:
            response = answer.response
            if response.is_success or (lost and _is_gone(request, response)):
                return answer
            pause = _pause(attempt, response)
            if last or response.status_code not in RETRIED or pause > LONGEST_PAUSE_SECONDS:
                raise problem(answer)
        yield Sleep(pause)
    raise AssertionError  # for the type checker: a count does not end


def _opened(request: Request, whole: bool) -> Flow[Answer]:
    """One attempt: the answer, with its body if `whole` or an error. Raises httpx.HTTPError and UnexpectedAnswer."""
    answer: Answer = yield Open(request)
    response = answer.response
    if response.headers.get("content-encoding", "identity").lower() not in ENCODINGS:
        raise UnexpectedAnswer("The answer is packed in a way that was not asked for.", response.status_code)
    if response.is_success and not whole:
        return answer
    body = bytearray()
    while (chunk := (yield Next(answer))) is not None:
        body += chunk
        if len(body) > ANSWER_BYTES:
            raise UnexpectedAnswer(f"The answer is larger than {ANSWER_BYTES >> 20} MiB.", response.status_code)
    return replace(answer, body=bytes(body))


def _is_unsent(error: httpx.HTTPError) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def _is_gone(request: Request, response: httpx.Response) -> bool:
    """Whether a 404 is due to the same DELETE, whose answer was lost before."""
    return request.method == "DELETE" and response.status_code == httpx.codes.NOT_FOUND


def _pause(attempt: int, response: httpx.Response | None = None) -> float:
    """Seconds until the next attempt: `Retry-After`, or exponential backoff, with jitter."""
    asked_for = response.headers.get("retry-after", "") if response is not None else ""
    seconds = float(asked_for) if asked_for.isdecimal() else FIRST_PAUSE_SECONDS * 2**attempt
    return seconds + random.uniform(0, FIRST_PAUSE_SECONDS)  # noqa: S311 (no secret)


def connection_error(error: httpx.HTTPError) -> ConnectionFailed:
    """The exception for an answer that did not come, or only in part."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed("no_connection", "The service does not answer.", str(error))
    if isinstance(error, httpx.TimeoutException):
        return ConnectionFailed("timeout", "The service took too long to answer.", str(error))
    return ConnectionFailed("no_connection", "The connection to the service broke off.", str(error))


def problem(answer: Answer) -> ApiError:
    """The exception for an error response, also for one without a problem document, as a proxy's may be."""
    response = answer.response
    try:
        members: Mapping[str, Any] = object_of(answer.body)
    except UnexpectedAnswer:
        members = {}
    known = {"type", "title", "status", "code", "detail", "instance"}
    extra = {name: value for name, value in members.items() if name not in known}
    code = text_of(members, "code") or "error"
    detail = text_of(members, "detail") or _without_words(response)
    title = text_of(members, "title") or response.reason_phrase
    status = response.status_code
    return kind_of(code, status)(code, detail, status, extra, title)


def _without_words(response: httpx.Response) -> str:
    location = response.headers.get("location")
    if response.is_redirect and location:
        return f"This address leads to {location}: give the client the address of the service itself."
    return f"The service answered with status {response.status_code}."
