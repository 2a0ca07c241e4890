"""Datasets: upload, list, get, delete."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from api import checks
from api.authenticated import TenantRoute
from api.deps import PagingDep, Tenancy, TenancyDep
from api.forms import MULTIPART_SCHEMA, Form, body_docs, handle
from api.idempotency import IdempotencyDep, TenantIdempotency, created
from api.images import picture, read_image
from api.multipart import Upload
from api.schemas.common import Page
from api.schemas.datasets import DatasetImageView, DatasetView, NewDatasetView
from api.uploads import create_from_files
from saft_core.clip.labels import check_labels
from saft_core.data.archive import read_archive
from saft_core.data.entries import Entry, Item
from saft_core.data.intake import Save
from saft_core.data.label_formats.labels_files import ENDINGS as LABELS_ENDINGS
from saft_core.data.label_formats.labels_files import check_labels_size
from saft_core.data.labelled import LabelledImage, LabelledSet, collect
from saft_core.errors import InvalidInput
from saft_core.settings import Limits
from saft_core.store import datasets, images, quotas
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Dataset, DatasetImage
from saft_core.store.scope import Scope
from saft_core.templates import PLACEHOLDER

TEST_SUFFIX = " (test)"

router = APIRouter(prefix="/datasets", tags=["datasets"], route_class=TenantRoute)

UPLOAD_FILES: dict[str, Any] = {
    "archive": MULTIPART_SCHEMA
    | {
        "description": "A zip file with one folder per class, also within folders such as train, valid and test, or"
        " with images and a labels file: labels.csv, COCO's JSON, Roboflow's _classes.csv, Hugging Face's"
        " metadata.jsonl or metadata.csv, or Custom Vision's tagged images as JSON."
    },
    "files": {
        "type": "array",
        "items": MULTIPART_SCHEMA,
        "description": "Files named class/file, or as they would lie in the zip file.",
    },
}
UPLOAD_DOCS = body_docs(name={"type": "string"}, **UPLOAD_FILES)


@router.post("", status_code=201, response_model=NewDatasetView, openapi_extra=UPLOAD_DOCS)
async def create_dataset(request: Request, tenancy: TenancyDep, idempotency: IdempotencyDep) -> JSONResponse:
    """Upload a labelled image set: a zip as `archive`, or repeated `files` named class/file.

    Images in folders named after a test set become a dataset of their own, which `test_dataset_id` names. A class with
    too few images is left out and listed in `rejected`.
    """
    return await handle(request, tenancy.services, lambda upload: _create(tenancy, upload, idempotency))


def _create(tenancy: Tenancy, upload: Form, idempotency: TenantIdempotency) -> JSONResponse:
    name = checks.name(upload.text("name"), tenancy.services.limits)
    return create_from_files(
        tenancy,
        idempotency,
        upload.digest(),
        check=quotas.admit,
        take=lambda save: labelled_set(tenancy, items(tenancy, upload), save),
        write=lambda scope, stored, found: write_dataset(scope, stored, name, found, tenancy.services.limits),
    )


def labelled_set(
    tenancy: Tenancy, found: Sequence[Item], save: Save, base: Sequence[LabelledImage] = ()
) -> LabelledSet:
    """The labelled set of uploaded items, added to `base`. Raises InvalidInput.

    Labels are checked without a template: what fails so fails in every one. A training checks them in its own.
    """
    services = tenancy.services
    check = functools.partial(check_labels, services.engine.base, template=PLACEHOLDER, field="classes")
    return collect(found, services.data_limits, save, check, services.image_reader.check, base)


def write_dataset(
    scope: Scope, upload: images.Upload, name: str, found: LabelledSet, limits: Limits, revision_of: str | None = None
) -> StoredAnswer:
    """Write the dataset of an upload, and the one to test on, should there be one. Raises QuotaExceeded."""
    hashes = {image.sha256 for part in (found, found.test) if part for image in part.images}
    images.keep(scope, upload.id, hashes & upload.claimed)  # others are those of the dataset that this one revises
    test = None
    if found.test is not None:
        test = datasets.add(scope, *_rows(test_name(name, limits), found.test))
    dataset, rows = _rows(name, found)
    dataset.revision_of = revision_of
    view = NewDatasetView.model_validate(datasets.add(scope, dataset, rows))
    view.test_dataset_id = None if test is None else test.id
    return created(view, f"/datasets/{dataset.id}")


def test_name(name: str, limits: Limits) -> str:
    """The name of the test dataset of a dataset; a name at the limit loses its end."""
    return f"{name[: max(0, limits.max_name_characters - len(TEST_SUFFIX))]}{TEST_SUFFIX}"


def items(tenancy: Tenancy, upload: Form) -> Sequence[Item]:
    """The items of an upload: a zip's or files. Raises InvalidInput unless it is exactly one of the two."""
    archives, files = upload.files("archive"), upload.files("files")
    if len(archives) + bool(files) != 1:
        raise InvalidInput("send either one zip file as 'archive', or images as 'files' named class/file")
    if archives:
        return read_archive(archives[0].open(), tenancy.services.data_limits)
    return [Entry(file.filename, functools.partial(_read, file, tenancy.services.limits)) for file in files]


def _read(file: Upload, limits: Limits) -> bytes:
    """The bytes of an image or of a labels file. Raises InvalidInput before reading what is too large."""
    if not file.filename.lower().endswith(LABELS_ENDINGS):
        return read_image(file, limits)
    check_labels_size(file.size, limits.max_labels_bytes)
    return file.read()


def _rows(name: str, found: LabelledSet) -> tuple[Dataset, list[DatasetImage]]:
    dataset = Dataset(
        name=name,
        classes=[{"name": label, "count": count} for label, count in found.classes],
        rejected=[{"path": r.path, "code": r.code, "reason": r.reason} for r in found.rejected],
        image_count=len(found.images),
    )
    rows = [
        DatasetImage(
            position=image.position,
            label=image.label,
            path=image.path,
            sha256=image.sha256,
            media_type=image.media_type,
        )
        for image in found.images
    ]
    return dataset, rows


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
        hashes = datasets.delete(scope, dataset_id)
    tenancy.release(hashes, dataset_id)


@router.get("/{dataset_id}/images", response_model=Page[DatasetImageView])
def list_images(dataset_id: str, tenancy: TenancyDep, paging: PagingDep) -> object:
    """The images of a dataset, by position."""
    with tenancy.begin() as scope:
        scope.get(Dataset, dataset_id)
        rows = datasets.images(scope, dataset_id, paging.after, paging.limit + 1)
    items, next_cursor = paging.numbered(rows, lambda image: image.position)
    return {"items": items, "next_cursor": next_cursor}


@router.get("/{dataset_id}/images/{position}", response_class=Response)
def get_image(dataset_id: str, position: Annotated[int, Path(ge=0, lt=2**31)], tenancy: TenancyDep) -> Response:
    """The file of one image, as it was uploaded."""
    with tenancy.begin() as scope:
        image = datasets.image(scope, dataset_id, position)
    return picture(tenancy.services.blobs.get(image.file), image.media_type)
