"""One job from claim to result: plain functions, no Celery.

A database that is away ends nothing: what is read and written is tried again, a training that may have lost its lease
is given back, and one that is over waits with its result until the database takes it.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from saft_core.errors import Cancelled, SaftError, TrainingFailed, Unavailable
from saft_core.store import jobs
from saft_core.store.models import Adapter, AdapterMistake, Job
from saft_core.store.turns import next_job
from saft_core.tuning.adapt import Adaptation, adapt
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.mistakes import Mistake
from saft_core.tuning.progress import Progress
from saft_core.tuning.training_sets import TrainingSets
from worker.checkpoints import JobCheckpoints
from worker.decision import Decision, decide
from worker.lease import Lease, LeaseLost
from worker.persistence import persistently
from worker.tasks import load_task

if TYPE_CHECKING:
    from worker.runtime import Runtime

CURVE_POINTS = 200

logger = logging.getLogger(__name__)


def run_job(runtime: Runtime, job_id: str) -> None:
    """Train the job whose turn it is, if one waits for this base.

    job_id: of the job that the message named, which is in the log where nothing can be trained at all.

    Whatever goes wrong ends up in the job's row.
    """
    try:
        fingerprint = runtime.base.fingerprint
    except Unavailable as error:
        logger.error("job %s waits on: %s", job_id, error)
        return
    owner = f"{runtime.owner}/{uuid.uuid4().hex[:8]}"  # of this claim: only it may find the job its own already
    claimed = _claim(runtime, owner, fingerprint)
    if claimed is None:
        return
    job, since = claimed
    try:
        with Lease(runtime.sessions, job.id, owner, runtime.settings.job_lease_seconds, since) as lease:
            lease.report(phase="preparing", progress=0.0)
            task = load_task(runtime, job, between_tries=lease.check)
            adaptation = _adapt(runtime, job, task, lease, since)
            decision = decide(runtime, job, task, adaptation, lease.check)
            persistently(runtime.sessions, lease.settle)
            _finish(runtime, job, owner, adaptation, decision)
    except Exception as error:
        ending = _ending(job.id, owner, error)
        persistently(runtime.sessions, ending)


def _claim(runtime: Runtime, owner: str, fingerprint: str) -> tuple[Job, float] | None:
    """A job and when its claim was sent; None if there is none to be had.

    One that had to end instead, or that another worker took a moment before, leaves the turn to the next.
    """
    settings = runtime.settings

    def claim(session: Session) -> tuple[Job, float] | None:
        while (job_id := jobs.held_by(session, owner) or next_job(session, fingerprint)) is not None:
            sent = time.monotonic()
            job = jobs.claim(session, job_id, owner, settings.job_lease_seconds, settings.job_attempts, fingerprint)
            if job is not None:
                return job, sent
        return None

    return persistently(runtime.sessions, claim)


def _ending(job_id: str, owner: str, error: Exception) -> Callable[[Session], None]:
    """What to write of a training that ended with `error`."""
    if isinstance(error, LeaseLost):
        logger.warning("job %s is another worker's or was out of reach for too long; this worker leaves it", job_id)
        return lambda session: jobs.release(session, owner)
    if isinstance(error, Cancelled):
        return lambda session: jobs.cancel(session, job_id, owner)
    if not isinstance(error, SaftError):
        logger.error("job %s failed", job_id, exc_info=error)
        error = TrainingFailed("the training failed for a reason that is our fault; it is in the log")
    told = error
    return lambda session: jobs.fail(session, job_id, owner, told)


def _adapt(runtime: Runtime, job: Job, task: TrainingSets, lease: Lease, since: float) -> Adaptation:
    curve = LossCurve(job.losses)

    def observe(progress: Progress) -> None:
        curve.add(progress.step, progress.loss)
        lease.report(
            phase=progress.phase,
            progress=progress.progress,
            step=progress.step,
            steps=progress.steps,
            loss=progress.loss,
            losses=curve.points,
            eta_seconds=progress.eta_seconds,
            seconds=progress.seconds,
            metrics=progress.metrics or job.metrics,
        )

    interval = runtime.settings.checkpoint_interval_seconds

    def still_mine() -> None:
        lease.flush()  # so that the row has the curve up to where the next attempt goes on
        lease.check()

    checkpoints = JobCheckpoints(runtime.checkpoints, job.id, job.attempt, interval, still_mine)
    return adapt(
        runtime.base,
        task,
        TrainingConfig.read(job.config),
        runtime.data_limits,
        observe,
        checkpoints,
        runtime.probe,
        spent=job.seconds,
        started=since,
    )


def _finish(runtime: Runtime, job: Job, owner: str, adaptation: Adaptation, decision: Decision) -> None:
    """Write the adapter and end the job in one transaction: there is never one without the other.

    The database decides whether the job is still this worker's, so the result may wait for it longer than the lease.
    """

    def finish(session: Session) -> bool:
        return jobs.finish(session, job.id, owner, _result(runtime, job, adaptation, decision))

    if persistently(runtime.sessions, finish):
        runtime.checkpoints.delete(job.id)


def _result(runtime: Runtime, job: Job, adaptation: Adaptation, decision: Decision) -> jobs.Result:
    header = adaptation.header
    adapter = Adapter(
        name=job.name,
        classes=list(header.classes),
        template=header.template,
        density=header.density,
        nnz=len(adaptation.delta),
        delta_bytes=len(adaptation.container),
        strength=adaptation.strength,
        calibration=adaptation.calibration.as_metrics(),
        base=header.base_name,
        base_fingerprint=header.base_fingerprint,
        metrics=adaptation.metrics | decision.metrics,
        blocks=runtime.base.count_by_block(adaptation.delta.indices),
    )
    return jobs.Result(
        adapter,
        adaptation.container,
        mistakes=[_mistake(job, mistake) for mistake in adaptation.mistakes],
        answers=adaptation.answers,
        publishes=decision.publishes,
        only_over=decision.only_over,
        keep=runtime.settings.limits.max_adapter_versions,
    )


def _mistake(job: Job, mistake: Mistake) -> AdapterMistake:
    return AdapterMistake(
        dataset_id=job.test_dataset_id if mistake.split == "test" else job.dataset_id,
        position=mistake.sample.position,
        split=mistake.split,
        prediction=mistake.prediction,
    )


class LossCurve:
    """The losses of a job, at most CURVE_POINTS: the first, the last, and between them every so many steps.

    points: those of earlier attempts. One that trains steps again that they had replaces them from there on.
    """

    def __init__(self, points: Sequence[Sequence[float]] = ()) -> None:
        self._points = [(int(step), loss) for step, loss in points]
        self._stride = 1

    @property
    def points(self) -> list[tuple[int, float]]:
        """(step, loss), by step."""
        return list(self._points)

    def add(self, step: int, loss: float | None) -> None:
        """Take in the loss after `step`."""
        points = self._points
        if loss is None or (points and points[-1] == (step, loss)):
            return
        while points and points[-1][0] >= step:
            points.pop()
        if len(points) > 1 and points[-1][0] % self._stride:
            points.pop()  # it was there as the last
        points.append((step, loss))
        while len(points) > CURVE_POINTS:
            self._stride *= 2
            points[1:-1] = [point for point in points[1:-1] if point[0] % self._stride == 0]
