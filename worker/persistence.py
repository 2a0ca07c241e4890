"""Going on while the database is away: what a worker reads and writes is tried again until it is there."""

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


def persistently(
    sessions: sessionmaker[Session],
    work: Callable[[Session], Result],
    between: Callable[[], None] = lambda: None,
) -> Result:
    """What `work` gives in a transaction that was committed, however often the database is away before.

    work:    may run several times, and once more after a commit whose answer was lost.
    between: called before another try; what it raises ends the trying.

    Raises what `work` raises of its own, and database errors that another try cannot mend.
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
                logger.warning("the database does not answer, trying until it does: %s", in_a_line(error))
        between()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def in_a_line(error: SQLAlchemyError) -> str:
    """What the driver said, without the statement and the traceback."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
