"""Every error that a caller may see.

    SaftError
    ├── InvalidInput            what was sent cannot be used; says which file, field or limit
    │   ├── InvalidImage
    │   ├── InvalidArchive
    │   ├── InvalidDataset
    │   ├── InvalidConfig
    │   ├── InvalidDelta
    │   ├── InvalidCursor
    │   ├── UnsupportedMediaType    the body is of another type than the call takes
    │   └── IdempotencyMismatch
    ├── BadFraming              nobody can be sure where the request's body ends
    ├── TooLarge                a size limit was passed
    ├── SlowBody                the body did not come in time
    ├── Unauthorized            no key, or a key nobody holds
    ├── NotFound                missing, or somebody else's: the two are not told apart
    ├── Conflict
    │   ├── NameTaken
    │   ├── KeyGone             a replay cannot show the key that was made
    │   ├── QuotaExceeded       the tenant has as much as it may; names the quota
    │   ├── BaseMismatch        the delta belongs to another base
    │   ├── ExportUnsupported   the base has no such form
    │   └── JobFinished         the job has ended and cannot be cancelled
    ├── TrainingFailed
    │   ├── TrainingDiverged
    │   └── WorkerLost
    ├── Cancelled               the caller asked for the stop
    └── Unavailable             a part of the service does not answer
        ├── Busy                as much work waits as the service takes; says when to come back
        ├── DiskFull            there is no room to keep what was sent
        └── DeadlinePassed      the answer would have come too late

Each class has a stable `code`; its docstring is its default message. `details` go to the caller as they are, so they
hold JSON values only.
"""

from __future__ import annotations

from typing import Any, ClassVar


class SaftError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str | None = None, *, code: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details = details
        self._code = code or type(self).code
        super().__init__(self.message)

    @property
    def error_code(self) -> str:
        """The stable code of this error: the class's own, or the finer one it was raised with."""
        return self._code


class InvalidInput(SaftError):
    """The request cannot be used as it is."""

    code = "invalid_input"


class InvalidImage(InvalidInput):
    """The file is not an image that can be read."""

    code = "invalid_image"


class InvalidArchive(InvalidInput):
    """The archive is not a zip file that can be read."""

    code = "invalid_archive"


class InvalidDataset(InvalidInput):
    """The images do not make a labelled set."""

    code = "invalid_dataset"


class InvalidConfig(InvalidInput):
    """The training configuration cannot be used."""

    code = "invalid_config"


class InvalidDelta(InvalidInput):
    """The file is not a delta container, or it is damaged."""

    code = "invalid_delta"


class InvalidCursor(InvalidInput):
    """The cursor was not made by this service. Start again without one."""

    code = "invalid_cursor"


class IdempotencyMismatch(InvalidInput):
    """This Idempotency-Key was used with a different request. Use a new key."""

    code = "idempotency_mismatch"


class UnsupportedMediaType(InvalidInput):
    """The body is of a type that this call does not take."""

    code = "unsupported_media_type"


class BadFraming(SaftError):
    """Send either Content-Length or Transfer-Encoding (with HTTP/1.1), never both: they may not agree."""

    code = "bad_framing"


class TooLarge(SaftError):
    """The request is larger than this service takes."""

    code = "too_large"


class SlowBody(SaftError):
    """The body of the request came too slowly. Send it on a faster connection, or in smaller parts."""

    code = "slow_body"


class Unauthorized(SaftError):
    """Send a valid key as 'Authorization: Bearer <key>'."""

    code = "unauthorized"


class NotFound(SaftError):
    """There is no such thing."""

    code = "not_found"


class Conflict(SaftError):
    """The request does not fit the state of things."""

    code = "conflict"


class NameTaken(Conflict):
    """This name is in use. Choose another."""

    code = "name_taken"


class KeyGone(Conflict):
    """The key that this request made cannot be shown again."""

    code = "key_gone"


class QuotaExceeded(Conflict):
    """You have as much as you may. Delete what is no longer needed, or ask the admin for more."""

    code = "quota_exceeded"


class BaseMismatch(Conflict):
    """The delta was made for another base model."""

    code = "base_mismatch"


class ExportUnsupported(Conflict):
    """The base cannot be written in this form."""

    code = "export_unsupported"


class JobFinished(Conflict):
    """The job has already ended."""

    code = "job_finished"


class TrainingFailed(SaftError):
    """The training failed."""

    code = "training_failed"


class TrainingDiverged(TrainingFailed):
    """The loss is no longer a number. Lower the learning rate and try again."""

    code = "training_diverged"


class WorkerLost(TrainingFailed):
    """The worker died several times on this job."""

    code = "worker_lost"


class Cancelled(SaftError):
    """The job was cancelled."""

    code = "cancelled"


class Unavailable(SaftError):
    """The service cannot answer now. Try again in a moment."""

    code = "unavailable"


class Busy(Unavailable):
    """The service has as much work waiting as it takes. Try again in a moment."""

    code = "busy"


class DiskFull(Unavailable):
    """The service has no room left on its disk. Delete what is no longer needed, or tell the operator."""

    code = "disk_full"


class DeadlinePassed(Unavailable):
    """The request was not answered in the time it may take. Send fewer images at once, or try again later."""

    code = "deadline_passed"
