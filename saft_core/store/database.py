"""Connections to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

POOL_CONNECTIONS = 20
POOL_WAIT_SECONDS = 10


def create_sessions(database_url: str) -> sessionmaker[Session]:
    """A factory of sessions on `database_url` (`postgresql://...`); nothing connects before the first use."""
    engine = create_engine(
        with_driver(database_url),
        pool_pre_ping=True,  # a restarted server costs a reconnect, not an error
        pool_size=POOL_CONNECTIONS,
        pool_timeout=POOL_WAIT_SECONDS,
    )
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def reading(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """A session in which every statement is a transaction of its own: one trip to the server for a read, not three."""
    with sessions() as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        yield session


def constraint(error: IntegrityError) -> str | None:
    """The name of the constraint that a statement would have broken."""
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None)


def with_driver(database_url: str) -> str:
    """The same URL, naming psycopg 3 as the driver."""
    return "postgresql+psycopg://" + database_url.partition("://")[2]
