"""POST /retrieve."""

from __future__ import annotations

from itertools import islice

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter

from api import checks
from api.deps import Tenancy, TenancyDep
from api.models import Model, find_model
from api.pictures import decode, from_base64
from api.schemas import Match, RetrieveBody, RetrieveView
from saft_core.errors import InvalidInput
from saft_core.store import collections
from saft_core.store.collections import Space
from saft_core.store.models import Collection

router = APIRouter(tags=["inference"])

IMAGES_PER_CHUNK = 64
MAX_TEXT_CHARACTERS = 300


@router.post("/retrieve", response_model=RetrieveView)
def retrieve(body: RetrieveBody, tenancy: TenancyDep) -> RetrieveView:
    """Search a collection by `text` (used as it stands, without a template) or by `image`; best match first.

    The first search under an adapter embeds the collection's images with it; later ones find them in the database.
    """
    limit = checks.top_k(body.top_k, tenancy.services.limits) or 0
    model = find_model(tenancy, body.adapter)
    space = Space(tenancy.services.engine.base.fingerprint, model.adapter_id)
    with tenancy.begin() as scope:
        scope.get(Collection, body.collection_id)
    query = _query_vector(tenancy, model, body)
    _embed_missing(tenancy, body.collection_id, space)
    with tenancy.begin() as scope:
        found = collections.nearest(scope, body.collection_id, space, query, limit)
    matches = [Match(image_id=image.id, filename=image.filename, score=score) for image, score in found]
    return RetrieveView(results=matches)


def _query_vector(tenancy: Tenancy, model: Model, body: RetrieveBody) -> npt.NDArray[np.float32]:
    engine = tenancy.services.engine
    if (body.text is None) == (body.image is None):
        raise InvalidInput("give either text or image")
    if body.image is not None:
        image = decode(from_base64(body.image, "image"), "image", tenancy.services.data_limits)
        return np.asarray(engine.embed_images(model.adapter_id, [image])[0])
    text = (body.text or "").strip()
    if not 1 <= len(text) <= MAX_TEXT_CHARACTERS:
        raise InvalidInput(f"text: give 1 to {MAX_TEXT_CHARACTERS} characters")
    return np.asarray(engine.embed_texts(model.adapter_id, [text])[0])


def _embed_missing(tenancy: Tenancy, collection_id: str, space: Space) -> None:
    """Embed the images that have no vector in this space, chunk by chunk: what is done stays done."""
    services = tenancy.services
    with tenancy.begin() as scope:
        missing = iter(collections.without_embedding(scope, collection_id, space))
    while chunk := list(islice(missing, IMAGES_PER_CHUNK)):
        files = [(image.filename, services.blobs.get(collection_id, image.sha256)) for image in chunk]
        images = [decode(data, name, services.data_limits) for name, data in files]
        vectors = services.engine.embed_images(space.adapter_id, images)
        with tenancy.begin() as scope:
            collections.add_embeddings(scope, space, zip((image.id for image in chunk), vectors, strict=True))
