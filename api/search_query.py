"""The query of POST /retrieve: which of its fields go together, and the query vector that they make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from api.deps import Tenancy
from api.images import sent_as_text
from api.metadata import checked_filter
from api.schemas.search import RetrieveBody
from api.search_cursor import DIGEST_BYTES
from saft_core.errors import InvalidInput
from saft_core.serving.queries import combine
from saft_core.settings import Limits
from saft_core.store.embeddings import EmbeddingSpace
from saft_core.store.members import Members
from saft_core.store.search import Scalar, Search

FloatArray = npt.NDArray[np.float32]
EVEN = 0.5
"""The `text_weight` of a query with text and image that gives none."""


@dataclass(frozen=True)
class Query:
    """A validated search request, and where and by which metadata to search."""

    body: RetrieveBody
    members: Members
    filters: Mapping[str, Sequence[Scalar]]

    @classmethod
    def of(cls, body: RetrieveBody, limits: Limits) -> Query:
        """Validate the fields against each other. Raises InvalidInput naming the fields."""
        if body.image is not None and body.image_id is not None:
            raise InvalidInput("image and image_id: give one of them")
        has_image = body.image is not None or body.image_id is not None
        if body.text is None and not has_image:
            raise InvalidInput("give text or image or image_id (or text and one of these two) to search by")
        if body.text_weight is not None and not (has_image and body.text is not None):
            raise InvalidInput("text_weight: it is for a text beside an image or image_id; give both, or leave it out")
        return cls(body, _members(body), checked_filter(body.filter, limits))

    def digest(self, space: EmbeddingSpace) -> bytes:
        """A hash of the search in `space`, the same for all its pages; DIGEST_BYTES long."""
        fields = self.body.model_dump(exclude={"adapter", "strength", "cursor", "top_k", "image"})
        image = self.body.image
        fields |= {"space": asdict(space), "image": image and hashlib.sha256(image.encode()).hexdigest()}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).digest()[:DIGEST_BYTES]

    def search(self, space: EmbeddingSpace, vector: FloatArray) -> Search:
        """The search of the store by the query vector, float32 (embed_dim,)."""
        body = self.body
        return Search(self.members, space, vector, self.filters, body.min_score, body.distinct, without=body.image_id)

    def embed(self, tenancy: Tenancy, space: EmbeddingSpace) -> Parts:
        """Embed the texts and the image that came with the request. Raises InvalidInput and what the engine raises."""
        engine, body = tenancy.services.engine, self.body
        texts = [text for text in (body.text, body.negative_text) if text is not None]
        vectors = iter(engine.embed_texts(space.adapter_id, texts, strength=space.strength) if texts else ())
        text = next(vectors) if body.text is not None else None
        return Parts(text, _image(tenancy, space, body.image), next(vectors, None))


@dataclass(frozen=True)
class Parts:
    """Unit vectors, float32 (embed_dim,), of a query's text, image and negative text; None for what it has not."""

    text: FloatArray | None = None
    image: FloatArray | None = None
    negative: FloatArray | None = None

    def vector(self, text_weight: float | None, stored: FloatArray | None) -> FloatArray:
        """The query vector, float32 (embed_dim,). stored: the vector of `image_id`. Raises InvalidInput."""
        image = self.image if stored is None else stored
        return combine(self.text, image, self.negative, EVEN if text_weight is None else text_weight)


def _members(body: RetrieveBody) -> Members:
    """The images to search: those of a collection or a dataset. Raises InvalidInput."""
    if (body.collection_id is None) == (body.dataset_id is None):
        raise InvalidInput("collection_id and dataset_id: give exactly one of them, as where to search")
    if body.dataset_id is not None:
        return Members.of_dataset(body.dataset_id)
    return Members.of_collection(body.collection_id or "")


def _image(tenancy: Tenancy, space: EmbeddingSpace, image: str | None) -> FloatArray | None:
    if image is None:
        return None
    services = tenancy.services
    with services.image_reader.slots(1):
        prepared = services.image_reader.prepare(sent_as_text("image", image, services.limits), services.deadline())
        return np.asarray(services.engine.embed_images(space.adapter_id, [prepared], strength=space.strength)[0])
