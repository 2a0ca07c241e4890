"""Collections of searchable images: create, add to, list, delete. Searching is retrieve.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api import checks
from api.authenticated import TenantRoute
from api.deps import PagingDep, Tenancy, TenancyDep
from api.forms import MULTIPART_SCHEMA, Form, body_docs, handle
from api.idempotency import IdempotencyDep, TenantIdempotency, created
from api.images import picture, read_image
from api.metadata import Metadata, checked_metadata, read_metadata
from api.multipart import Upload as FormFile
from api.schemas.collections import AddedImages, CollectionBody, CollectionImageView, CollectionView
from api.schemas.common import Page, Rejected
from api.services import Services
from api.uploads import create_from_files
from saft_core.data.entries import Entry, Rejection
from saft_core.data.intake import Save, take
from saft_core.errors import InvalidInput, TooLarge
from saft_core.settings import Limits
from saft_core.store import adoption, collections, images, quotas
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.images import Upload
from saft_core.store.models import Collection, CollectionImage
from saft_core.store.scope import Scope

Described = tuple[FormFile, dict[str, Any] | None]
"""A file and its metadata, None where it has none."""
Kept = tuple[list[CollectionImage], list[Rejected]]
"""The rows of the usable files of an upload, and the rejected files."""

router = APIRouter(prefix="/collections", tags=["collections"], route_class=TenantRoute)

METADATA_DOCS = {
    "type": "array",
    "description": "What to remember of each image and to filter searches by: one JSON object a file, in the order of"
    ' the files, such as {"colour": "red", "year": 2024, "tags": ["sale"]}; null for a file without. Left out: nothing.'
    " Values are texts, numbers, booleans, null or lists of texts.",
}
FILES_DOCS = body_docs(files={"type": "array", "items": MULTIPART_SCHEMA}, metadata=METADATA_DOCS)


@router.post("", status_code=201, response_model=CollectionView)
def create_collection(body: CollectionBody, tenancy: TenancyDep, idempotency: IdempotencyDep) -> JSONResponse:
    """Make an empty collection."""
    name = checks.name(body.name, tenancy.services.limits)

    def work(scope: Scope) -> StoredAnswer:
        collection = scope.add(Collection(name=name))
        return created(_view(collection, 0), f"/collections/{collection.id}")

    return idempotency.once(body, work).response()


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
        hashes = collections.delete(scope, collection_id)
    tenancy.release(hashes, collection_id)


@router.post("/{collection_id}/images", status_code=201, response_model=AddedImages, openapi_extra=FILES_DOCS)
async def add_images(
    collection_id: str, request: Request, tenancy: TenancyDep, idempotency: IdempotencyDep
) -> JSONResponse:
    """Add images, with `metadata` if wanted. One that cannot be used is listed in `rejected`; the others are added.

    Bytes that are there already are no second image: its `metadata` is replaced by the new where there is any.
    """
    return await handle(request, tenancy.services, lambda form: _add(tenancy, collection_id, form, idempotency))


def _add(tenancy: Tenancy, collection_id: str, form: Form, idempotency: TenantIdempotency) -> JSONResponse:
    def check(scope: Scope) -> None:
        scope.get(Collection, collection_id)
        quotas.admit(scope)

    def write(scope: Scope, upload: Upload, found: Kept) -> StoredAnswer:
        kept, rejected = found
        images = _add_rows(tenancy, scope, collection_id, kept, upload)
        views = [CollectionImageView.model_validate(image) for image in images]
        return created(AddedImages(images=views, rejected=rejected))

    def take_all(save: Save) -> Kept:
        return _take(tenancy.services, _described(form, tenancy.services.limits), save)

    return create_from_files(tenancy, idempotency, form.digest(), check, take_all, write)


def _described(upload: Form, limits: Limits) -> list[Described]:
    """The files with their metadata. Raises InvalidInput."""
    files = upload.files("files")
    if upload.files("metadata"):
        raise InvalidInput("metadata: send it as text, without a filename (curl: -F 'metadata=<file.json')")
    metadata = read_metadata(upload.texts("metadata"), [file.filename for file in files], limits)
    return list(zip(files, metadata, strict=True))


def _take(services: Services, files: Sequence[Described], save: Save) -> Kept:
    """Check and save the files. Raises InvalidInput when there are none, or no image."""
    if not files:
        raise InvalidInput("files: send at least one image")
    kept: list[CollectionImage] = []
    rejected: list[Rejected] = []
    for file, metadata in files:
        try:
            kept.append(_take_one(services, file, metadata, save))
        except InvalidInput as error:
            rejected.append(Rejected(**asdict(Rejection.of(file.filename, error))))
    if not kept:
        listed = [item.model_dump() for item in rejected]
        raise InvalidInput("none of the files is an image that can be read", code="no_images", rejected=listed)
    return kept, rejected


def _take_one(services: Services, file: FormFile, metadata: Metadata | None, save: Save) -> CollectionImage:
    filename = checks.name(file.filename, services.limits, "filename")
    taken = take(Entry(filename, partial(read_image, file, services.limits)), services.image_reader.check)
    save(taken.sha256, taken.data, taken.media_type)
    size = len(taken.data)
    image = CollectionImage(filename=filename, sha256=taken.sha256, media_type=taken.media_type, size_bytes=size)
    if metadata is not None:
        image.user_metadata = metadata
    return image


def _add_rows(
    tenancy: Tenancy, scope: Scope, collection_id: str, kept: Sequence[CollectionImage], upload: Upload
) -> list[CollectionImage]:
    """Raises TooLarge beyond the collection's limit, and NotFound when the collection was deleted in the meantime."""
    collections.locked(scope, collection_id)
    images = collections.add_images(scope, collection_id, kept, upload.id)
    limit = tenancy.services.limits.max_collection_images
    if collections.counts(scope, [collection_id])[collection_id] > limit:
        raise TooLarge(f"a collection holds at most {limit:,} images (max_collection_images); start another one")
    return images


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
    return picture(tenancy.services.blobs.get(image.file), image.media_type)


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
        image = collections.delete_image(scope, collection_id, image_id)
    with images.left_to_the_sweeper():
        with tenancy.begin() as scope:
            adoption.forget(scope, tenancy.services.blobs, collection_id, image.sha256)
        images.release(tenancy.services.sessions, tenancy.services.blobs, tenancy.tenant_id, [image.sha256])


def _view(collection: Collection, image_count: int) -> CollectionView:
    return CollectionView(
        id=collection.id, name=collection.name, image_count=image_count, created_at=collection.created_at
    )
