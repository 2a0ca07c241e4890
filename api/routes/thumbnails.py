"""Thumbnails of stored images, and of an uploaded one that a browser cannot show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.authenticated import TenantRoute
from api.deps import Tenancy, TenancyDep
from api.etags import NOT_MODIFIED, IfNoneMatch, is_current, not_modified
from api.forms import MULTIPART_SCHEMA, body_docs, form
from api.images import SAFE_HEADERS, ImageSource, sent_as_file, stored
from api.thumbnails import MEDIA_TYPE, SIZE, Size, thumbnail
from saft_core.errors import InvalidInput
from saft_core.store import collections, datasets
from saft_core.store.models import CollectionImage, DatasetImage
from saft_core.store.scope import Scope

router = APIRouter(route_class=TenantRoute)

FORM_DOCS = body_docs(file=MULTIPART_SCHEMA)


@router.get(
    "/datasets/{dataset_id}/images/{position}/thumbnail",
    tags=["datasets"],
    response_class=Response,
    responses=NOT_MODIFIED,
)
async def get_dataset_thumbnail(
    dataset_id: str,
    position: Annotated[int, Path(ge=0, lt=2**31)],
    tenancy: TenancyDep,
    size: Size = SIZE,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A small WebP of one image, upright; it never changes, so a browser asks once."""
    return await _of_stored(tenancy, lambda scope: datasets.image(scope, dataset_id, position), size, if_none_match)


@router.get(
    "/collections/{collection_id}/images/{image_id}/thumbnail",
    tags=["collections"],
    response_class=Response,
    responses=NOT_MODIFIED,
)
async def get_collection_thumbnail(
    collection_id: str, image_id: str, tenancy: TenancyDep, size: Size = SIZE, if_none_match: IfNoneMatch = None
) -> Response:
    """A small WebP of one image, upright; it never changes, so a browser asks once."""
    return await _of_stored(
        tenancy, lambda scope: collections.image(scope, collection_id, image_id), size, if_none_match
    )


@router.post("/thumbnails", tags=["inference"], response_class=Response, openapi_extra=FORM_DOCS)
async def make_thumbnail(request: Request, tenancy: TenancyDep, size: Size = SIZE) -> Response:
    """A small WebP of a picture that is sent as `file` and not kept: for what a browser cannot show, such as HEIC."""
    async with form(request, tenancy.services) as upload:
        files = upload.files("file")
        if len(files) != 1:
            raise InvalidInput("file: send one picture")
        source = sent_as_file(files[0].filename or "file", files[0], tenancy.services.limits)
        small = await _made(tenancy, lambda: source, size)
    return Response(small, media_type=MEDIA_TYPE, headers=SAFE_HEADERS | {"Cache-Control": "no-store"})


async def _of_stored(
    tenancy: Tenancy,
    find: Callable[[Scope], DatasetImage | CollectionImage],
    size: int,
    if_none_match: str | None,
) -> Response:
    """The thumbnail of a stored image; who has it already is told so without a look at its file."""

    def look() -> DatasetImage | CollectionImage:
        with tenancy.reading() as scope:
            return find(scope)

    image = await run_in_threadpool(look)
    headers = SAFE_HEADERS | {"ETag": f'"{image.sha256}-{size}"'}
    if is_current(if_none_match, headers["ETag"]):
        return not_modified(headers)
    name = image.path if isinstance(image, DatasetImage) else image.filename
    small = await _made(tenancy, lambda: stored(name, tenancy.services.blobs, image.file), size)
    return Response(small, media_type=MEDIA_TYPE, headers=headers)


async def _made(tenancy: Tenancy, source: Callable[[], ImageSource], size: int) -> bytes:
    services = tenancy.services
    return await tenancy.thumbnail(lambda: thumbnail(services.image_reader, source(), size, services.deadline()))
