"""Connections to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import ARRAY, ColumnElement, String, any_, create_engine, literal
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import InstrumentedAttribute, Session, sessionmaker

POOL_CONNECTIONS = 20
POOL_WAIT_SECONDS = 10
SILENCE_SECONDS = 10
"""How long a server may take for what it should answer at once; without a bound a lost network blocks for hours."""
PASSING_STATES = ("25006", "25P03")
"""SQLSTATE of a server that became a standby, and of one that ended an idle transaction."""


def create_sessions(database_url: str) -> sessionmaker[Session]:
    """A factory of sessions on `database_url` (`postgresql://...`); nothing connects before the first use."""
    engine = create_engine(
        with_driver(database_url),
        pool_pre_ping=True,  # a restarted server costs a reconnect, not an error
        pool_size=POOL_CONNECTIONS,
        pool_timeout=POOL_WAIT_SECONDS,
        connect_args={
            "connect_timeout": SILENCE_SECONDS,
            "tcp_user_timeout": SILENCE_SECONDS * 1000,
            "keepalives_idle": SILENCE_SECONDS,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
    )
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def reading(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """A session in autocommit mode for reads: one round trip to the server, not three."""
    with sessions() as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        yield session


def constraint(error: IntegrityError) -> str | None:
    """The name of the constraint that a statement violated; None if the driver names none."""
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None)


def passes(error: SQLAlchemyError) -> bool:
    """Whether a retry may succeed: the server is away, restarts, or has no connection left.

    All other errors (a violated constraint, a wrong statement) would come again.
    """
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeout)):
        return True
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state in PASSING_STATES or (isinstance(error, DBAPIError) and error.connection_invalidated)


def among(column: InstrumentedAttribute[str], values: Sequence[str]) -> ColumnElement[bool]:
    """The SQL condition that `column` is one of `values`, as one array parameter: PostgreSQL limits those of IN."""
    return column == any_(literal(list(values), ARRAY(String)))


def with_driver(database_url: str) -> str:
    """The same URL, naming psycopg 3 as the driver."""
    return "postgresql+psycopg://" + database_url.partition("://")[2]
