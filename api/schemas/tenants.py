"""The JSON of tenants, their keys, quotas and audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.schemas.common import Body, View
from saft_core.quota import Quota


class TenantBody(Body):  # noqa: D101
    name: str


class NewTenant(BaseModel):  # noqa: D101
    id: str
    name: str
    api_key: str = Field(description="Shown this once; only its hash is stored.")


class UsageView(View):  # noqa: D101
    images: int
    storage_bytes: int
    adapters: int = Field(description="With those that unfinished jobs will make.")
    queued_jobs: int
    requests_per_minute: int | None = Field(
        description="Requests of the last minute; null where they are not counted: without a limit, or without Redis."
    )


class UsageAndQuota(BaseModel):  # noqa: D101
    tenant_id: str
    name: str = Field(description="The tenant's.")
    key_id: str = Field(description="Of the key that asks.")
    usage: UsageView
    quota: Quota = Field(description="Null is no limit.")


class TenantView(View):  # noqa: D101
    id: str
    name: str
    quota: Quota
    created_at: datetime
    deleted_at: datetime | None = Field(
        description="No key opens anything from then on; what is left is being removed."
    )


class TenantDetails(TenantView):  # noqa: D101
    usage: UsageView


class KeyBody(Body):  # noqa: D101
    name: str = Field(description="What the key is for, for you to know it again.")


class KeyView(View):  # noqa: D101
    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None = Field(description="To about a minute; null if never.")


class NewKey(KeyView):  # noqa: D101
    api_key: str = Field(description="Shown this once; only its hash is stored.")


class AuditView(View):  # noqa: D101
    id: str
    created_at: datetime
    action: str = Field(description="What was done, such as `dataset.created`.")
    subject_id: str = Field(description="What it was done to.")
    key_id: str | None = Field(description="By whose key: its id, or `admin`.")
    details: dict[str, Any]
