"""The lease of a job in the worker: renewed in the background; says when it is lost or the job is to be cancelled."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import Cancelled
from saft_core.store import leases
from worker.database_retries import one_line

REPORT_INTERVAL_SECONDS = 0.5
RENEWALS_PER_LEASE = 4

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The lease has expired, and another worker may hold the job: stop, and write nothing more."""


class Lease:
    """The lease of a claimed job: a context manager that renews it in a background thread.

    A long step, or a short absence of the database, does not lose the job. The lease counts as expired `lease_seconds`
    after the latest renewal was sent, by this process's own clock: without the database nobody can say whether another
    worker has claimed the job.

    since: when the claim was sent, on `time.monotonic()`'s clock; now if None.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        job_id: str,
        owner: str,
        lease_seconds: float,
        since: float | None = None,
    ) -> None:
        self._sessions = sessions
        self._job_id = job_id
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._expires = (time.monotonic() if since is None else since) + lease_seconds
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._cancelled = threading.Event()
        self._latest: dict[str, Any] = {}
        self._written: dict[str, Any] = {}
        self._reported = 0.0
        self._thread = threading.Thread(target=self._renew_until_ended, name=f"lease-{job_id}", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LeaseLost when the lease is lost, and Cancelled when the tenant asked to cancel the job."""
        if self._lost.is_set() or time.monotonic() >= self._expires:
            raise LeaseLost
        if self._cancelled.is_set():
            raise Cancelled

    def report(self, **progress: Any) -> None:
        """Write progress (columns of `Job`, by name) at most every REPORT_INTERVAL_SECONDS; then `check`.

        A column that is not given keeps its value; an object that was written before is not written again.
        """
        self._latest |= progress
        if time.monotonic() - self._reported >= REPORT_INTERVAL_SECONDS:
            self.flush()
        self.check()

    def _has_written(self, name: str, value: Any) -> bool:
        return name in self._written and self._written[name] is value

    def flush(self) -> None:
        """Write the latest progress now, whatever the interval."""
        self._reported = time.monotonic()
        latest = dict(self._latest)
        if self._renew({name: value for name, value in latest.items() if not self._has_written(name, value)}):
            self._written = latest

    def settle(self, session: Session) -> None:
        """Write the latest progress in this session, with what `report` has held back."""
        self._write(session, self._latest)

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(self._lease_seconds / RENEWALS_PER_LEASE):
            self._renew({})

    def _renew(self, progress: dict[str, Any]) -> bool:
        """Renew the lease and write progress; False if the database does not answer."""
        try:
            with self._sessions.begin() as session:
                self._write(session, progress)
        except SQLAlchemyError as error:
            logger.warning("the lease of %s could not be renewed: %s", self._job_id, one_line(error))
            return False
        return True

    def _write(self, session: Session, progress: dict[str, Any]) -> None:
        sent = time.monotonic()
        state = leases.renew(session, self._job_id, self._owner, self._lease_seconds, **progress)
        if state.held:
            self._expires = max(self._expires, sent + self._lease_seconds)
        else:
            self._lost.set()
        if state.cancel_requested:
            self._cancelled.set()
