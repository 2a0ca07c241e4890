"""Collections: searchable images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api import checks
from api.creation import already_done, created, fingerprint, once, respond
from api.deps import IdempotencyKey, PagingDep, Tenancy, TenancyDep
from api.keyed import TenantRoute
from api.metadata import Metadata, checked_metadata, read_metadata
from api.multipart import Upload
from api.pictures import picture, read_image
from api.schemas import AddedImages, CollectionBody, CollectionImageView, CollectionView, Page, Rejected
from api.services import Services
from api.uploads import MULTIPART_SCHEMA, Form, handle, multipart_docs
from saft_core.data.entries import Rejection
from saft_core.errors import InvalidInput, NotFound, SaftError, TooLarge
from saft_core.settings import Limits
from saft_core.store import collections, quotas
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Collection, CollectionImage
from saft_core.store.scope import Scope

Described = tuple[Upload, dict[str, Any] | None]
"""A file and what the tenant says of it."""

router = APIRouter(prefix="/collections", tags=["collections"], route_class=TenantRoute)

METADATA_DOCS = {
    "type": "array",
    "description": "What to remember of each image and to filter searches by: one JSON object a file, in the order of"
    ' the files, such as {"colour": "red", "year": 2024, "tags": ["sale"]}; null for a file without. Left out: nothing.'
    " Values are texts, numbers, booleans, null or lists of texts.",
}
FILES_DOCS = multipart_docs(files={"type": "array", "items": MULTIPART_SCHEMA}, metadata=METADATA_DOCS)


@router.post("", status_code=201, response_model=CollectionView)
def create_collection(
    body: CollectionBody, tenancy: TenancyDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Make an empty collection."""
    name = checks.name(body.name, tenancy.services.limits)

    def work(session: Session) -> StoredAnswer:
        scope = tenancy.scope(session)
        collection = scope.add(Collection(name=name))
        return created(_view(collection, 0), f"/collections/{collection.id}")

    request_sha256 = fingerprint("POST /collections", body)
    return respond(*once(tenancy.services.sessions, tenancy.tenant_id, idempotency_key, request_sha256, work))


@router.get("", response_model=Page[CollectionView])
def list_collections(tenancy: TenancyDep, paging: PagingDep) -> object:
    """Your collections, newest first."""
    with tenancy.begin() as scope:
        page = scope.page(Collection, paging.limit, paging.cursor)
        counts = collections.counts(scope, [collection.id for collection in page.items])
    items = [_view(collection, counts.get(collection.id, 0)) for collection in page.items]
    return {"items": items, "next_cursor": page.next_cursor}


@router.get("/{collection_id}", response_model=CollectionView)
def get_collection(collection_id: str, tenancy: TenancyDep) -> object:
    """One collection."""
    with tenancy.begin() as scope:
        collection = scope.get(Collection, collection_id)
        return _view(collection, collections.counts(scope, [collection_id]).get(collection_id, 0))


@router.delete("/{collection_id}", status_code=204)
def delete_collection(collection_id: str, tenancy: TenancyDep) -> None:
    """Delete a collection and its images."""
    with tenancy.begin() as scope:
        scope.delete(scope.get(Collection, collection_id, lock=True))
    tenancy.services.blobs.delete_owner(collection_id)


@router.post("/{collection_id}/images", status_code=201, response_model=AddedImages, openapi_extra=FILES_DOCS)
async def add_images(
    collection_id: str, request: Request, tenancy: TenancyDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Add images, with `metadata` if wanted. One that cannot be used is listed in `rejected`; the others are added.

    Bytes that are there already are no second image: its `metadata` is replaced by the new where there is any.
    """
    return await handle(request, tenancy.services, lambda form: _add(tenancy, collection_id, form, idempotency_key))


def _add(tenancy: Tenancy, collection_id: str, upload: Form, idempotency_key: str | None) -> JSONResponse:
    request_sha256 = fingerprint(f"POST /collections/{collection_id}/images", upload.digest())
    before = already_done(tenancy.services.sessions, tenancy.tenant_id, idempotency_key, request_sha256)
    if before is not None:
        return respond(before, replayed=True)
    with tenancy.begin() as scope:
        scope.get(Collection, collection_id)
        quotas.admit(scope, images=1)  # before the work that would be for nothing; the lot is counted at the end
    kept, rejected = _keep(tenancy, collection_id, _described(upload, tenancy.services.limits))

    def work(session: Session) -> StoredAnswer:
        images = _add_rows(tenancy, tenancy.scope(session), collection_id, kept)
        views = [CollectionImageView.model_validate(image) for image in images]
        return created(AddedImages(images=views, rejected=rejected))

    try:
        return respond(*once(tenancy.services.sessions, tenancy.tenant_id, idempotency_key, request_sha256, work))
    except (SaftError, OSError):
        _drop_unused(tenancy, collection_id, [image.sha256 for image, _ in kept])
        raise


def _described(upload: Form, limits: Limits) -> list[Described]:
    """The files with their metadata. Raises InvalidInput."""
    files = upload.files("files")
    if upload.files("metadata"):
        raise InvalidInput("metadata: send it as text, without a filename (curl: -F 'metadata=<file.json')")
    metadata = read_metadata(upload.texts("metadata"), [file.filename for file in files], limits)
    return list(zip(files, metadata, strict=True))


def _keep(
    tenancy: Tenancy, collection_id: str, files: Sequence[Described]
) -> tuple[list[tuple[CollectionImage, Upload]], list[Rejected]]:
    """Check and store the files, before any transaction. Raises InvalidInput when there are none, or no image."""
    if not files:
        raise InvalidInput("files: send at least one image")
    kept: list[tuple[CollectionImage, Upload]] = []
    rejected: list[Rejected] = []
    try:
        with tenancy.services.blobs.writing(collection_id) as save:
            for file, metadata in files:
                try:
                    kept.append((_keep_one(tenancy.services, file, metadata, save), file))
                except InvalidInput as error:
                    rejected.append(Rejected(**asdict(Rejection.of(file.filename, error))))
    except (SaftError, OSError):  # such as Busy: what is stored by now would stay for ever
        _drop_unused(tenancy, collection_id, [image.sha256 for image, _ in kept])
        raise
    if not kept:
        listed = [item.model_dump() for item in rejected]
        raise InvalidInput("none of the files is an image that can be read", code="no_images", rejected=listed)
    return kept, rejected


def _keep_one(
    services: Services, file: Upload, metadata: Metadata | None, save: Callable[[str, bytes], None]
) -> CollectionImage:
    filename = checks.name(file.filename, services.limits, "filename")
    data = read_image(file, services.limits)
    media_type = services.pictures.check(data)
    save(file.sha256, data)
    image = CollectionImage(filename=filename, sha256=file.sha256, media_type=media_type, size_bytes=len(data))
    if metadata is not None:
        image.user_metadata = metadata
    return image


def _add_rows(
    tenancy: Tenancy, scope: Scope, collection_id: str, kept: Sequence[tuple[CollectionImage, Upload]]
) -> list[CollectionImage]:
    """Raises TooLarge beyond the collection's limit, and NotFound when the collection was deleted in the meantime."""
    collections.locked(scope, collection_id)
    images = collections.add_images(scope, collection_id, [image for image, _ in kept])
    limit = tenancy.services.limits.max_collection_images
    if collections.counts(scope, [collection_id])[collection_id] > limit:
        raise TooLarge(f"a collection holds at most {limit:,} images (max_collection_images); start another one")
    for _, file in kept:  # a deletion may have taken a file that was there a moment ago
        if not tenancy.services.blobs.has(collection_id, file.sha256):
            tenancy.services.blobs.put(collection_id, file.sha256, file.read())
    return images


def _drop_unused(tenancy: Tenancy, collection_id: str, hashes: Sequence[str]) -> None:
    """Remove files that no row of the collection stands for; its lock keeps an upload from adding one just now."""
    with suppress(NotFound), tenancy.begin() as scope:
        collections.locked(scope, collection_id)
        used = {image.sha256 for image in collections.with_hashes(scope, collection_id, hashes)}
        for sha256 in set(hashes) - used:
            tenancy.services.blobs.delete(collection_id, sha256)


@router.get("/{collection_id}/images", response_model=Page[CollectionImageView])
def list_images(collection_id: str, tenancy: TenancyDep, paging: PagingDep) -> object:
    """The images of a collection, newest first."""
    with tenancy.begin() as scope:
        scope.get(Collection, collection_id)
        of_collection = CollectionImage.collection_id == collection_id
        return scope.page(CollectionImage, paging.limit, paging.cursor, of_collection)


@router.get("/{collection_id}/images/{image_id}", response_class=Response)
def get_image(collection_id: str, image_id: str, tenancy: TenancyDep) -> Response:
    """The file of one image, as it was uploaded."""
    with tenancy.begin() as scope:
        image = collections.image(scope, collection_id, image_id)
    return picture(tenancy.services.blobs.get(collection_id, image.sha256), image.media_type)


@router.put("/{collection_id}/images/{image_id}/metadata", response_model=CollectionImageView)
def put_metadata(collection_id: str, image_id: str, body: Metadata, tenancy: TenancyDep) -> object:
    """Replace the metadata of one image: what is not in the body is gone. An empty object takes all away."""
    metadata = checked_metadata(body, tenancy.services.limits)
    with tenancy.begin() as scope:
        image = collections.image(scope, collection_id, image_id, lock=True)
        image.user_metadata = metadata
        return CollectionImageView.model_validate(image)


@router.delete("/{collection_id}/images/{image_id}", status_code=204)
def delete_image(collection_id: str, image_id: str, tenancy: TenancyDep) -> None:
    """Delete one image."""
    with tenancy.begin() as scope:
        collections.locked(scope, collection_id)
        image = collections.image(scope, collection_id, image_id)
        scope.delete(image)
    _drop_unused(tenancy, collection_id, [image.sha256])


def _view(collection: Collection, image_count: int) -> CollectionView:
    return CollectionView(
        id=collection.id, name=collection.name, image_count=image_count, created_at=collection.created_at
    )
