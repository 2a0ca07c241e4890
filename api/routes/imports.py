"""POST /adapters/import: an adapter that was trained elsewhere, from its delta container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api import checks
from api.authenticated import TenantRoute
from api.deps import Tenancy, TenancyDep
from api.forms import MULTIPART_SCHEMA, Form, body_docs, handle, read_within
from api.idempotency import IdempotencyDep, TenantIdempotency, created
from api.resolve import check_base
from api.schemas.adapters import AdapterView
from api.services import Services
from saft_core.calibration import Calibration
from saft_core.clip.labels import check_labels
from saft_core.delta import DeltaHeader, SparseDelta, decode
from saft_core.errors import InvalidDelta, InvalidInput
from saft_core.settings import Limits
from saft_core.store import adapters, quotas
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Adapter, Publish
from saft_core.store.scope import Scope

router = APIRouter(prefix="/adapters", tags=["adapters"], route_class=TenantRoute)

IMPORT_DOCS = body_docs(
    name={"type": "string"}, publish={"type": "string", "enum": ["auto", "manual"]}, file=MULTIPART_SCHEMA
)


@router.post("/import", status_code=201, response_model=AdapterView, openapi_extra=IMPORT_DOCS)
async def import_adapter(request: Request, tenancy: TenancyDep, idempotency: IdempotencyDep) -> JSONResponse:
    """Bring in a delta container that was made for the same base.

    Under the name of an adapter it becomes the next version, published unless `publish` is `manual`.
    """
    return await handle(request, tenancy.services, lambda upload: _import(tenancy, upload, idempotency))


def _import(tenancy: Tenancy, upload: Form, idempotency: TenantIdempotency) -> JSONResponse:
    services = tenancy.services
    files = upload.files("file")
    if len(files) != 1:
        raise InvalidInput("file: send one delta container")
    container = read_within(files[0], services.limits.max_delta_bytes, "max_delta_bytes")
    delta, header = read_container(services, container)
    name = checks.adapter_name(upload.text("name") or files[0].filename.removesuffix(".saft"), services.limits)
    publishes = _publishes(upload.text("publish"))

    def work(scope: Scope) -> StoredAnswer:
        quotas.admit(scope, adapters=1, storage_bytes=len(container))
        adapter = adapters.add(scope, adapter_row(services, name, delta, header, len(container)), container)
        if publishes:
            adapters.publish(scope, adapter)
        adapters.drop_oldest(scope, name, services.limits.max_adapter_versions)
        return created(AdapterView.model_validate(adapter), f"/adapters/{adapter.id}")

    return idempotency.once(upload.digest(), work).response()


def read_container(services: Services, container: bytes) -> tuple[SparseDelta, DeltaHeader]:
    """The delta and header of a container for this base. Raises InvalidDelta, BaseMismatch and InvalidInput."""
    delta, header = decode(container, max_bytes=services.limits.max_delta_bytes)
    _check_header(header, services)
    return delta, header


def _publishes(publish: str | None) -> bool:
    """Raises InvalidInput for what cannot be: no images of ours tell whether what is brought in is better."""
    if publish not in (None, Publish.AUTO, Publish.MANUAL):
        raise InvalidInput("publish: say auto, which is the default, or manual")
    return publish != Publish.MANUAL


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
    """The calibration in a container's metrics. Raises InvalidDelta if it is invalid."""
    try:
        return Calibration.of_metrics(metrics).as_metrics()
    except ValueError as error:
        raise InvalidDelta(f"the delta's header: metrics.{error}") from error


def _check_accuracy(metrics: Mapping[str, Any]) -> None:
    """Raise InvalidDelta unless the accuracies that lists of adapters show are numbers from 0 to 1."""
    for name in ("accuracy", "zero_shot_accuracy"):
        if metrics.get(name) is not None:
            _share(metrics[name], name)


def _share(stated: Any, name: str) -> float:
    """A number from 0 to 1 in a container's metrics. Raises InvalidDelta if it is none."""
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not 0 <= stated <= 1:
        raise InvalidDelta(f"the delta's header: metrics.{name} must be a number from 0 to 1")
    return float(stated) + 0.0  # no negative zero


def adapter_row(
    services: Services, name: str, delta: SparseDelta, header: DeltaHeader, container_bytes: int
) -> Adapter:
    """The row of an imported adapter. Raises InvalidDelta for an invalid strength or calibration in the header."""
    return adapters.row_of(
        name,
        header,
        nnz=len(delta),
        delta_bytes=container_bytes,
        strength=_share(header.metrics.get("strength", 1.0), "strength"),
        calibration=_calibration(header.metrics),
        metrics=header.metrics,
        blocks=services.engine.base.count_by_block(delta.indices),
    )
