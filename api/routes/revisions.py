"""POST /datasets/{dataset_id}/revisions: a new dataset that shares the image files of another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api import checks
from api.authenticated import TenantRoute, check_json
from api.body_limits import is_multipart
from api.deps import Tenancy, TenancyDep
from api.forms import Form, body_docs, handle, in_turn
from api.idempotency import IdempotencyDep, TenantIdempotency
from api.routes.datasets import UPLOAD_FILES, items, labelled_set, write_dataset
from api.schemas.datasets import NewDatasetView, RevisionBody
from api.uploads import create_from_files
from saft_core.data.intake import Save
from saft_core.data.label_formats.upload import checked_label
from saft_core.data.labelled import LabelledImage, LabelledSet
from saft_core.data.limits import DataLimits
from saft_core.errors import InvalidInput
from saft_core.store import adoption, datasets, quotas
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.images import Upload
from saft_core.store.models import Dataset, DatasetImage
from saft_core.store.scope import Scope

router = APIRouter(prefix="/datasets", tags=["datasets"], route_class=TenantRoute)

FIELDS = {"changes", "files", "archive"}
CHANGES = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {"$ref": "#/components/schemas/RevisionBody"},
    "description": "The JSON of the other form.",
}
DOCS = body_docs("RevisionBody", changes=CHANGES, **UPLOAD_FILES)


@router.post("/{dataset_id}/revisions", status_code=201, response_model=NewDatasetView, openapi_extra=DOCS)
async def create_revision(
    dataset_id: str, request: Request, tenancy: TenancyDep, idempotency: IdempotencyDep
) -> JSONResponse:
    """Make a dataset of another one: without images, with other labels, or with more images (in a form).

    Nothing is uploaded again, and the other one stays as it is. The rules of an upload hold for the result.
    """
    services = tenancy.services
    if is_multipart(request.headers.get("content-type", "")):
        return await handle(request, services, lambda form: _from_form(tenancy, dataset_id, form, idempotency))
    check_json(request.headers.get("content-type", ""))
    content = await request.body()
    with services.uploads.acquired(tenancy.tenant_id):
        return await in_turn(services, tenancy.tenant_id, _from_json, tenancy, dataset_id, content, idempotency)


def _from_json(tenancy: Tenancy, dataset_id: str, content: bytes, idempotency: TenantIdempotency) -> JSONResponse:
    body = RevisionBody.of_json(content)
    return _create(tenancy, dataset_id, body, None, body.model_dump_json().encode(), idempotency)


def _from_form(tenancy: Tenancy, dataset_id: str, form: Form, idempotency: TenantIdempotency) -> JSONResponse:
    if form.files("changes"):
        raise InvalidInput("changes: send it as text, without a filename (curl: -F 'changes=<file.json')")
    if len(form.texts("changes")) > 1:
        raise InvalidInput("changes: send it once, with all that changes")
    if unknown := form.names() - FIELDS:
        raise InvalidInput(f"{min(unknown)}: the form takes {', '.join(sorted(FIELDS))}; a name goes into changes")
    body = RevisionBody.of_json((form.text("changes") or "{}").encode())
    has_files = bool(form.files("files") or form.files("archive"))
    return _create(tenancy, dataset_id, body, form if has_files else None, form.digest(), idempotency)


def _create(
    tenancy: Tenancy,
    dataset_id: str,
    body: RevisionBody,
    form: Form | None,
    digest: bytes,
    idempotency: TenantIdempotency,
) -> JSONResponse:
    services = tenancy.services
    if body.name is not None:
        checks.name(body.name, services.limits)
    if not (body.remove or body.relabel or form):
        raise InvalidInput("remove, relabel, files, archive: give at least one of them, for there is nothing to change")

    def check(scope: Scope) -> None:
        scope.get(Dataset, dataset_id)
        quotas.admit(scope)

    def take(save: Save) -> LabelledSet:
        base = revised(_images(tenancy, dataset_id), body, services.data_limits)
        return labelled_set(tenancy, items(tenancy, form) if form else (), save, base)

    def write(scope: Scope, upload: Upload, found: LabelledSet) -> StoredAnswer:
        source = scope.hold(Dataset, dataset_id)  # so its images stay until the revision has them too
        name = checks.name(source.name if body.name is None else body.name, services.limits)
        return write_dataset(scope, upload, name, found, services.limits, revision_of=dataset_id)

    return create_from_files(tenancy, idempotency, digest, check, take, write)


def _images(tenancy: Tenancy, dataset_id: str) -> Sequence[DatasetImage]:
    """The images of the dataset, all of them where a revision of it finds them."""
    services = tenancy.services
    adoption.adopt(services.sessions, services.blobs, DatasetImage, tenancy.tenant_id, dataset_id)
    with tenancy.begin() as scope:
        return datasets.load(scope, dataset_id)[1]


def revised(images: Sequence[DatasetImage], body: RevisionBody, limits: DataLimits) -> list[LabelledImage]:
    """The images of a dataset without those that are removed, the others with their new labels. Raises InvalidInput."""
    removed_at = ((f"remove[{n}]", position) for n, position in enumerate(body.remove))
    relabelled_at = ((f"relabel[{n}].position", one.position) for n, one in enumerate(body.relabel))
    _check_positions(chain(removed_at, relabelled_at), {image.position for image in images})
    removed = set(body.remove)
    labels = {one.position: _label(n, one.label, limits) for n, one in enumerate(body.relabel)}
    kept = (
        LabelledImage(image.position, image.label, image.path, image.sha256, image.media_type)
        for image in images
        if image.position not in removed
    )
    return [replace(image, label=labels.get(image.position, image.label)) for image in kept]


def _check_positions(named_by: Iterable[tuple[str, int]], present: set[int]) -> None:
    """Raise InvalidInput unless each field names an image of the dataset, and no two the same."""
    named: dict[int, str] = {}
    for field, position in named_by:
        if position not in present:
            raise InvalidInput(f"{field}: the dataset has no image {position}")
        if (before := named.setdefault(position, field)) != field:
            raise InvalidInput(f"{field}: image {position} is named by {before} already; name it once")


def _label(number: int, label: str, limits: DataLimits) -> str:
    try:
        return checked_label(label, limits)
    except InvalidInput as error:
        raise InvalidInput(f"relabel[{number}].label: {error.message}", code=error.error_code) from error
