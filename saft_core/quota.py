"""The quotas of a tenant: how many images, bytes, adapters, queued jobs and requests a minute it may have.

The same JSON object stands in the tenant's row, in the API (PUT /tenants/{id}/quota) and in SAFT_DEFAULT_QUOTA, which
gives limits to new tenants. They are counted and enforced in saft_core/store/quotas.py, requests in api/rates.py.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_MOST = 2**63 - 1


def _limit(meaning: str) -> int | None:
    """A field of `Quota`: a limit from 0 on, None by default."""
    limit: int | None = Field(None, ge=0, le=_MOST, strict=True, description=meaning)
    return limit


class Quota(BaseModel):
    """The limits of one tenant; null is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int | None = _limit("Images of all datasets and collections.")
    storage_bytes: int | None = _limit("Bytes of image files and delta containers.")
    adapters: int | None = _limit("Adapters, with those that unfinished jobs will make.")
    queued_jobs: int | None = _limit("Jobs that wait for a worker.")
    requests_per_minute: int | None = _limit("Requests in any minute, over all replicas.")
