"""Bring a database's schema up to date: run by every part of the service when it starts."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from saft_core.store.database import with_driver

LOCK_KEY = 0x5AF7
"""PostgreSQL advisory lock held while the schema changes: processes that start together wait for one another."""


def config() -> Config:
    """Alembic's configuration; there is no ini file."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    return settings


def upgrade(database_url: str) -> None:
    """Apply every step that is missing. Safe to call from many processes at once; does nothing when all is there."""
    engine = create_engine(with_driver(database_url))
    settings = config()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")
    engine.dispose()
