"""POST /retrieve."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from torch import Tensor

from api import checks
from api.authenticated import TenantRoute
from api.deps import Tenancy, TenancyDep
from api.images import in_batches, stored
from api.resolve import resolve
from api.schemas.search import Match, RetrieveBody, RetrieveView
from api.search_cursor import SearchCursor
from api.search_query import Parts, Query
from saft_core.errors import InvalidImage, InvalidInput, NotFound
from saft_core.store import adoption, embeddings, search
from saft_core.store.blobs import ImageFile
from saft_core.store.embeddings import EmbeddingSpace
from saft_core.store.members import Member, Members
from saft_core.store.models import Adapter
from saft_core.store.scope import Scope
from saft_core.store.search import Found

router = APIRouter(tags=["inference"], route_class=TenantRoute)

logger = logging.getLogger(__name__)


@router.post("/retrieve", response_model=RetrieveView)
async def retrieve(body: RetrieveBody, tenancy: TenancyDep) -> RetrieveView:
    """Search a collection or a dataset by a text, an image or both; best match first, page by page.

    Exact: every image that `filter` and `min_score` leave is compared, so a page is full whenever there is enough to
    fill it. Pages show what was in the collection when the first one was made, less what was deleted since. Of a
    dataset, `image_id` is the position, `filename` the path, and `metadata` is the `label`.

    The first search under an adapter and a strength embeds the images with it; later ones find them in the database, in
    whichever collection or dataset they are. Of strengths that are neither 1 nor the adapter's own the last few are
    kept, `max_strengths` of them.
    """
    return await tenancy.infer(lambda: _answer(tenancy, body))


def _answer(tenancy: Tenancy, body: RetrieveBody) -> RetrieveView:
    limit = checks.top_k(body.top_k, tenancy.services.limits) or 0
    query = Query.of(body, tenancy.services.limits)
    model = resolve(tenancy, body.adapter)
    base = tenancy.services.engine.base
    space = EmbeddingSpace.of(base.fingerprint, model.adapter_id, model.strength_for(body.strength))
    digest = query.digest(space)
    cursor = None if body.cursor is None else SearchCursor.decode(body.cursor, digest, base.embed_dim)
    with tenancy.begin() as scope:
        query.members.check(scope)
        if body.image_id is not None:
            query.members.get(scope, body.image_id)
    parts = query.embed(tenancy, space) if cursor is None else Parts()
    _embed_missing(tenancy, query.members, space, kept=(1.0, model.strength))
    with tenancy.begin() as scope:
        after = None if cursor is None else cursor.place
        vector = parts.vector(body.text_weight, _stored(scope, query, space)) if cursor is None else cursor.vector
        found = search.nearest(scope, query.search(space, vector), limit, after)
    return _view(found, digest, vector)


def _view(found: Found, digest: bytes, vector: npt.NDArray[np.float32]) -> RetrieveView:
    matches = [
        Match(image_id=image.id, filename=image.filename, score=score, metadata=image.metadata)
        for image, score in found.matches
    ]
    end = None if found.end is None else SearchCursor(digest, found.end, vector).encode()
    return RetrieveView(results=matches, next_cursor=end)


def _stored(scope: Scope, query: Query, space: EmbeddingSpace) -> npt.NDArray[np.float32] | None:
    """The vector of the image that the query names. Raises NotFound, and InvalidInput where its file is unreadable."""
    image_id = query.body.image_id
    if image_id is None:
        return None
    image = query.members.get(scope, image_id)  # it may have been deleted in the meantime
    vector = embeddings.get(scope, image.sha256, space)
    if vector is None:
        raise InvalidInput(f"image_id: the file of image {image_id} cannot be read; search by another image")
    return vector


def _embed_missing(tenancy: Tenancy, members: Members, space: EmbeddingSpace, kept: Sequence[float]) -> None:
    """Embed the images that have no vector in this space, batch by batch: what is done stays done.

    kept: strengths whose vectors stay however many others are asked for.
    """
    services = tenancy.services
    with tenancy.begin() as scope:
        missing = embeddings.missing(scope, members, space)
        unadopted = bool(missing) and members.has_unadopted(scope)
        if missing and space.strength not in kept:
            embeddings.drop_oldest(scope, members, space, services.limits.max_strengths, kept)
    if unadopted:
        adoption.adopt(services.sessions, services.blobs, members.kind.model, tenancy.tenant_id, members.owner_id)
    for batch in in_batches(missing):
        with services.image_reader.slots(len(batch)):
            images = dict(_pictures(tenancy, members, batch))
            if not images:
                continue
            vectors = services.engine.embed_images(space.adapter_id, list(images.values()), strength=space.strength)
        with tenancy.begin() as scope:
            if space.adapter_id is not None:
                scope.get(Adapter, space.adapter_id, lock=True)  # it may have been deleted while the engine worked
            embeddings.add(scope, space, zip(images, vectors, strict=True))


def _pictures(tenancy: Tenancy, members: Members, images: Sequence[Member]) -> Iterator[tuple[str, Tensor]]:
    """The prepared pictures by hash. One that is gone or no longer readable does not stop the search."""
    services = tenancy.services
    for image in images:
        file = ImageFile(tenancy.tenant_id, image.sha256, members.owner_id)
        try:
            source = stored(image.filename, services.blobs, file)
            yield image.sha256, services.image_reader.prepare(source, services.deadline())
        except (NotFound, InvalidImage):
            where = (image.id, members.kind.name, members.owner_id)
            logger.warning("image %s of %s %s cannot be searched", *where, exc_info=True)
