"""POST /retrieve."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from torch import Tensor

from api import checks
from api.deps import Tenancy, TenancyDep
from api.keyed import TenantRoute
from api.models import find_model
from api.pictures import Source, in_batches, sent_as_text
from api.schemas import Match, RetrieveBody, RetrieveView
from saft_core.errors import InvalidImage, InvalidInput, NotFound
from saft_core.store import collections
from saft_core.store.collections import Space
from saft_core.store.models import Adapter, Collection, CollectionImage

router = APIRouter(tags=["inference"], route_class=TenantRoute)

logger = logging.getLogger(__name__)

MAX_TEXT_CHARACTERS = 300


@router.post("/retrieve", response_model=RetrieveView)
async def retrieve(body: RetrieveBody, tenancy: TenancyDep) -> RetrieveView:
    """Search a collection by `text` (used as it stands, without a template) or by `image`; best match first.

    The first search under an adapter and a strength embeds the collection's images with it; later ones find them in the
    database. Of strengths that are neither 1 nor the adapter's own the last few are kept, `max_strengths` of them.
    """
    return await tenancy.services.admission.run(lambda: _answer(tenancy, body))


def _answer(tenancy: Tenancy, body: RetrieveBody) -> RetrieveView:
    limit = checks.top_k(body.top_k, tenancy.services.limits) or 0
    model = find_model(tenancy, body.adapter)
    fingerprint = tenancy.services.engine.base.fingerprint
    space = Space.at(fingerprint, model.adapter_id, model.strength_for(body.strength))
    with tenancy.begin() as scope:
        scope.get(Collection, body.collection_id)
    query = _query_vector(tenancy, space, body)
    _embed_missing(tenancy, body.collection_id, space, kept=(1.0, model.strength))
    with tenancy.begin() as scope:
        found = collections.nearest(scope, body.collection_id, space, query, limit)
    matches = [Match(image_id=image.id, filename=image.filename, score=score) for image, score in found]
    return RetrieveView(results=matches)


def _query_vector(tenancy: Tenancy, space: Space, body: RetrieveBody) -> npt.NDArray[np.float32]:
    engine = tenancy.services.engine
    if (body.text is None) == (body.image is None):
        raise InvalidInput("give either text or image")
    if body.image is not None:
        services = tenancy.services
        with services.pictures.room(1):
            source = sent_as_text("image", body.image, services.limits)
            image = services.pictures.prepare(source, services.deadline())
            return np.asarray(engine.embed_images(space.adapter_id, [image], strength=space.strength)[0])
    text = (body.text or "").strip()
    if not 1 <= len(text) <= MAX_TEXT_CHARACTERS:
        raise InvalidInput(f"text: give 1 to {MAX_TEXT_CHARACTERS} characters")
    return np.asarray(engine.embed_texts(space.adapter_id, [text], strength=space.strength)[0])


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
        read = partial(services.blobs.get, row.collection_id, row.sha256)
        source = Source(row.filename, services.blobs.size(row.collection_id, row.sha256), read)
        try:
            yield row.id, services.pictures.prepare(source, services.deadline())
        except (NotFound, InvalidImage):
            logger.warning("image %s of collection %s cannot be searched", row.id, row.collection_id, exc_info=True)
