"""Creating things once: the Idempotency-Key on every POST that creates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store import idempotency
from saft_core.store.idempotency import StoredAnswer

REPLAY_HEADER = {"Idempotent-Replayed": "true"}


def fingerprint(call: str, body: BaseModel | bytes) -> str:
    """SHA-256 of a request: `call` is its method and path, `body` its parsed content or a digest of it."""
    content = body.model_dump_json().encode() if isinstance(body, BaseModel) else body
    return hashlib.sha256(call.encode() + b"\0" + content).hexdigest()


def created(view: BaseModel, location: str | None = None, status: int = HTTPStatus.CREATED) -> StoredAnswer:
    """The answer that shows what was made."""
    return StoredAnswer(status, view.model_dump(mode="json"), location)


def once(
    sessions: sessionmaker[Session],
    owner: str,
    key: str | None,
    request_sha256: str,
    work: Callable[[Session], StoredAnswer],
) -> tuple[StoredAnswer, bool]:
    """Do `work` in one transaction, or find the answer it gave before; with whether it was found.

    Raises IdempotencyMismatch, and whatever `work` raises; nothing is written then, and the key can be used again.
    """
    with sessions.begin() as session:
        if key is None:
            return work(session), False
        before = idempotency.begin(session, owner, key, request_sha256)
        if before is not None:
            return before, True
        answer = work(session)
        idempotency.complete(session, owner, key, answer)
        return answer, False


def already_done(
    sessions: sessionmaker[Session], owner: str, key: str | None, request_sha256: str
) -> StoredAnswer | None:
    """The answer given before, for a look before long work; `once` still decides. Raises IdempotencyMismatch."""
    if key is None:
        return None
    with sessions() as session:
        return idempotency.find(session, owner, key, request_sha256)


def respond(answer: StoredAnswer, replayed: bool = False, **extra: Any) -> JSONResponse:
    """The HTTP answer; `extra` is added to the body and was not stored."""
    headers = REPLAY_HEADER if replayed else {}
    if answer.location:
        headers = headers | {"Location": answer.location}
    return JSONResponse(answer.body | extra, answer.status, headers)
