"""Collections of searchable images, and their embeddings under each adapter (pgvector)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, and_, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from saft_core.errors import NotFound
from saft_core.store import audit, quotas
from saft_core.store.models import Collection, CollectionImage, ImageEmbedding
from saft_core.store.scope import Scope


@dataclass(frozen=True)
class Space:
    """One model's embedding space: a base, the adapter on it or None for the base itself, and at what strength."""

    base_fingerprint: str
    adapter_id: str | None
    strength: float = 1.0

    @classmethod
    def at(cls, base_fingerprint: str, adapter_id: str | None, strength: float) -> Space:
        """The space of an adapter at `strength`; at 0 that is the base's own."""
        if adapter_id is None or strength == 0:
            return cls(base_fingerprint, None)
        return cls(base_fingerprint, adapter_id, strength)

    def holds(self) -> ColumnElement[bool]:
        """The condition that an embedding lies in this space."""
        adapter_id = ImageEmbedding.adapter_id  # IS NOT DISTINCT FROM would be shorter, but no index serves it
        return and_(
            ImageEmbedding.base_fingerprint == self.base_fingerprint,
            adapter_id.is_(None) if self.adapter_id is None else adapter_id == self.adapter_id,
            ImageEmbedding.strength == self.strength,
        )


def counts(scope: Scope, collection_ids: Sequence[str]) -> dict[str, int]:
    """Images in each collection that has any."""
    query = (
        select(CollectionImage.collection_id, func.count())
        .where(scope.owns(CollectionImage), CollectionImage.collection_id.in_(collection_ids))
        .group_by(CollectionImage.collection_id)
    )
    return {row[0]: row[1] for row in scope.session.execute(query)}


def add_images(scope: Scope, collection_id: str, images: Iterable[CollectionImage]) -> list[CollectionImage]:
    """Add images to a locked collection; of those with the same bytes there is one, the first.

    It has the metadata of the last that came with any. Gives what stands for `images` now, in their order, each once.

    Raises QuotaExceeded.
    """
    asked = list(images)
    present = {image.sha256: image for image in with_hashes(scope, collection_id, {image.sha256 for image in asked})}
    standing: dict[str, CollectionImage] = {}
    for image in asked:
        stands = standing.setdefault(image.sha256, present.get(image.sha256, image))
        if image.user_metadata is not None and stands is not image:
            stands.user_metadata = image.user_metadata
    new = [image for sha256, image in standing.items() if sha256 not in present]
    quotas.admit(scope, images=len(new), storage_bytes=sum(image.size_bytes or 0 for image in new))
    for image in new:
        image.tenant_id, image.collection_id = scope.tenant_id, collection_id
    scope.session.add_all(new)
    if new:
        audit.note(scope, "images.added", collection_id, count=len(new))
    scope.session.flush()
    return list(standing.values())


def with_hashes(scope: Scope, collection_id: str, hashes: Iterable[str]) -> Sequence[CollectionImage]:
    """The images of a collection whose bytes have one of these SHA-256."""
    conditions = (CollectionImage.collection_id == collection_id, CollectionImage.sha256.in_(hashes))
    return scope.session.scalars(scope.select(CollectionImage, *conditions)).all()


def without_embedding(scope: Scope, collection_id: str, space: Space) -> Sequence[CollectionImage]:
    """Images that have no embedding in `space` yet."""
    # Not NOT IN: once the tenant's embeddings do not fit work_mem, it goes through all of them for each image.
    embedded = exists().where(ImageEmbedding.image_id == CollectionImage.id, scope.owns(ImageEmbedding), space.holds())
    conditions = (CollectionImage.collection_id == collection_id, ~embedded)
    return scope.session.scalars(scope.select(CollectionImage, *conditions).order_by(CollectionImage.id)).all()


def add_embeddings(scope: Scope, space: Space, embeddings: Iterable[tuple[str, Any]]) -> None:
    """Store (image id, unit vector) pairs. A pair that a concurrent request stored first is left alone.

    So is one whose image was deleted in the meantime: only ids that are still there are written.
    """
    vectors = dict(embeddings)
    # Ordered, so that concurrent requests lock and write in one order and cannot deadlock.
    query = scope.select(CollectionImage, CollectionImage.id.in_(vectors)).order_by(CollectionImage.id)
    query = query.with_for_update(key_share=True)
    present = [image.id for image in scope.session.scalars(query)]
    if present:
        rows = [
            {
                "tenant_id": scope.tenant_id,
                "image_id": image_id,
                "base_fingerprint": space.base_fingerprint,
                "adapter_id": space.adapter_id,
                "strength": space.strength,
                "embedding": vectors[image_id],
            }
            for image_id in present
        ]
        scope.session.execute(insert(ImageEmbedding).values(rows).on_conflict_do_nothing())


def drop_oldest(scope: Scope, collection_id: str, space: Space, limit: int, kept: Sequence[float]) -> None:
    """Make room for the embeddings of `space`: drop those of the oldest other strengths.

    With those of `space`, at most `limit` strengths of one adapter remain for the collection; those in `kept` neither
    count nor go.
    """
    images = select(CollectionImage.id).where(
        scope.owns(CollectionImage), CollectionImage.collection_id == collection_id
    )
    others = (
        scope.owns(ImageEmbedding),
        ImageEmbedding.adapter_id == space.adapter_id,
        ImageEmbedding.strength.not_in([*kept, space.strength]),
        ImageEmbedding.image_id.in_(images),
    )
    newest_first = (
        select(ImageEmbedding.strength)
        .where(*others)
        .group_by(ImageEmbedding.strength)
        .order_by(func.max(ImageEmbedding.id).desc())
    )
    if dropped := scope.session.scalars(newest_first.offset(limit - 1)).all():
        scope.session.execute(delete(ImageEmbedding).where(*others, ImageEmbedding.strength.in_(dropped)))


def embedding(scope: Scope, image_id: str, space: Space) -> npt.NDArray[np.float32] | None:
    """The unit vector of one image in `space`; None where it has none."""
    query = select(ImageEmbedding.embedding).where(
        scope.owns(ImageEmbedding), ImageEmbedding.image_id == image_id, space.holds()
    )
    found = scope.session.scalar(query)
    return None if found is None else np.asarray(found, dtype=np.float32)


def image(scope: Scope, collection_id: str, image_id: str, *, lock: bool = False) -> CollectionImage:
    """One image of a collection, locked until the transaction ends if asked. Raises NotFound."""
    found = scope.get(CollectionImage, image_id, lock=lock)
    if found.collection_id != collection_id:
        raise NotFound(f"collection {collection_id} has no image {image_id}")
    return found


def locked(scope: Scope, collection_id: str) -> Collection:
    """The collection, locked so that its limit and its duplicates are judged one request at a time. Raises NotFound."""
    return scope.get(Collection, collection_id, lock=True)
