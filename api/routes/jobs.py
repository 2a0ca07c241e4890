"""Jobs: look, watch, cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.deps import PagingDep, Tenancy, TenancyDep
from api.schemas import JobView, Page
from saft_core.store import jobs
from saft_core.store.models import Job, JobStatus

router = APIRouter(prefix="/jobs", tags=["jobs"])

POLL_SECONDS = 0.5


@router.get("", response_model=Page[JobView])
def list_jobs(tenancy: TenancyDep, paging: PagingDep) -> object:
    """Your jobs, newest first."""
    with tenancy.begin() as scope:
        return scope.page(Job, paging.limit, paging.cursor)


@router.get("/{job_id}", response_model=JobView)
def get_job(job_id: str, tenancy: TenancyDep) -> object:
    """One job."""
    return _view(tenancy, job_id)


@router.post("/{job_id}/cancel", response_model=JobView, status_code=202)
def cancel_job(job_id: str, tenancy: TenancyDep) -> object:
    """Stop a job: one that waits at once, one that runs within a step."""
    with tenancy.begin() as scope:
        return jobs.request_cancel(scope, job_id)


@router.get("/{job_id}/events", response_class=EventSourceResponse)
async def watch_job(job_id: str, tenancy: TenancyDep) -> EventSourceResponse:
    """Server-sent events named `job`: its present state, then each change, until it has ended."""
    first = await run_in_threadpool(_view, tenancy, job_id)
    return EventSourceResponse(_changes(tenancy, first))


async def _changes(tenancy: Tenancy, job: JobView) -> AsyncIterator[ServerSentEvent]:
    """No database connection is held between two looks."""
    while True:
        yield ServerSentEvent(job.model_dump_json(), event="job")
        shown = job
        while job == shown:
            if JobStatus(job.status).is_final:
                return
            await anyio.sleep(POLL_SECONDS)
            job = await run_in_threadpool(_view, tenancy, job.id)


def _view(tenancy: Tenancy, job_id: str) -> JobView:
    with tenancy.begin() as scope:
        return JobView.model_validate(scope.get(Job, job_id))
