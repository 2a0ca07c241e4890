"""Datasets: upload, look, delete."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api import checks
from api.creation import already_done, created, fingerprint, once, respond
from api.deps import IdempotencyKey, PagingDep, Tenancy, TenancyDep
from api.keyed import TenantRoute
from api.pictures import picture, read_image
from api.schemas import DatasetImageView, DatasetView, Page
from api.uploads import MULTIPART_SCHEMA, Form, handle, multipart_docs
from saft_core.clip.labels import check_labels
from saft_core.data.archive import read_archive
from saft_core.data.entries import Entry, Item
from saft_core.data.labelled import LabelledSet, collect
from saft_core.errors import InvalidInput, SaftError
from saft_core.store import datasets, quotas
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Dataset, DatasetImage, new_id
from saft_core.store.scope import Scope
from saft_core.templates import PLACEHOLDER

router = APIRouter(prefix="/datasets", tags=["datasets"], route_class=TenantRoute)

UPLOAD_DOCS = multipart_docs(
    name={"type": "string"},
    archive=MULTIPART_SCHEMA | {"description": "A zip file with one folder per class."},
    files={"type": "array", "items": MULTIPART_SCHEMA, "description": "Files named class/file."},
)


@router.post("", status_code=201, response_model=DatasetView, openapi_extra=UPLOAD_DOCS)
async def create_dataset(request: Request, tenancy: TenancyDep, idempotency_key: IdempotencyKey = None) -> JSONResponse:
    """Upload a labelled image set: a zip as `archive`, or repeated `files` named class/file."""
    return await handle(request, tenancy.services, lambda upload: _create(tenancy, upload, idempotency_key))


def _create(tenancy: Tenancy, upload: Form, idempotency_key: str | None) -> JSONResponse:
    services = tenancy.services
    name = checks.name(upload.text("name"), services.limits)
    request_sha256 = fingerprint("POST /datasets", upload.digest())
    before = already_done(services.sessions, tenancy.tenant_id, idempotency_key, request_sha256)
    if before is not None:
        return respond(before, replayed=True)
    with tenancy.begin() as scope:
        quotas.admit(scope, images=1)  # before the work that would be for nothing; the lot is counted at the end
    dataset_id = new_id("ds")
    found, size_bytes = _collect(tenancy, upload, dataset_id)

    def work(session: Session) -> StoredAnswer:
        dataset = _add(tenancy.scope(session), dataset_id, name, found, size_bytes)
        return created(DatasetView.model_validate(dataset), f"/datasets/{dataset_id}")

    # After a failed commit nobody knows whether there is a row, so the files stay: the sweeper clears what has none.
    try:
        answer, replayed = once(services.sessions, tenancy.tenant_id, idempotency_key, request_sha256, work)
    except SaftError:  # such as QuotaExceeded, before the commit
        services.blobs.delete_owner(dataset_id)
        raise
    if replayed:
        services.blobs.delete_owner(dataset_id)
    return respond(answer, replayed)


def _collect(tenancy: Tenancy, upload: Form, dataset_id: str) -> tuple[LabelledSet, int]:
    """Check and store the images, before any transaction: that can take minutes; with the size of all in bytes.

    Raises InvalidInput.

    Labels are checked without a template: what fails so fails in every one. A training checks them in its own.
    """
    services = tenancy.services
    check = functools.partial(check_labels, services.engine.base, template=PLACEHOLDER, field="classes")
    sizes: list[int] = []
    try:
        with services.blobs.writing(dataset_id) as put:

            def save(sha256: str, data: bytes) -> None:
                sizes.append(len(data))
                put(sha256, data)

            found = collect(_items(tenancy, upload), services.data_limits, save, check, services.pictures.check)
        return found, sum(sizes)
    except BaseException:
        services.blobs.delete_owner(dataset_id)
        raise


def _items(tenancy: Tenancy, upload: Form) -> Sequence[Item]:
    """What was uploaded, in either form. Raises InvalidInput unless it is exactly one of the two."""
    archives, files = upload.files("archive"), upload.files("files")
    if len(archives) + bool(files) != 1:
        raise InvalidInput("send either one zip file as 'archive', or images as 'files' named class/file")
    if archives:
        return read_archive(archives[0].open(), tenancy.services.data_limits)
    return [Entry(file.filename, functools.partial(read_image, file, tenancy.services.limits)) for file in files]


def _add(scope: Scope, dataset_id: str, name: str, found: LabelledSet, size_bytes: int) -> Dataset:
    dataset = Dataset(
        id=dataset_id,
        name=name,
        classes=[{"name": label, "count": count} for label, count in found.classes],
        rejected=[{"path": r.path, "code": r.code, "reason": r.reason} for r in found.rejected],
        image_count=len(found.images),
        size_bytes=size_bytes,
    )
    images = [
        DatasetImage(
            position=image.position,
            label=image.label,
            path=image.path,
            sha256=image.sha256,
            media_type=image.media_type,
        )
        for image in found.images
    ]
    return datasets.add(scope, dataset, images)


@router.get("", response_model=Page[DatasetView])
def list_datasets(tenancy: TenancyDep, paging: PagingDep) -> object:
    """Your datasets, newest first."""
    with tenancy.begin() as scope:
        return scope.page(Dataset, paging.limit, paging.cursor)


@router.get("/{dataset_id}", response_model=DatasetView)
def get_dataset(dataset_id: str, tenancy: TenancyDep) -> object:
    """One dataset."""
    with tenancy.begin() as scope:
        return scope.get(Dataset, dataset_id)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(dataset_id: str, tenancy: TenancyDep) -> None:
    """Delete a dataset and its images. Adapters made from it stay."""
    with tenancy.begin() as scope:
        datasets.delete(scope, dataset_id)
    tenancy.services.blobs.delete_owner(dataset_id)


@router.get("/{dataset_id}/images", response_model=Page[DatasetImageView])
def list_images(dataset_id: str, tenancy: TenancyDep, paging: PagingDep) -> object:
    """The images of a dataset, by position."""
    with tenancy.begin() as scope:
        scope.get(Dataset, dataset_id)
        rows = datasets.images(scope, dataset_id, paging.after, paging.limit + 1)
    more = len(rows) > paging.limit
    return {"items": rows[: paging.limit], "next_cursor": str(rows[paging.limit - 1].position) if more else None}


@router.get("/{dataset_id}/images/{position}", response_class=Response)
def get_image(dataset_id: str, position: Annotated[int, Path(ge=0, lt=2**31)], tenancy: TenancyDep) -> Response:
    """The file of one image, as it was uploaded."""
    with tenancy.begin() as scope:
        image = datasets.image(scope, dataset_id, position)
    return picture(tenancy.services.blobs.get(dataset_id, image.sha256), image.media_type)
