"""The Idempotency-Key of every POST that creates: a route asks for it as a dependency and calls `once`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.orm import Session, sessionmaker

from api.deps import AdminDep, TenancyDep
from saft_core.store import idempotency
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.scope import Scope

REPLAY_HEADER = {"Idempotent-Replayed": "true"}
Within = TypeVar("Within")
Other = TypeVar("Other")


@dataclass(frozen=True)
class Made:
    """The answer of a POST that creates. replayed: whether an earlier request with the same key was answered so."""

    answer: StoredAnswer
    replayed: bool

    @property
    def id(self) -> str:
        """The id of what was made."""
        return str(self.answer.body["id"])

    def response(self, **extra: Any) -> JSONResponse:
        """The HTTP response; `extra` is added to the body and was not stored."""
        headers = REPLAY_HEADER if self.replayed else {}
        if self.answer.location:
            headers = headers | {"Location": self.answer.location}
        return JSONResponse(self.answer.body | extra, self.answer.status, headers)


@dataclass(frozen=True)
class Idempotency(Generic[Within]):
    """The Idempotency-Key of one request, so that it creates one thing however often it is sent.

    owner: of the key, a tenant's id or "admin". key: None where the request has none, and then nothing is stored.
    call: method and path. within: makes of a session what the work of a transaction is given, such as a scope.
    """

    sessions: sessionmaker[Session]
    owner: str
    key: str | None
    call: str
    within: Callable[[Session], Within]

    def on(self, within: Callable[[Session], Other]) -> Idempotency[Other]:
        """The same Idempotency-Key, with another `within`."""
        return Idempotency(self.sessions, self.owner, self.key, self.call, within)

    def once(self, content: BaseModel | bytes, work: Callable[[Within], StoredAnswer]) -> Made:
        """Do `work` in one transaction, or find the answer that it gave before.

        content: the parsed body, or a digest of it. Raises IdempotencyMismatch where the key came with another request
        before, and whatever `work` raises; nothing is written then, and the key can be used again.
        """
        with self.sessions.begin() as session:
            if self.key is None:
                return Made(work(self.within(session)), replayed=False)
            before = idempotency.begin(session, self.owner, self.key, self._fingerprint(content))
            if before is not None:
                return Made(before, replayed=True)
            answer = work(self.within(session))
            idempotency.complete(session, self.owner, self.key, answer)
            return Made(answer, replayed=False)

    def before(self, content: BaseModel | bytes) -> Made | None:
        """The answer given before, for a look before long work; `once` still decides. Raises IdempotencyMismatch."""
        if self.key is None:
            return None
        with self.sessions() as session:
            answer = idempotency.find(session, self.owner, self.key, self._fingerprint(content))
        return None if answer is None else Made(answer, replayed=True)

    def _fingerprint(self, content: BaseModel | bytes) -> str:
        """SHA-256 of the request, in hexadecimal digits."""
        body = content.model_dump_json().encode() if isinstance(content, BaseModel) else content
        return hashlib.sha256(self.call.encode() + b"\0" + body).hexdigest()


def created(view: BaseModel, location: str | None = None, status: int = HTTPStatus.CREATED) -> StoredAnswer:
    """The answer of a POST that created something: its JSON, its URL and the status."""
    return StoredAnswer(status, view.model_dump(mode="json"), location)


_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="Send the same key again to get the same answer instead of a second thing.",
    ),
]


async def _of_tenant(request: Request, tenancy: TenancyDep, key: _Key = None) -> Idempotency[Scope]:
    return Idempotency(tenancy.services.sessions, tenancy.tenant_id, key, _call(request), tenancy.scope)


async def _of_admin(request: Request, services: AdminDep, key: _Key = None) -> Idempotency[Session]:
    return Idempotency(services.sessions, "admin", key, _call(request), lambda session: session)


def _call(request: Request) -> str:
    return f"{request.method} {request.scope['path']}"


TenantIdempotency = Idempotency[Scope]
IdempotencyDep = Annotated[TenantIdempotency, Depends(_of_tenant)]
AdminIdempotencyDep = Annotated[Idempotency[Session], Depends(_of_admin)]
