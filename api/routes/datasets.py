"""Datasets: upload, look, delete."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api import checks
from api.creation import already_done, created, fingerprint, once, respond
from api.deps import IdempotencyKey, PagingDep, Tenancy, TenancyDep
from api.keyed import TenantRoute
from api.multipart import Upload
from api.pictures import picture, read_image
from api.schemas import DatasetImageView, DatasetView, NewDatasetView, Page
from api.uploads import MULTIPART_SCHEMA, Form, handle, multipart_docs
from saft_core.clip.labels import check_labels
from saft_core.data.archive import read_archive
from saft_core.data.entries import Entry, Item
from saft_core.data.formats.labels_files import ENDINGS as LABELS_ENDINGS
from saft_core.data.formats.labels_files import check_labels_size
from saft_core.data.labelled import LabelledSet, Save, collect
from saft_core.errors import InvalidInput, SaftError
from saft_core.settings import Limits
from saft_core.store import datasets, quotas
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Dataset, DatasetImage, new_id
from saft_core.templates import PLACEHOLDER

TEST_SUFFIX = " (test)"

router = APIRouter(prefix="/datasets", tags=["datasets"], route_class=TenantRoute)

UPLOAD_DOCS = multipart_docs(
    name={"type": "string"},
    archive=MULTIPART_SCHEMA
    | {
        "description": "A zip file with one folder per class, also within folders such as train, valid and test, or"
        " with images and a labels file: labels.csv, COCO's JSON, Roboflow's _classes.csv, Hugging Face's"
        " metadata.jsonl or metadata.csv, or Custom Vision's tagged images as JSON."
    },
    files={
        "type": "array",
        "items": MULTIPART_SCHEMA,
        "description": "Files named class/file, or as they would lie in the zip file.",
    },
)


@router.post("", status_code=201, response_model=NewDatasetView, openapi_extra=UPLOAD_DOCS)
async def create_dataset(request: Request, tenancy: TenancyDep, idempotency_key: IdempotencyKey = None) -> JSONResponse:
    """Upload a labelled image set: a zip as `archive`, or repeated `files` named class/file.

    Images in folders named after a test set become a dataset of their own, which `test_dataset_id` names. A class with
    too few images is left out and listed in `rejected`.
    """
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
    ids = _Ids(new_id("ds"), new_id("ds"))
    found, sizes = _collect(tenancy, upload, ids)

    def work(session: Session) -> StoredAnswer:
        scope = tenancy.scope(session)
        if found.test is not None:
            datasets.add(scope, *_rows(ids.test, _test_name(name, services.limits), found.test, sizes))
        dataset = datasets.add(scope, *_rows(ids.main, name, found, sizes))
        view = NewDatasetView.model_validate(dataset)
        view.test_dataset_id = ids.test if found.test is not None else None
        return created(view, f"/datasets/{ids.main}")

    # After a failed commit nobody knows whether there is a row, so the files stay: the sweeper clears what has none.
    try:
        answer, replayed = once(services.sessions, tenancy.tenant_id, idempotency_key, request_sha256, work)
    except SaftError:  # such as QuotaExceeded, before the commit
        _drop(tenancy, ids)
        raise
    if replayed:
        _drop(tenancy, ids)
    return respond(answer, replayed)


@dataclass(frozen=True)
class _Ids:
    """Of the dataset of an upload, and of the one to test on, should there be one."""

    main: str
    test: str


def _collect(tenancy: Tenancy, upload: Form, ids: _Ids) -> tuple[LabelledSet, dict[str, int]]:
    """Check and store the images, before any transaction: that can take minutes; with the bytes of each by its hash.

    Raises InvalidInput.

    Labels are checked without a template: what fails so fails in every one. A training checks them in its own.
    """
    services = tenancy.services
    check = functools.partial(check_labels, services.engine.base, template=PLACEHOLDER, field="classes")
    sizes: dict[str, int] = {}
    try:
        with services.blobs.writing(ids.main) as save, services.blobs.writing(ids.test) as save_test:
            found = collect(
                _items(tenancy, upload),
                services.data_limits,
                _measuring(save, sizes),
                check,
                services.pictures.check,
                _measuring(save_test, sizes),
            )
    except BaseException:
        _drop(tenancy, ids)
        raise
    for sha256 in found.unused:
        services.blobs.delete(ids.main, sha256)
    if found.test is None:
        services.blobs.delete_owner(ids.test)
    return found, sizes


def _measuring(put: Save, sizes: dict[str, int]) -> Save:
    """`put`, noting the bytes of each file by its hash."""

    def save(sha256: str, data: bytes) -> None:
        sizes[sha256] = len(data)
        put(sha256, data)

    return save


def _drop(tenancy: Tenancy, ids: _Ids) -> None:
    """Remove the images that were stored for nothing."""
    tenancy.services.blobs.delete_owner(ids.main)
    tenancy.services.blobs.delete_owner(ids.test)


def _test_name(name: str, limits: Limits) -> str:
    """What the test dataset of a dataset is called; a name at the limit loses its end."""
    return f"{name[: max(0, limits.max_name_characters - len(TEST_SUFFIX))]}{TEST_SUFFIX}"


def _items(tenancy: Tenancy, upload: Form) -> Sequence[Item]:
    """What was uploaded, in either form. Raises InvalidInput unless it is exactly one of the two."""
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


def _rows(
    dataset_id: str, name: str, found: LabelledSet, sizes: Mapping[str, int]
) -> tuple[Dataset, list[DatasetImage]]:
    dataset = Dataset(
        id=dataset_id,
        name=name,
        classes=[{"name": label, "count": count} for label, count in found.classes],
        rejected=[{"path": r.path, "code": r.code, "reason": r.reason} for r in found.rejected],
        image_count=len(found.images),
        size_bytes=sum(sizes[sha256] for sha256 in {image.sha256 for image in found.images}),
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
    return dataset, images


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
    items, next_cursor = paging.numbered(rows, lambda image: image.position)
    return {"items": items, "next_cursor": next_cursor}


@router.get("/{dataset_id}/images/{position}", response_class=Response)
def get_image(dataset_id: str, position: Annotated[int, Path(ge=0, lt=2**31)], tenancy: TenancyDep) -> Response:
    """The file of one image, as it was uploaded."""
    with tenancy.begin() as scope:
        image = datasets.image(scope, dataset_id, position)
    return picture(tenancy.services.blobs.get(dataset_id, image.sha256), image.media_type)
