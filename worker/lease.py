"""Holding a job: renew the lease while the work goes on, and notice when it is lost or the tenant wants a stop."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import Cancelled
from saft_core.store import jobs
from worker.persistence import in_a_line

REPORT_INTERVAL_SECONDS = 0.5
RENEWALS_PER_LEASE = 4

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another worker may hold the job now: stop, and write nothing more."""


class Lease:
    """A claimed job, from claim to result; a context manager that renews in the background.

    A long step, or a database that is away for a moment, does not lose the job as long as the lease does not run out.
    By this process's own clock it runs out a lease's length after the latest renewal was sent: whoever cannot reach the
    database cannot ask it whether another worker has taken over.

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
        """Raise LeaseLost or Cancelled when the work should stop."""
        if self._lost.is_set() or time.monotonic() >= self._expires:
            raise LeaseLost
        if self._cancelled.is_set():
            raise Cancelled

    def report(self, **progress: Any) -> None:
        """Write progress to the job's row, at most every half second; then `check`.

        What is not said again stays, and what is the same object as before is not written again.
        """
        self._latest |= progress
        if time.monotonic() - self._reported >= REPORT_INTERVAL_SECONDS:
            self.flush()
        self.check()

    def _has_written(self, name: str, value: Any) -> bool:
        return name in self._written and self._written[name] is value

    def flush(self) -> None:
        """Write the latest progress now."""
        self._reported = time.monotonic()
        latest = dict(self._latest)
        if self._renew({name: value for name, value in latest.items() if not self._has_written(name, value)}):
            self._written = latest

    def settle(self, session: Session) -> None:
        """Write the latest progress in this session: what `report` held back at the end would be missing for ever."""
        self._write(session, self._latest)

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(self._lease_seconds / RENEWALS_PER_LEASE):
            self._renew({})

    def _renew(self, progress: dict[str, Any]) -> bool:
        """Renew, and write progress at the same time; whether it was: a database that is away is left for next time."""
        try:
            with self._sessions.begin() as session:
                self._write(session, progress)
        except SQLAlchemyError as error:
            logger.warning("the lease of %s could not be renewed: %s", self._job_id, in_a_line(error))
            return False
        return True

    def _write(self, session: Session, progress: dict[str, Any]) -> None:
        sent = time.monotonic()
        state = jobs.report(session, self._job_id, self._owner, self._lease_seconds, **progress)
        if state.alive:
            self._expires = max(self._expires, sent + self._lease_seconds)
        else:
            self._lost.set()
        if state.cancel_requested:
            self._cancelled.set()
