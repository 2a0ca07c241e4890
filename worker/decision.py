"""Whether the version that a job made is to answer its name: "if_better" compares it with the one that does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from saft_core.clip.class_names import same_class
from saft_core.comparison import Answered, in_common, measured, renamed
from saft_core.data.samples import Sample
from saft_core.delta import decode
from saft_core.store import adapters
from saft_core.store.models import Adapter, Job, Publish
from saft_core.store.scope import Scope
from saft_core.tuning.adapt import Adaptation
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.predictions import predict
from saft_core.tuning.training_sets import TrainingSets
from worker.persistence import persistently

if TYPE_CHECKING:
    from worker.runtime import Runtime


@dataclass(frozen=True)
class Decision:
    """Whether a version is published.

    metrics: how it compares with the one before, if it was asked. only_over: as in `jobs.Result`, who that one is.
    """

    publishes: bool
    metrics: dict[str, Any] = field(default_factory=dict)
    only_over: tuple[str | None] | None = None


@dataclass(frozen=True)
class _Rival:
    """The version that answers the name."""

    adapter: Adapter
    container: bytes
    answers: dict[str, Answered]


def decide(
    runtime: Runtime,
    job: Job,
    task: TrainingSets,
    adaptation: Adaptation,
    between_tries: Callable[[], None] = lambda: None,
) -> Decision:
    """Compare where the job asks for it: better is who gets more of the same images right.

    A version of another base cannot answer here any more, so anything is better.

    between_tries: called while the database is away, and between batches; what it raises ends the comparing.
    """
    if job.publish != Publish.IF_BETTER:
        return Decision(job.publish == Publish.AUTO)
    rival = persistently(runtime.sessions, lambda session: _rival(session, job), between_tries)
    if rival is None:
        return Decision(publishes=True, only_over=(None,))
    only_over = (rival.adapter.id,)
    if rival.adapter.base_fingerprint != runtime.base.fingerprint:
        return Decision(publishes=True, only_over=only_over)
    theirs = rival.answers | _answered_now(runtime, job, task, adaptation, rival, between_tries)
    found = in_common(adaptation.answers, renamed(theirs, same_class(rival.adapter.classes, task.labels)))
    told = found.as_metrics() | {"with_adapter": rival.adapter.id, "with_version": rival.adapter.version}
    return Decision(found.right > found.other_right, {"comparison": told}, only_over)


def _rival(session: Session, job: Job) -> _Rival | None:
    scope = Scope(session, job.tenant_id)
    adapter = adapters.published(scope, job.name)
    if adapter is None:
        return None
    return _Rival(adapter, adapters.container(scope, adapter.id), adapters.answers(scope, adapter.id))


def _answered_now(
    runtime: Runtime,
    job: Job,
    task: TrainingSets,
    adaptation: Adaptation,
    rival: _Rival,
    between: Callable[[], None],
) -> dict[str, Answered]:
    """What the rival says of measured images that its own training did not have."""
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
