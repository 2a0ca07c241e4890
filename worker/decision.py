"""Whether the version that a job trained is published: "if_better" compares it with the published version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from saft_core.clip.class_names import same_class
from saft_core.comparison import Answered, in_common, measured, renamed
from saft_core.data.samples import Sample
from saft_core.delta import decode
from saft_core.store import adapters, deltas
from saft_core.store.leases import Compared
from saft_core.store.models import Adapter, Job, Publish
from saft_core.store.scope import Scope
from saft_core.tuning.adapt import Adaptation
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.predictions import predict
from saft_core.tuning.training_sets import TrainingSets
from worker.database_retries import with_retries
from worker.runtime import Runtime


@dataclass(frozen=True)
class Decision:
    """Whether a version is published.

    metrics: the comparison with the published version, where the job asks for one. compared_with: as in
    `leases.Result`.
    """

    publish: bool
    metrics: dict[str, Any] = field(default_factory=dict)
    compared_with: Compared | None = None


@dataclass(frozen=True)
class _Rival:
    """The published version, with its container and its stored predictions."""

    adapter: Adapter
    container: bytes
    answers: dict[str, Answered]


def decide(
    runtime: Runtime,
    job: Job,
    task: TrainingSets,
    adaptation: Adaptation,
    before_retry: Callable[[], None] = lambda: None,
) -> Decision:
    """Whether to publish, after a comparison if the job asks for one: more of the same images right is better.

    A published version of another base cannot be used here any more, so any new version is better.

    before_retry: called before each retry while the database is away, and between batches; an exception that it raises
    ends the comparison.
    """
    if job.publish != Publish.IF_BETTER:
        return Decision(job.publish == Publish.AUTO)
    rival = with_retries(runtime.sessions, lambda session: _rival(session, job), before_retry)
    if rival is None:
        return Decision(publish=True, compared_with=Compared(None))
    compared_with = Compared(rival.adapter.id)
    if rival.adapter.base_fingerprint != runtime.base.fingerprint:
        return Decision(publish=True, compared_with=compared_with)
    theirs = rival.answers | _answered_now(runtime, job, task, adaptation, rival, before_retry)
    found = in_common(adaptation.answers, renamed(theirs, same_class(rival.adapter.classes, task.labels)))
    told = found.as_metrics() | {"with_adapter": rival.adapter.id, "with_version": rival.adapter.version}
    return Decision(found.right > found.other_right, {"comparison": told}, compared_with)


def _rival(session: Session, job: Job) -> _Rival | None:
    scope = Scope(session, job.tenant_id)
    adapter = adapters.published(scope, job.name)
    if adapter is None:
        return None
    return _Rival(adapter, deltas.container(scope, adapter.id), adapters.answers(scope, adapter.id))


def _answered_now(
    runtime: Runtime,
    job: Job,
    task: TrainingSets,
    adaptation: Adaptation,
    rival: _Rival,
    between: Callable[[], None],
) -> dict[str, Answered]:
    """The published version's predictions of measured images for which it has none stored."""
    unknown = {image: told for image, told in measured(adaptation.answers).items() if image not in rival.answers}
    samples = _samples(task, unknown)
    if not samples:
        return {}
    delta, _ = decode(rival.container, max_bytes=len(rival.container))
    config = TrainingConfig.read(job.config)
    labels, template, strength = rival.adapter.classes, rival.adapter.template, rival.adapter.strength
    said = predict(
        runtime.base,
        list(samples.values()),
        labels,
        template,
        delta,
        strength,
        runtime.data_limits,
        config.batch_size,
        between,
    )
    return {
        image: Answered("test", unknown[image].label, prediction)
        for image, prediction in zip(samples, said, strict=True)
    }


def _samples(task: TrainingSets, images: dict[str, Answered]) -> dict[str, Sample]:
    found = {sample.content(): sample for sample in (*task.test, *task.train)}
    return {image: found[image] for image in images}
