"""POST /retrieve."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from torch import Tensor

from api import checks
from api.deps import Tenancy, TenancyDep
from api.keyed import TenantRoute
from api.models import find_model
from api.pictures import in_batches, stored
from api.query import Parts, Query
from api.schemas import Match, RetrieveBody, RetrieveView
from api.search_cursor import SearchCursor
from saft_core.errors import InvalidImage, InvalidInput, NotFound
from saft_core.store import collections, search
from saft_core.store.collections import Space
from saft_core.store.models import Adapter, Collection, CollectionImage
from saft_core.store.scope import Scope
from saft_core.store.search import Found

router = APIRouter(tags=["inference"], route_class=TenantRoute)

logger = logging.getLogger(__name__)


@router.post("/retrieve", response_model=RetrieveView)
async def retrieve(body: RetrieveBody, tenancy: TenancyDep) -> RetrieveView:
    """Search a collection by a text, an image or both; best match first, page by page.

    Exact: every image that `filter` and `min_score` leave is compared, so a page is full whenever there is enough to
    fill it. Pages show what was in the collection when the first one was made, less what was deleted since.

    The first search under an adapter and a strength embeds the collection's images with it; later ones find them in the
    database. Of strengths that are neither 1 nor the adapter's own the last few are kept, `max_strengths` of them.
    """
    return await tenancy.infer(lambda: _answer(tenancy, body))


def _answer(tenancy: Tenancy, body: RetrieveBody) -> RetrieveView:
    limit = checks.top_k(body.top_k, tenancy.services.limits) or 0
    query = Query.of(body, tenancy.services.limits)
    model = find_model(tenancy, body.adapter)
    base = tenancy.services.engine.base
    space = Space.at(base.fingerprint, model.adapter_id, model.strength_for(body.strength))
    digest = query.digest(space)
    cursor = None if body.cursor is None else SearchCursor.decode(body.cursor, digest, base.embed_dim)
    with tenancy.begin() as scope:
        scope.get(Collection, body.collection_id)
        if body.image_id is not None:
            collections.image(scope, body.collection_id, body.image_id)
    parts = query.embed(tenancy, space) if cursor is None else Parts()
    _embed_missing(tenancy, body.collection_id, space, kept=(1.0, model.strength))
    with tenancy.begin() as scope:
        after = None if cursor is None else cursor.place
        vector = parts.vector(body.text_weight, _stored(scope, body, space)) if cursor is None else cursor.vector
        found = search.nearest(scope, query.search(space, vector), limit, after)
    return _view(found, digest, vector)


def _view(found: Found, digest: bytes, vector: npt.NDArray[np.float32]) -> RetrieveView:
    matches = [
        Match(image_id=image.id, filename=image.filename, score=score, metadata=image.user_metadata)
        for image, score in found.matches
    ]
    end = None if found.end is None else SearchCursor(digest, found.end, vector).encode()
    return RetrieveView(results=matches, next_cursor=end)


def _stored(scope: Scope, body: RetrieveBody, space: Space) -> npt.NDArray[np.float32] | None:
    """The vector of the image that the query names. Raises NotFound, and InvalidInput where its file is unreadable."""
    if body.image_id is None:
        return None
    collections.image(scope, body.collection_id, body.image_id)  # it may have been deleted in the meantime
    vector = collections.embedding(scope, body.image_id, space)
    if vector is None:
        raise InvalidInput(f"image_id: the file of image {body.image_id} cannot be read; search by another image")
    return vector


def _embed_missing(tenancy: Tenancy, collection_id: str, space: Space, kept: Sequence[float]) -> None:
    """Embed the images that have no vector in this space, batch by batch: what is done stays done.

    kept: strengths whose vectors stay however many others are asked for.
    """
    engine = tenancy.services.engine
    with tenancy.begin() as scope:
        missing = collections.without_embedding(scope, collection_id, space)
        if missing and space.strength not in kept:
            collections.drop_oldest(scope, collection_id, space, tenancy.services.limits.max_strengths, kept)
    for batch in in_batches(missing):
        with tenancy.services.pictures.room(len(batch)):
            images = dict(_pictures(tenancy, batch))
            if not images:
                continue
            vectors = engine.embed_images(space.adapter_id, list(images.values()), strength=space.strength)
        with tenancy.begin() as scope:
            if space.adapter_id is not None:
                scope.get(Adapter, space.adapter_id, lock=True)  # it may have been deleted while the engine worked
            collections.add_embeddings(scope, space, zip(images, vectors, strict=True))


def _pictures(tenancy: Tenancy, rows: Sequence[CollectionImage]) -> Iterator[tuple[str, Tensor]]:
    """The prepared pictures by id. One that is gone or no longer readable does not stop the search."""
    services = tenancy.services
    for row in rows:
        source = stored(row.filename, services.blobs, row.collection_id, row.sha256)
        try:
            yield row.id, services.pictures.prepare(source, services.deadline())
        except (NotFound, InvalidImage):
            logger.warning("image %s of collection %s cannot be searched", row.id, row.collection_id, exc_info=True)
