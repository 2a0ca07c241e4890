"""Collections: searchable images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from api import checks
from api.creation import created, fingerprint, once, respond
from api.deps import IdempotencyKey, PagingDep, Tenancy, TenancyDep
from api.pictures import picture
from api.schemas import AddedImages, CollectionBody, CollectionImageView, CollectionView, Page, Rejected
from api.uploads import MULTIPART_SCHEMA, Form, form, multipart_docs, read_within
from saft_core.data.entries import Rejection
from saft_core.data.images import decode_image, media_type
from saft_core.errors import InvalidDataset, InvalidInput, NotFound, TooLarge
from saft_core.store import collections
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import Collection, CollectionImage
from saft_core.store.scope import Scope

router = APIRouter(prefix="/collections", tags=["collections"])

FILES_DOCS = multipart_docs(files={"type": "array", "items": MULTIPART_SCHEMA})


@router.post("", status_code=201, response_model=CollectionView)
def create_collection(
    body: CollectionBody, tenancy: TenancyDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Make an empty collection."""
    name = checks.name(body.name, tenancy.services.limits)

    def work(session: Session) -> StoredAnswer:
        scope = Scope(session, tenancy.tenant_id)
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
    """Add images. One that cannot be used is listed in `rejected`; the others are added all the same."""
    async with form(request, tenancy.services.limits) as upload:
        return await run_in_threadpool(_add, tenancy, collection_id, upload, idempotency_key)


def _add(tenancy: Tenancy, collection_id: str, upload: Form, idempotency_key: str | None) -> JSONResponse:
    files = upload.files("files")
    if not files:
        raise InvalidInput("files: send at least one image")
    call = f"POST /collections/{collection_id}/images"
    request_sha256 = fingerprint(call, upload.digest()) if idempotency_key else ""

    def work(session: Session) -> StoredAnswer:
        scope = Scope(session, tenancy.tenant_id)
        collections.locked(scope, collection_id)
        images, rejected = _store(tenancy, scope, collection_id, files)
        return created(AddedImages(images=images, rejected=rejected))

    return respond(*once(tenancy.services.sessions, tenancy.tenant_id, idempotency_key, request_sha256, work))


def _store(
    tenancy: Tenancy, scope: Scope, collection_id: str, files: Sequence[UploadFile]
) -> tuple[list[CollectionImageView], list[Rejected]]:
    """Write the files that are images. Raises InvalidDataset when none is, TooLarge beyond the collection's limit."""
    images: list[CollectionImageView] = []
    rejected: list[Rejected] = []
    for file in files:
        try:
            image = _store_one(tenancy, scope, collection_id, file)
        except (InvalidInput, TooLarge) as error:
            reason = Rejection(file.filename or "", error.error_code, error.message)
            rejected.append(Rejected(path=reason.path, code=reason.code, reason=reason.reason))
        else:
            images.append(CollectionImageView.model_validate(image))
    if not images:
        listed = [item.model_dump() for item in rejected]
        raise InvalidDataset("none of the files is an image that can be read", code="no_images", rejected=listed)
    limit = tenancy.services.limits.max_collection_images
    if collections.counts(scope, [collection_id])[collection_id] > limit:
        raise TooLarge(f"a collection holds at most {limit} images (max_collection_images); start another one")
    return images, rejected


def _store_one(tenancy: Tenancy, scope: Scope, collection_id: str, file: UploadFile) -> CollectionImage:
    services = tenancy.services
    data = read_within(file, services.limits.max_image_bytes)
    filename = checks.name(file.filename, services.limits, "filename")
    decode_image(data, services.data_limits)
    sha256 = hashlib.sha256(data).hexdigest()
    services.blobs.put(collection_id, sha256, data)
    image = CollectionImage(collection_id=collection_id, filename=filename, sha256=sha256, media_type=media_type(data))
    return collections.add_image(scope, image)


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
        image = _image(scope, collection_id, image_id)
    return picture(tenancy.services.blobs.get(collection_id, image.sha256), image.media_type)


@router.delete("/{collection_id}/images/{image_id}", status_code=204)
def delete_image(collection_id: str, image_id: str, tenancy: TenancyDep) -> None:
    """Delete one image."""
    with tenancy.begin() as scope:
        collections.locked(scope, collection_id)
        image = _image(scope, collection_id, image_id)
        scope.delete(image)
        tenancy.services.blobs.delete(collection_id, image.sha256)


def _image(scope: Scope, collection_id: str, image_id: str) -> CollectionImage:
    image = scope.get(CollectionImage, image_id)
    if image.collection_id != collection_id:
        raise NotFound(f"collection {collection_id} has no image {image_id}")
    return image


def _view(collection: Collection, image_count: int) -> CollectionView:
    return CollectionView(
        id=collection.id, name=collection.name, image_count=image_count, created_at=collection.created_at
    )
