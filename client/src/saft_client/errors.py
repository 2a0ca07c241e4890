"""Every error of this package.

    SaftError
    ├── ConfigurationError      the address or the key cannot be used; nothing was sent
    ├── ConnectionFailed        no answer, or only a part of one: `no_connection` or `timeout`
    ├── UnexpectedAnswer        the answer is none of a SAFT service that this client knows
    ├── JobFailed               the job that was waited for has failed; `job` says how
    │   └── JobCancelled
    └── ApiError                the service said no
        ├── InvalidRequest      400, 415, 422: something that was sent cannot be used
        ├── Unauthorized        401: no key, or one that opens nothing
        ├── NotFound            404: missing, or somebody else's
        ├── Conflict            409: the request does not fit the state of things
        ├── TooLarge            413
        ├── Busy                429: too much at once
        ├── QuotaExceeded       409 or 429: the tenant has as much as it may
        └── Unavailable         5xx

Missing files, and arguments that make no sense, are the errors that Python has for them: FileNotFoundError, ValueError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saft_client.records import Job, Rejected


def shown(text: str) -> str:
    """The text for a terminal: what it would obey instead of showing (ESC, line breaks) is escaped."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def text_of(members: Mapping[str, Any], name: str) -> str:
    """A member that is a text; the empty one, where it is something else or missing."""
    found = members.get(name)
    return found if isinstance(found, str) else ""


class SaftError(Exception):
    """Something went wrong.

    code: stable, for programs. detail: a sentence for people. status: the answer's, 0 where there was none.
    """

    def __init__(self, code: str, detail: str, status: int = 0) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = status

    def __str__(self) -> str:
        return shown(super().__str__())

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The files an upload was refused for."""
        return ()


class ConfigurationError(SaftError):
    """The address or the key cannot be used as they are."""

    def __init__(self, detail: str) -> None:
        super().__init__("configuration", detail)


class ConnectionFailed(SaftError):
    """The service does not answer. `cause` and `__cause__` are what httpx says of it."""

    def __init__(self, code: str, detail: str, cause: str = "") -> None:
        super().__init__(code, detail)
        self.cause = cause

    def __str__(self) -> str:
        return f"{super().__str__()} ({shown(self.cause)})" if self.cause else super().__str__()


class UnexpectedAnswer(SaftError):
    """The answer cannot be read: the address may be that of something else, or the service of another version."""

    def __init__(self, detail: str, status: int = 0) -> None:
        super().__init__("unexpected_answer", detail, status)


class JobFailed(SaftError):
    """The job did not succeed. `job` is how it ended."""

    def __init__(self, job: Job) -> None:
        error = job.error or {}
        detail = text_of(error, "detail") or f"job {job.id} ended as {job.status}"
        super().__init__(text_of(error, "code") or job.status, detail)
        self.job = job


class JobCancelled(JobFailed):
    """The job was cancelled."""


class ApiError(SaftError):
    """The service said no, with a problem document (RFC 9457).

    title: the status in words. extra: the document's other members, such as `rejected` files or the `quota`.
    """

    def __init__(
        self, code: str, detail: str, status: int = 0, extra: Mapping[str, Any] | None = None, title: str = ""
    ) -> None:
        super().__init__(code, detail, status)
        self.extra = dict(extra or {})
        self.title = title

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The files an upload was refused for."""
        from saft_client.records import Rejected  # noqa: PLC0415 (records name the errors of reading)

        entries = self.extra.get("rejected")
        return tuple(map(Rejected.read, entries)) if isinstance(entries, list) else ()


class InvalidRequest(ApiError):
    """Something that was sent cannot be used; `detail` names it."""


class Unauthorized(ApiError):
    """No key, or a key that opens nothing."""


class NotFound(ApiError):
    """Missing, or somebody else's: the two are not told apart."""


class Conflict(ApiError):
    """The request does not fit the state of things, such as a name that is taken."""


class TooLarge(ApiError):
    """The request is larger than the service takes; `detail` names the limit."""


class Busy(ApiError):
    """Too much at once. This client has tried again before it gave up."""


class QuotaExceeded(ApiError):
    """The tenant has as much as it may; `extra` names the quota."""


class Unavailable(ApiError):
    """The service cannot answer now, or failed."""


OF_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: InvalidRequest,
    422: InvalidRequest,
    429: Busy,
}


def kind_of(code: str, status: int) -> type[ApiError]:
    """The class for an answer."""
    if code == "quota_exceeded":
        return QuotaExceeded
    return Unavailable if status >= 500 else OF_STATUS.get(status, ApiError)
