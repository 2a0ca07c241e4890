"""Tenants with their API keys and quotas, the audit log and the answers kept for Idempotency-Keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from saft_core.store.models.base import Model, Owned, listed_index, new_id


class Tenant(Model):
    """A customer of the service: the owner of datasets, adapters, jobs and collections."""

    __tablename__ = "tenants"
    __table_args__ = (
        Index("ix_tenants_listed", "created_at", "id"),
        Index("ix_tenants_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ten"))
    name: Mapped[str]
    key_sha256: Mapped[str] = mapped_column(unique=True)  # of the first key, for versions that know one key a tenant
    quota: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # saft_core/quota.py
    deleted_at: Mapped[datetime | None]  # from then on no key opens anything, and the sweeper removes all there is
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class TenantKey(Owned):
    """One API key of a tenant, stored as its SHA-256."""

    __tablename__ = "tenant_keys"
    __table_args__ = (listed_index("tenant_keys"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("key"))
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    last_used_at: Mapped[datetime | None]  # to about a minute


class AuditEvent(Owned):
    """One entry of the audit log: which action, with which key, when.

    An entry outlives the row that it is about, so it has no foreign keys.
    """

    __tablename__ = "audit_events"
    __table_args__ = (listed_index("audit_events"), Index("ix_audit_events_created_at", "created_at"))

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ev"))
    tenant_id: Mapped[str] = mapped_column()
    key_id: Mapped[str | None]  # a key's id, or "admin"; null in what a job of a version before did
    action: Mapped[str]  # "dataset.created"
    subject_id: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")


class IdempotencyRecord(Model):
    """The answer to the first request with an Idempotency-Key, written in the transaction that did the work."""

    __tablename__ = "idempotency_records"

    owner: Mapped[str] = mapped_column(primary_key=True)  # a tenant's id, or "admin"
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[dict[str, Any] | None]
    location: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), index=True)
