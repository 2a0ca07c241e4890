"""POST /adapters and retrain: they queue the job that trains an adapter or its next version. The worker trains."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api import checks
from api.authenticated import TenantRoute
from api.deps import Tenancy, TenancyDep
from api.idempotency import IdempotencyDep, TenantIdempotency, created
from api.routes.jobs import job_view
from api.schemas.training import AdapterBody, JobView, RetrainBody, TrainingBody
from api.services import Services
from saft_core.clip.class_names import same_class
from saft_core.clip.labels import check_labels
from saft_core.errors import Conflict, InvalidConfig
from saft_core.store import adapters, datasets, jobs, messages
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Adapter, Dataset, Job
from saft_core.store.scope import Scope

router = APIRouter(prefix="/adapters", tags=["adapters"], route_class=TenantRoute)
logger = logging.getLogger(__name__)

RETRAIN = RetrainBody()


@router.post("", status_code=202, response_model=JobView)
def create_adapter(body: AdapterBody, tenancy: TenancyDep, idempotency: IdempotencyDep) -> JSONResponse:
    """Queue a fine-tune. The job that is answered tells how it goes; at its end stands the adapter.

    Under the name of an adapter it makes the next version, which answers the name from then on: always (`auto`), only
    if it gets more of the same images right than the version before (`if_better`), or when you publish it (`manual`).
    """
    name = checks.adapter_name(body.name, tenancy.services.limits)
    given = body.model_dump(include={"dataset_id", "test_dataset_id", "publish"})
    job = job_of(tenancy.services, body.config, name=name, **given)
    return _queue(tenancy, idempotency, body, lambda _: job)


@router.post("/{adapter_id}/retrain", status_code=202, response_model=JobView)
def retrain_adapter(
    adapter_id: str, tenancy: TenancyDep, idempotency: IdempotencyDep, body: RetrainBody = RETRAIN
) -> JSONResponse:
    """Queue a fine-tune of the next version on the base of this service, from the same datasets.

    The configuration is what was asked for the first time, over the defaults of this base.
    """

    def order(scope: Scope) -> Job:
        before = _job_of(scope, adapters.find(scope, adapter_id))
        same = {column: getattr(before, column) for column in ("name", "dataset_id", "test_dataset_id")}
        asked = TrainingBody.model_validate(_asked(before, tenancy.services))
        return job_of(tenancy.services, asked, **same, publish=body.publish)

    return _queue(tenancy, idempotency, body, order)


def _job_of(scope: Scope, adapter: Adapter) -> Job:
    """The job that trained it, whose dataset is still there. Raises Conflict."""
    if adapter.job_id is None:
        raise Conflict("this adapter was imported, so there is nothing to train it on; order one with POST /adapters")
    job = scope.get(Job, adapter.job_id)
    if job.dataset_id is None:
        raise Conflict("the dataset of this adapter was deleted; upload it and order a version with POST /adapters")
    return job


def _asked(job: Job, services: Services) -> dict[str, Any]:
    """The configuration that the caller gave; of an old row without it, all of it if the base is the same."""
    if job.asked is not None:
        return job.asked
    same_base = job.base_fingerprint == services.engine.base.fingerprint
    return {name: job.config[name] for name in TrainingBody.model_fields if same_base and name in job.config}


def _queue(
    tenancy: Tenancy, idempotency: TenantIdempotency, body: BaseModel, order: Callable[[Scope], Job]
) -> JSONResponse:
    """The response with the job that `order` makes, checked, written once and published to the workers."""
    services = tenancy.services

    def work(scope: Scope) -> StoredAnswer:
        job = queued(scope, services, order(scope))
        return created(job_view(scope, job), f"/jobs/{job.id}", 202)

    made = idempotency.once(body, work)
    if not made.replayed:
        send(services, made.id)
    return made.response()


def queued(scope: Scope, services: Services, job: Job) -> Job:
    """The job, validated and written; `send` publishes it after the commit."""
    labels = _check_datasets(scope, job.dataset_id or "", job.test_dataset_id)
    check_labels(services.engine.base, labels, job.config["template"], "classes")
    job.base_fingerprint = services.engine.base.fingerprint
    return jobs.create(scope, job)


def job_of(services: Services, asked: TrainingBody, **columns: Any) -> Job:
    """A job with this configuration, not written yet; columns: all others. Raises InvalidConfig."""
    said = asked.model_dump(exclude_unset=True, exclude_none=True)
    return Job(config=training_config(asked, services), asked=said, **columns)


def training_config(body: TrainingBody, services: Services) -> dict[str, Any]:
    """The complete configuration: the caller's fields over the base's defaults. Raises InvalidConfig."""
    defaults = services.engine.base.defaults
    config: dict[str, Any] = vars(defaults) | body.model_dump(exclude_none=True)
    config["template"] = checks.template(config["template"], services.limits)
    _check_bound("density", config["density"], services.limits.max_density, "max_density")
    _check_bound("epochs", config["epochs"], services.limits.max_epochs, "max_epochs")
    if int(config["density"] * services.engine.base.parameter_count) < 1:
        count = services.engine.base.parameter_count
        raise InvalidConfig(f"density: {config['density']} selects none of the base's {count} parameters; raise it")
    return config


def _check_bound(field: str, value: float, bound: float, limit: str) -> None:
    if value > bound:
        raise InvalidConfig(f"{field}: {value} is above {bound} ({limit})")


def _check_datasets(scope: Scope, dataset_id: str, test_dataset_id: str | None) -> list[str]:
    """The labels, those that are only tested behind those that are trained.

    Both datasets must be the tenant's, and the test set needs images of its own.
    """
    trained = [entry["name"] for entry in scope.get(Dataset, dataset_id, lock=True).classes]
    if test_dataset_id is None:
        return trained
    test = scope.get(Dataset, test_dataset_id, lock=True)
    tested = [entry["name"] for entry in test.classes]
    unshared = datasets.count_unshared(scope, test.id, dataset_id)
    datasets.check_unshared(test.image_count, unshared, len(tested))
    means = same_class(tested, trained)
    return trained + [label for label in tested if means[label] not in trained]


def send(services: Services, job_id: str) -> None:
    """Publish the job to the workers, after the commit. If that fails, the sweeper publishes it later."""
    try:
        services.publish(job_id)
        with services.sessions.begin() as session:
            messages.mark_sent(session, [job_id])
    except Exception:
        logger.warning("job %s could not be published; the sweeper will", job_id, exc_info=True)
