"""The quota of one tenant, such as 50 adapters: JSON in its row, of PUT /tenants/{id}/quota and SAFT_DEFAULT_QUOTA.

A new limit is a field here; saft_core/store/quotas.py counts and enforces it.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_MOST = 2**63 - 1


def _limit(meaning: str) -> int | None:
    """A limit that is not set unless it is said."""
    limit: int | None = Field(None, ge=0, le=_MOST, strict=True, description=meaning)
    return limit


class Quota(BaseModel):
    """The limits of a tenant; null is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int | None = _limit("Images of all datasets and collections.")
    storage_bytes: int | None = _limit("Bytes of image files and delta containers.")
    adapters: int | None = _limit("Adapters, with those that unfinished jobs will make.")
    queued_jobs: int | None = _limit("Jobs that wait for a worker.")
    requests_per_minute: int | None = _limit("Requests in any minute, over all replicas.")
