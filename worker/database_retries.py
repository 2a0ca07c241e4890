"""Retries of what a worker reads and writes, for as long as the database does not answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store.database import passes

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def with_retries(
    sessions: sessionmaker[Session],
    work: Callable[[Session], Result],
    before_retry: Callable[[], None] = lambda: None,
) -> Result:
    """The result of `work` in a transaction that was committed, retried with back-off while the database is away.

    work: may be called several times, and once more after a commit whose answer was lost. before_retry: called before
    each retry; an exception that it raises ends the retries.

    Raises what `work` raises, and database errors that a retry cannot mend (`database.passes`).
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            with sessions.begin() as session:
                return work(session)
        except SQLAlchemyError as error:
            if not passes(error):
                raise
            if pause == FIRST_PAUSE_SECONDS:  # once, however long it lasts
                logger.warning("the database does not answer, trying until it does: %s", one_line(error))
        before_retry()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def one_line(error: SQLAlchemyError) -> str:
    """The driver's message on one line, without the statement."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
