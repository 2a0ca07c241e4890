"""One job from claim to result, as plain functions without Celery.

While the database is away every read and write is retried. A training whose lease may have expired is released, and one
that has ended keeps its result until the database accepts it.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy.orm import Session

from saft_core.errors import Cancelled, SaftError, TrainingFailed, Unavailable
from saft_core.store import adapters, leases
from saft_core.store.models import AdapterMistake, Job
from saft_core.store.scheduling import next_job
from saft_core.tuning.adapt import Adaptation, adapt
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.mistakes import Mistake
from saft_core.tuning.progress import Progress
from saft_core.tuning.training_sets import TrainingSets
from worker.checkpoints import JobCheckpoints
from worker.class_embeddings import class_embeddings
from worker.database_retries import with_retries
from worker.decision import Decision, decide
from worker.lease import Lease, LeaseLost
from worker.runtime import Runtime
from worker.training_sets import load_training_sets

CURVE_POINTS = 200

logger = logging.getLogger(__name__)


def run_job(runtime: Runtime, job_id: str) -> None:
    """Claim and train the next job for this base (`scheduling.next_job`), if one waits.

    job_id: the job that the message named; it is logged when this worker cannot train at all.

    An error of the training is written to the job's row and not raised.
    """
    try:
        fingerprint = runtime.base.fingerprint
    except Unavailable as error:
        logger.error("job %s waits on: %s", job_id, error)
        return
    owner = f"{runtime.owner}/{uuid.uuid4().hex[:8]}"  # unique for this claim, which may have to be repeated
    claimed = _claim(runtime, owner, fingerprint)
    if claimed is None:
        return
    job, since = claimed
    try:
        with Lease(runtime.sessions, job.id, owner, runtime.settings.job_lease_seconds, since) as lease:
            lease.report(phase="preparing", progress=0.0)
            task = load_training_sets(runtime, job, before_retry=lease.check)
            adaptation = _adapt(runtime, job, task, lease, since)
            decision = decide(runtime, job, task, adaptation, lease.check)
            embeddings = class_embeddings(runtime.base, adaptation.container, adaptation.strength, lease.check)
            with_retries(runtime.sessions, lease.settle)
            _finish(runtime, job, owner, partial(_result, runtime, job, adaptation, decision, embeddings))
    except Exception as error:
        ending = _ending(job.id, owner, error)
        with_retries(runtime.sessions, ending)


def _claim(runtime: Runtime, owner: str, fingerprint: str) -> tuple[Job, float] | None:
    """A claimed job and when its claim was sent (`time.monotonic()`); None if no job waits.

    A job that ended instead, or that another worker claimed first, is passed over for the next one.
    """
    settings = runtime.settings

    def claim(session: Session) -> tuple[Job, float] | None:
        while (job_id := leases.held_by(session, owner) or next_job(session, fingerprint)) is not None:
            sent = time.monotonic()
            job = leases.claim(session, job_id, owner, settings.job_lease_seconds, settings.job_attempts, fingerprint)
            if job is not None:
                return job, sent
        return None

    return with_retries(runtime.sessions, claim)


def _ending(job_id: str, owner: str, error: Exception) -> Callable[[Session], None]:
    """The write that ends, cancels or releases the job after `error`."""
    if isinstance(error, LeaseLost):
        logger.warning("job %s is another worker's or was out of reach for too long; this worker leaves it", job_id)
        return lambda session: leases.release(session, owner)
    if isinstance(error, Cancelled):
        return lambda session: leases.cancel(session, job_id, owner)
    if not isinstance(error, SaftError):
        logger.error("job %s failed", job_id, exc_info=error)
        error = TrainingFailed("the training failed for a reason that is our fault; it is in the log")
    told = error
    return lambda session: leases.fail(session, job_id, owner, told)


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

    def check_lease() -> None:
        lease.flush()  # so that the row has the curve up to where the next attempt goes on
        lease.check()

    checkpoints = JobCheckpoints(runtime.checkpoints, job.id, job.attempt, interval, check_lease)
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


def _finish(runtime: Runtime, job: Job, owner: str, make_result: Callable[[], leases.Result]) -> None:
    """Write the adapter and end the job, in one transaction.

    The database decides whether the lease is still this worker's, so the write may be retried beyond its end.
    """

    def finish(session: Session) -> bool:
        return leases.finish(session, job.id, owner, make_result())

    if with_retries(runtime.sessions, finish):
        runtime.checkpoints.delete(job.id)


def _result(runtime: Runtime, job: Job, adaptation: Adaptation, decision: Decision, embeddings: bytes) -> leases.Result:
    adapter = adapters.row_of(
        job.name,
        adaptation.header,
        nnz=len(adaptation.delta),
        delta_bytes=len(adaptation.container),
        strength=adaptation.strength,
        calibration=adaptation.calibration.as_metrics(),
        metrics=adaptation.metrics | decision.metrics,
        blocks=runtime.base.count_by_block(adaptation.delta.indices),
    )
    return leases.Result(
        adapter,
        adaptation.container,
        mistakes=[_mistake(job, mistake) for mistake in adaptation.mistakes],
        answers=adaptation.answers,
        class_embeddings=embeddings,
        publish=decision.publish,
        compared_with=decision.compared_with,
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
    """The loss curve of a job, of at most CURVE_POINTS points: the first, the last, and every n-th step between them.

    points: [step, loss] of earlier attempts. Steps that are trained again replace them.
    """

    def __init__(self, points: Sequence[Sequence[float]] = ()) -> None:
        self._points = [(int(step), loss) for step, loss in points]
        self._stride = 1

    @property
    def points(self) -> list[tuple[int, float]]:
        """(step, loss) in the order of the steps."""
        return list(self._points)

    def add(self, step: int, loss: float | None) -> None:
        """Add the loss after `step`; None and a repeated point change nothing."""
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
