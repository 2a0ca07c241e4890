"""Asking the service: again where that is safe, and errors as exceptions."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from saft_client._flow import Answer, D, Flow, Give, Items, Next, Open, Resource, Sleep
from saft_client._reading import Record, list_of, next_cursor, object_of
from saft_client._requests import Request, get, given
from saft_client.errors import ApiError, ConnectionFailed, UnexpectedAnswer, kind_of, text_of

AGAIN = frozenset({429, 503})
"""Statuses of what was not done: it may be sent again, whatever it is."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
"""Who is told to come back later than that is told so at once."""
PAGE_ITEMS = 100
ANSWER_BYTES = 256 << 20
"""Unpacked, of an answer that is kept in memory: eight times the largest image that SAFT takes if nothing is set."""
ENCODINGS = frozenset({"identity", "gzip"})
"""One layer of gzip makes at most 66 MB of a chunk of 64 KB; two, or brotli, make any size of it."""

R = TypeVar("R", bound=Record)


class Asking(Resource[D]):
    """What the parts of the API have in common."""

    def _answer(self, request: Request) -> Flow[Answer]:
        """The answer, if it is no error. Raises ApiError and ConnectionFailed."""
        return asked(request, self._driver.retries)

    def _json(self, request: Request) -> Flow[dict[str, Any]]:
        """The object that is answered."""
        answer = yield from self._answer(request)
        return object_of(answer.body, answer.response.status_code)

    def _record(self, kind: type[R], request: Request) -> Flow[R]:
        """What is answered, read."""
        return kind.read((yield from self._json(request)))

    def _nothing(self, request: Request) -> Flow[None]:
        """Done, without a word."""
        yield from self._answer(request)

    def _bytes(self, path: str, **params: Any) -> Flow[bytes]:
        """A file of the service, in memory."""
        return (yield from self._answer(get(path, **params))).body

    def _pages(self, kind: type[R], path: str, **params: Any) -> Items[R]:
        """All items of a list, page by page as they are used."""
        params = {"limit": PAGE_ITEMS} | given(params)
        seen: set[str] = set()
        while True:
            page = yield from self._json(get(path, **params))
            for item in list_of(page, "items"):
                yield Give(kind.read(item))
            if (cursor := next_cursor(page, seen)) is None:
                return
            params["cursor"] = cursor

    def _saved(self, request: Request, target: Path) -> Flow[Path]:
        """The body, written to `target`, which is there whole or not at all."""
        answer = yield from asked(request, self._driver.retries, whole=False)
        partial = target.with_name(f"{uuid4().hex}.part")
        try:
            with partial.open("xb") as file:  # a new file: never one that is there, nor where a link leads
                while (chunk := (yield Next(answer))) is not None:
                    file.write(chunk)
            partial.replace(target)
        except httpx.HTTPError as error:
            raise no_answer(error) from error
        finally:
            partial.unlink(missing_ok=True)
        return target


def asked(request: Request, retries: int, *, whole: bool = True) -> Flow[Answer]:
    """The answer, if it is no error, after up to so many retries. Raises ApiError and ConnectionFailed.

    whole: with its body; an error has it always.
    """
    lost = False
    for attempt in itertools.count():
        last = attempt >= retries
        try:
            answer = yield from _opened(request, whole)
        except httpx.HTTPError as error:
            if last:
                raise no_answer(error) from error
            lost, pause = lost or not _is_unsent(error), _pause(attempt)
        else:
            response = answer.response
            if response.is_success or (lost and _is_gone(request, response)):
                return answer
            pause = _pause(attempt, response)
            if last or response.status_code not in AGAIN or pause > LONGEST_PAUSE_SECONDS:
                raise problem(answer)
        yield Sleep(pause)
    raise AssertionError  # for the type checker: a count does not end


def _opened(request: Request, whole: bool) -> Flow[Answer]:
    """An answer, and its body if it is an error or wanted whole. Raises httpx.HTTPError and UnexpectedAnswer."""
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
    """Whether the deletion whose answer was lost is why there is nothing now."""
    return request.method == "DELETE" and response.status_code == httpx.codes.NOT_FOUND


def _pause(attempt: int, response: httpx.Response | None = None) -> float:
    """Seconds: what the service asks for, or twice as long each time; a little more, not all at the same moment."""
    asked_for = response.headers.get("retry-after", "") if response is not None else ""
    seconds = float(asked_for) if asked_for.isdecimal() else FIRST_PAUSE_SECONDS * 2**attempt
    return seconds + random.uniform(0, FIRST_PAUSE_SECONDS)  # noqa: S311 (no secret)


def no_answer(error: httpx.HTTPError) -> ConnectionFailed:
    """What to raise where no answer came back, or only a part of one."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed("no_connection", "The service does not answer.", str(error))
    if isinstance(error, httpx.TimeoutException):
        return ConnectionFailed("timeout", "The service took too long to answer.", str(error))
    return ConnectionFailed("no_connection", "The connection to the service broke off.", str(error))


def problem(answer: Answer) -> ApiError:
    """The problem document of an answer; also for answers that carry none, as a proxy's may."""
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
