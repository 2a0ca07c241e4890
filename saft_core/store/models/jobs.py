"""Jobs: one row for each training."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, query_expression

from saft_core.store.models.base import Owned, listed_index, new_id


class JobStatus(StrEnum):
    """The status of a job. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class Publish(StrEnum):
    """Whether a trained version is published: always, if it is better than the published one, or by a request only."""

    AUTO = "auto"
    IF_BETTER = "if_better"
    MANUAL = "manual"


class Job(Owned):
    """One training, from request to result.

    A worker holds a job by a lease (leases.py): it may write to the row only while `lease_owner` is its own, and it
    renews `lease_expires_at` while it runs. Another worker claims a job whose lease has expired, so however many
    workers crash and however often a message is delivered, there is one result.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_unfinished", "status", postgresql_where=text("status in ('queued', 'running')")),
        listed_index("jobs"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("job"))
    name: Mapped[str]
    key_id: Mapped[str | None]  # of the key that ordered it, for the audit log
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"), index=True)
    test_dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"), index=True)
    config: Mapped[dict[str, Any]]
    asked: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # of `config` what the caller gave
    publish: Mapped[str] = mapped_column(default=Publish.AUTO.value, server_default=Publish.AUTO.value)
    base_fingerprint: Mapped[str | None]  # the base it was ordered for; null in rows from before this was noted
    status: Mapped[str] = mapped_column(default=JobStatus.QUEUED.value)
    phase: Mapped[str] = mapped_column(default="queued")
    progress: Mapped[float] = mapped_column(default=0.0)
    step: Mapped[int] = mapped_column(default=0)
    steps: Mapped[int] = mapped_column(default=0)
    loss: Mapped[float | None]
    losses: Mapped[list[Any]] = mapped_column(default=list)  # [[step, loss]], thinned for the curve
    seconds: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # by phase, of all attempts
    eta_seconds: Mapped[float | None]
    metrics: Mapped[dict[str, Any] | None]  # of the base alone until the job has succeeded
    adapter_id: Mapped[str | None]
    error: Mapped[dict[str, Any] | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    attempt: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    summary: Mapped[dict[str, Any] | None] = query_expression()  # of `metrics`, in lists (summary.py)

    @property
    def elapsed_seconds(self) -> float | None:
        """Seconds of work on the job, all attempts together; None before the first."""
        return sum(self.seconds.values()) if self.seconds else None
