"""Adapters: order one (a job), look, take away, bring in, delete."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api import checks
from api.creation import created, fingerprint, once, respond
from api.deps import IdempotencyKey, PagingDep, Tenancy, TenancyDep
from api.keyed import TenantRoute
from api.schemas import AdapterBody, AdapterView, JobView, MistakeView, Page, TrainingBody
from api.services import Services
from api.uploads import MULTIPART_SCHEMA, Form, handle, multipart_docs, read_within
from saft_core.calibration import Calibration
from saft_core.clip.class_names import same_class
from saft_core.clip.labels import check_labels
from saft_core.delta import DeltaHeader, SparseDelta, decode
from saft_core.errors import BaseMismatch, InvalidConfig, InvalidDelta, InvalidInput
from saft_core.settings import Limits
from saft_core.store import adapters, datasets, jobs, quotas
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Adapter, Dataset, Job
from saft_core.store.scope import Scope

router = APIRouter(prefix="/adapters", tags=["adapters"], route_class=TenantRoute)
logger = logging.getLogger(__name__)

IMPORT_DOCS = multipart_docs(name={"type": "string"}, file=MULTIPART_SCHEMA)


@router.post("", status_code=202, response_model=JobView)
def create_adapter(body: AdapterBody, tenancy: TenancyDep, idempotency_key: IdempotencyKey = None) -> JSONResponse:
    """Queue a fine-tune. The job that is answered tells how it goes; at its end stands the adapter."""
    services = tenancy.services
    name = checks.adapter_name(body.name, services.limits)
    config = training_config(body.config, services)

    def work(session: Session) -> StoredAnswer:
        scope = tenancy.scope(session)
        labels = _check_datasets(scope, body)
        check_labels(services.engine.base, labels, config["template"], "classes")
        job = jobs.create(
            scope,
            Job(
                name=name,
                dataset_id=body.dataset_id,
                test_dataset_id=body.test_dataset_id,
                config=config,
                base_fingerprint=services.engine.base.fingerprint,
            ),
        )
        return created(JobView.model_validate(job), f"/jobs/{job.id}", 202)

    request_sha256 = fingerprint("POST /adapters", body)
    answer, replayed = once(services.sessions, tenancy.tenant_id, idempotency_key, request_sha256, work)
    if not replayed:
        _publish(services, str(answer.body["id"]))
    return respond(answer, replayed)


def training_config(body: TrainingBody, services: Services) -> dict[str, Any]:
    """The complete configuration: what the caller says over what the base says. Raises InvalidConfig."""
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


def _check_datasets(scope: Scope, body: AdapterBody) -> list[str]:
    """The labels, those that are only tested behind those that are trained.

    Both datasets must be the tenant's, and the test set needs images of its own.
    """
    trained = [entry["name"] for entry in scope.get(Dataset, body.dataset_id, lock=True).classes]
    if body.test_dataset_id is None:
        return trained
    test = scope.get(Dataset, body.test_dataset_id, lock=True)
    tested = [entry["name"] for entry in test.classes]
    unshared = datasets.count_unshared(scope, test.id, body.dataset_id)
    datasets.check_unshared(test.image_count, unshared, len(tested))
    means = same_class(tested, trained)
    return trained + [label for label in tested if means[label] not in trained]


def _publish(services: Services, job_id: str) -> None:
    """Tell the workers, after the commit. The job is safe without it: the sweeper publishes what was not."""
    try:
        services.publish(job_id)
        with services.sessions.begin() as session:
            jobs.mark_published(session, [job_id])
    except Exception:
        logger.warning("job %s could not be published; the sweeper will", job_id, exc_info=True)


@router.post("/import", status_code=201, response_model=AdapterView, openapi_extra=IMPORT_DOCS)
async def import_adapter(request: Request, tenancy: TenancyDep, idempotency_key: IdempotencyKey = None) -> JSONResponse:
    """Bring in a delta container that was made for the same base."""
    return await handle(request, tenancy.services, lambda upload: _import(tenancy, upload, idempotency_key))


def _import(tenancy: Tenancy, upload: Form, idempotency_key: str | None) -> JSONResponse:
    services = tenancy.services
    files = upload.files("file")
    if len(files) != 1:
        raise InvalidInput("file: send one delta container")
    container = read_within(files[0], services.limits.max_delta_bytes, "max_delta_bytes")
    delta, header = decode(container, max_bytes=services.limits.max_delta_bytes)
    _check_header(header, services)
    name = checks.adapter_name(upload.text("name") or files[0].filename.removesuffix(".saft"), services.limits)

    def work(session: Session) -> StoredAnswer:
        scope = tenancy.scope(session)
        jobs.reserve_name(scope, name)
        quotas.admit(scope, adapters=1, storage_bytes=len(container))
        adapter = adapters.add(scope, _adapter(services, name, delta, header, len(container)), container)
        return created(AdapterView.model_validate(adapter), f"/adapters/{adapter.id}")

    request_sha256 = fingerprint("POST /adapters/import", upload.digest())
    return respond(*once(services.sessions, tenancy.tenant_id, idempotency_key, request_sha256, work))


def _check_header(header: DeltaHeader, services: Services) -> None:
    """A container from outside must fit the base and obey the limits that our own adapters obey."""
    check_base(header.base_fingerprint, header.base_name, services)
    if header.parameter_count != services.engine.base.parameter_count:
        raise InvalidDelta("the delta's parameter count is not that of the base")
    _check_classes(header, services.limits)
    check_labels(services.engine.base, header.classes, header.template, "the delta's classes")
    _check_accuracy(header.metrics)


def _check_classes(header: DeltaHeader, limits: Limits) -> None:
    try:
        checks.template(header.template, limits)
        checks.labels(header.classes, limits)
    except InvalidInput as error:
        raise InvalidDelta(f"the delta's header: {error.message}") from error


def _calibration(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What a container states of its answers. Raises InvalidDelta if it is not what it may be."""
    try:
        return Calibration.of_metrics(metrics).as_metrics()
    except ValueError as error:
        raise InvalidDelta(f"the delta's header: metrics.{error}") from error


def check_base(fingerprint_of_base: str, name: str, services: Services) -> None:
    """Raises BaseMismatch when a delta was made for another base than the one that serves."""
    base = services.engine.base
    if fingerprint_of_base != base.fingerprint:
        raise BaseMismatch(
            f"the delta was made for base {name} ({fingerprint_of_base[:12]}), this service runs {base.name}"
            f" ({base.fingerprint[:12]}); set SAFT_BASE to the former, or fine-tune again"
        )


def _check_accuracy(metrics: Mapping[str, Any]) -> None:
    """What lists of adapters show. Raises InvalidDelta if it is no share."""
    for name in ("accuracy", "zero_shot_accuracy"):
        if metrics.get(name) is not None:
            _share(metrics[name], name)


def _share(stated: Any, name: str) -> float:
    """A share that a container states. Raises InvalidDelta if it is none."""
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not 0 <= stated <= 1:
        raise InvalidDelta(f"the delta's header: metrics.{name} must be a number from 0 to 1")
    return float(stated) + 0.0  # no negative zero


def _adapter(services: Services, name: str, delta: SparseDelta, header: DeltaHeader, container_bytes: int) -> Adapter:
    return Adapter(
        name=name,
        classes=list(header.classes),
        template=header.template,
        density=header.density,
        nnz=len(delta),
        delta_bytes=container_bytes,
        strength=_share(header.metrics.get("strength", 1.0), "strength"),
        calibration=_calibration(header.metrics),
        base=header.base_name,
        base_fingerprint=header.base_fingerprint,
        metrics=header.metrics,
        blocks=services.engine.base.count_by_block(delta.indices),
    )


@router.get("", response_model=Page[AdapterView])
def list_adapters(tenancy: TenancyDep, paging: PagingDep) -> object:
    """Your adapters, newest first."""
    with tenancy.begin() as scope:
        return scope.page(Adapter, paging.limit, paging.cursor)


@router.get("/{adapter_id}", response_model=AdapterView)
def get_adapter(adapter_id: str, tenancy: TenancyDep) -> object:
    """One adapter, by id or name."""
    with tenancy.begin() as scope:
        return adapters.find(scope, adapter_id)


@router.get("/{adapter_id}/mistakes", response_model=Page[MistakeView])
def list_mistakes(adapter_id: str, tenancy: TenancyDep, paging: PagingDep) -> object:
    """Images that the adapter gets wrong: of the test dataset, of those held out from training, and trained ones.

    An image held out is answered by the training that did not see it. `GET /datasets/{dataset_id}/images/{position}` is
    the image. The images of a dataset that was deleted are gone from the list; an imported adapter has none.
    """
    with tenancy.begin() as scope:
        adapter = adapters.find(scope, adapter_id, report=False)
        rows = adapters.mistakes(scope, adapter.id, paging.after, paging.limit + 1)
    items = [
        MistakeView(
            dataset_id=image.dataset_id,
            position=image.position,
            path=image.path,
            label=image.label,
            prediction=mistake.prediction,
            split=mistake.split,
        )
        for mistake, image in rows[: paging.limit]
    ]
    more = len(rows) > paging.limit
    return {"items": items, "next_cursor": str(rows[paging.limit - 1][0].place) if more else None}


@router.delete("/{adapter_id}", status_code=204)
def delete_adapter(adapter_id: str, tenancy: TenancyDep) -> None:
    """Delete an adapter. Its next request, on any replica, is answered with 404."""
    with tenancy.begin() as scope:
        scope.delete(adapters.find(scope, adapter_id))


@router.get("/{adapter_id}/delta", response_class=Response, responses={304: {"description": "Not modified."}})
def get_delta(
    adapter_id: str, tenancy: TenancyDep, if_none_match: Annotated[str | None, Header(max_length=8_000)] = None
) -> Response:
    """The delta container; docs/delta-format.md describes it."""
    with tenancy.begin() as scope:
        adapter = adapters.find(scope, adapter_id)
        container = adapters.container(scope, adapter.id)
    etag = f'"{hashlib.sha256(container).hexdigest()}"'
    if if_none_match == etag:
        return Response(status_code=304, headers={"ETag": etag})
    headers = {"Content-Disposition": f'attachment; filename="{adapter.id}.saft"', "ETag": etag}
    return Response(container, media_type="application/octet-stream", headers=headers)
