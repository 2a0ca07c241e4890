"""What the service answers of tenants, their keys, quotas and audit log; as records.py has it of all else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from saft_client._reading import Record


@dataclass(frozen=True)
class Quota(Record):
    """What a tenant may have; None is no limit."""

    images: int | None = None
    storage_bytes: int | None = None
    adapters: int | None = None
    queued_jobs: int | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True)
class Usage(Record):
    """What a tenant has. requests_per_minute: of the last minute; None where they are not counted."""

    images: int
    storage_bytes: int
    adapters: int
    queued_jobs: int
    requests_per_minute: int | None = None


@dataclass(frozen=True)
class Account(Record):
    """Who a tenant is, by which key, what it has, and what it may have."""

    tenant_id: str
    name: str
    key_id: str
    usage: Usage
    quota: Quota


@dataclass(frozen=True)
class Key(Record):
    """A key of a tenant, without the key itself."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True)
class NewKey(Key):
    """A key just made; `api_key` is shown this once."""

    api_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class AuditEvent(Record):
    """Something that was done with a tenant's keys, or by the admin for it."""

    id: str
    created_at: datetime
    action: str
    subject_id: str
    key_id: str | None
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Tenant(Record):
    """A tenant as the admin sees it. A list leaves `usage` out."""

    id: str
    name: str
    quota: Quota
    created_at: datetime
    deleted_at: datetime | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class NewTenant(Record):
    """A tenant just made; the key is shown this once."""

    id: str
    name: str
    api_key: str = field(repr=False)
