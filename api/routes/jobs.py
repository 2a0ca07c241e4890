"""Jobs: list, get, cancel, and server-sent events of one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.authenticated import TenantRoute
from api.deps import PagingDep, Tenancy, TenancyDep
from api.schemas.common import Page
from api.schemas.training import JobItem, JobView
from saft_core.errors import NotFound, Unauthorized
from saft_core.store import jobs
from saft_core.store.models import Job, JobStatus
from saft_core.store.scheduling import queue_position
from saft_core.store.scope import Scope

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=TenantRoute)

POLL_SECONDS = 0.5
STOP_SECONDS = 2.0
"""A stream that has not ended by itself so long after the server was told to stop is cut off."""


@router.get("", response_model=Page[JobItem])
def list_jobs(tenancy: TenancyDep, paging: PagingDep) -> object:
    """Your jobs, newest first; each in full, with its curve, is `GET /jobs/{job_id}`."""
    with tenancy.begin() as scope:
        return jobs.page(scope, paging.limit, paging.cursor)


@router.get("/{job_id}", response_model=JobView)
def get_job(job_id: str, tenancy: TenancyDep) -> object:
    """One job."""
    return _view(tenancy, job_id)


@router.post("/{job_id}/cancel", response_model=JobView, status_code=202)
def cancel_job(job_id: str, tenancy: TenancyDep) -> object:
    """Stop a job: one that waits at once, one that runs within a step."""
    with tenancy.begin() as scope:
        return job_view(scope, jobs.request_cancel(scope, job_id))


@router.get("/{job_id}/events", response_class=EventSourceResponse)
async def watch_job(job_id: str, tenancy: TenancyDep) -> EventSourceResponse:
    """Server-sent events named `job`: its present state, then each change, until it has ended."""
    first = await run_in_threadpool(_view, tenancy, job_id)
    stopping = anyio.Event()
    return EventSourceResponse(
        _changes(tenancy, first, stopping), shutdown_event=stopping, shutdown_grace_period=STOP_SECONDS
    )


async def _changes(tenancy: Tenancy, job: JobView, stopping: anyio.Event) -> AsyncIterator[ServerSentEvent]:
    """The job now and after each change, until it has ended, its key opens nothing any more, or the server stops.

    No database connection is held between two looks.
    """
    while True:
        yield ServerSentEvent(job.model_dump_json(), event="job")
        shown = job
        while job == shown:
            if JobStatus(job.status).is_final or stopping.is_set():
                return
            with anyio.move_on_after(POLL_SECONDS):
                await stopping.wait()
            try:
                await tenancy.check_key()
                job = await run_in_threadpool(_view, tenancy, job.id)
            except (Unauthorized, NotFound):  # the key was revoked, or the tenant is being removed
                return
            except SQLAlchemyError:  # the database is away for a moment: look again
                continue


def _view(tenancy: Tenancy, job_id: str) -> JobView:
    with tenancy.begin() as scope:
        return job_view(scope, scope.get(Job, job_id))


def job_view(scope: Scope, job: Job) -> JobView:
    """The job with its place in the queue."""
    return JobView.model_validate(job).model_copy(update={"queue_position": queue_position(scope, job)})
