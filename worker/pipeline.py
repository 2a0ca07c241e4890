"""One job from claim to result: plain functions, no Celery."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from saft_core.data.limits import DataLimits
from saft_core.data.samples import Sample
from saft_core.data.splits import stratified_split
from saft_core.errors import Cancelled, NotFound, SaftError, TrainingFailed
from saft_core.store import datasets, jobs
from saft_core.store.blobs import BlobStore
from saft_core.store.models import Adapter, DatasetImage, Job
from saft_core.store.scope import Scope
from saft_core.tuning.adapt import Adaptation, Task, adapt
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.progress import Progress
from worker.checkpoints import JobCheckpoints
from worker.lease import Lease, LeaseLost

if TYPE_CHECKING:
    from worker.runtime import Runtime

HELD_OUT_SHARE = 0.2
CURVE_POINTS = 200

logger = logging.getLogger(__name__)


def run_job(runtime: Runtime, job_id: str) -> None:
    """Train the job unless it has ended or another worker holds it. Whatever goes wrong ends up in the job's row."""
    lease_seconds = runtime.settings.job_lease_seconds
    with runtime.sessions.begin() as session:
        job = jobs.claim(session, job_id, runtime.owner, lease_seconds, runtime.settings.job_attempts)
    if job is None:
        return
    try:
        with Lease(runtime.sessions, job_id, runtime.owner, lease_seconds) as lease:
            adaptation = _adapt(runtime, job, lease)
            lease.flush()
            lease.check()
        _finish(runtime, job, adaptation)
    except LeaseLost:
        logger.warning("job %s was taken over by another worker", job_id)
    except Cancelled:
        with runtime.sessions.begin() as session:
            jobs.cancel(session, job_id, runtime.owner)
    except SaftError as error:
        _fail(runtime, job_id, error)
    except Exception:
        logger.exception("job %s failed", job_id)
        _fail(runtime, job_id, TrainingFailed("the training failed for a reason that is our fault; it is in the log"))


def _adapt(runtime: Runtime, job: Job, lease: Lease) -> Adaptation:
    lease.report(phase="preparing", progress=0.0)
    task = load_task(runtime, job)
    curve = LossCurve()

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
        )

    limits = DataLimits.from_attributes(runtime.settings.limits)
    interval = runtime.settings.checkpoint_interval_seconds
    checkpoints = JobCheckpoints(runtime.checkpoints, job.id, interval, lease.check)
    return adapt(runtime.base, task, TrainingConfig(**job.config), limits, observe, checkpoints)


def _finish(runtime: Runtime, job: Job, adaptation: Adaptation) -> None:
    """Publish the adapter and end the job in one transaction: there is never one without the other."""
    header = adaptation.header
    adapter = Adapter(
        name=job.name,
        classes=list(header.classes),
        template=header.template,
        density=header.density,
        nnz=len(adaptation.delta),
        delta_bytes=len(adaptation.container),
        base=header.base_name,
        base_fingerprint=header.base_fingerprint,
        metrics=adaptation.metrics,
        blocks=runtime.base.count_by_block(adaptation.delta.indices),
    )
    with runtime.sessions.begin() as session:
        finished = jobs.finish(session, job.id, runtime.owner, adapter, adaptation.container, adaptation.metrics)
    if finished:
        runtime.checkpoints.delete(job.id)


def _fail(runtime: Runtime, job_id: str, error: SaftError) -> None:
    with runtime.sessions.begin() as session:
        jobs.fail(session, job_id, runtime.owner, error)


def load_task(runtime: Runtime, job: Job) -> Task:
    """The samples of the job's datasets. Without a test dataset a fifth of each class is held out from training."""
    labels, samples = _samples(runtime, job, job.dataset_id, None)
    if job.test_dataset_id is not None:
        _, test = _samples(runtime, job, job.test_dataset_id, labels)
        return Task(labels, samples, test, "test dataset")
    seed = int(job.config["seed"])
    kept, held_out = stratified_split([sample.label for sample in samples], HELD_OUT_SHARE, seed)
    evaluated_on = "held-out split" if held_out else None
    return Task(labels, [samples[i] for i in kept], [samples[i] for i in held_out], evaluated_on)


def _samples(
    runtime: Runtime, job: Job, dataset_id: str | None, labels: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[Sample]]:
    """A dataset's labels (or the given ones, in their order) and its samples, with bytes read when asked for."""
    if dataset_id is None:
        raise NotFound("the dataset of this job was deleted")
    with runtime.sessions.begin() as session:
        scope = Scope(session, job.tenant_id)
        dataset, images = datasets.load(scope, dataset_id)
    labels = labels or tuple(entry["name"] for entry in dataset.classes)
    index = {label: position for position, label in enumerate(labels)}
    return labels, [Sample(index[image.label], image.path, _reader(runtime.blobs, image)) for image in images]


def _reader(blobs: BlobStore, image: DatasetImage) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return blobs.get(image.dataset_id, image.sha256)
        except NotFound as error:
            raise TrainingFailed(
                f"the file of {image.path} in dataset {image.dataset_id} is gone; upload the dataset again"
            ) from error

    return read


class LossCurve:
    """The losses so far, thinned to CURVE_POINTS by dropping every other point when full."""

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []
        self._stride = 1

    def add(self, step: int, loss: float | None) -> None:
        """Keep the loss of `step` if the stride asks for it."""
        if loss is None or step % self._stride or (self.points and self.points[-1][0] == step):
            return
        self.points.append((step, loss))
        if len(self.points) > CURVE_POINTS:
            self._stride *= 2
            self.points = [point for point in self.points if point[0] % self._stride == 0]
