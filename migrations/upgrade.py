"""Bring a database's schema up to date: run by every part of the service when it starts."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from migrations import delta_version_2
from saft_core.store.database import with_driver

LOCK_KEY = 0x5AF7
"""PostgreSQL advisory lock held while the schema changes: processes that start together wait for one another."""

logger = logging.getLogger(__name__)


def config() -> Config:
    """Alembic's configuration; there is no ini file."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    return settings


def upgrade(database_url: str) -> None:
    """Apply every step that is missing. Safe to call from many processes at once; does nothing when all is there.

    A database that a newer version has taken further is left as it is, with a line in the log: steps only add, so that
    old and new run side by side while one replaces the other, and the old one may come back.
    """
    engine = create_engine(with_driver(database_url))
    settings = config()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        ahead = _is_ahead(connection, ScriptDirectory.from_config(settings))
        if not ahead:
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")
    if not ahead:
        delta_version_2.rewrite(engine)
    engine.dispose()


def _is_ahead(connection: Connection, steps: ScriptDirectory) -> bool:
    """Whether the database is at a revision that this version does not know; alembic would refuse it."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None or revision in {step.revision for step in steps.walk_revisions()}:
        return False
    logger.warning(
        "the database schema is at revision %s and this version knows up to %s: going on, as for a rolling deploy or"
        " a rollback; if anything fails, run the version that made the schema",
        revision,
        steps.get_current_head(),
    )
    return True
