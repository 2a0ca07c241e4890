"""The declarative base, and the abstract table of rows that belong to a tenant.

Times are timezone-aware UTC, set by the database."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def new_id(prefix: str) -> str:
    """A new primary key such as `job_3f9c...`: a prefix for the kind of row, and 128 random bits in hexadecimal."""
    return f"{prefix}_{secrets.token_hex(16)}"


class Model(DeclarativeBase):
    """The declarative base of all tables: named constraints, JSON as JSONB, times with a time zone."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it as it stands)
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        datetime: TIMESTAMP(timezone=True),
    }


class Owned(Model):
    """The abstract base of every table whose rows belong to one tenant."""

    __abstract__ = True

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


def listed_index(table: str, owner: str = "tenant_id") -> Index:
    """The index that pages through the rows of one `owner`, newest first (`scope.page_of`)."""
    return Index(f"ix_{table}_listed", owner, "created_at", "id")
