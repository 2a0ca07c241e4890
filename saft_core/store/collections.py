"""Collections of searchable images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select

from saft_core.errors import NotFound
from saft_core.store import audit
from saft_core.store.images import keep
from saft_core.store.models import Collection, CollectionImage
from saft_core.store.scope import Scope


def counts(scope: Scope, collection_ids: Sequence[str]) -> dict[str, int]:
    """The number of images in each of these collections; one without images is left out."""
    query = (
        select(CollectionImage.collection_id, func.count())
        .where(scope.owns(CollectionImage), CollectionImage.collection_id.in_(collection_ids))
        .group_by(CollectionImage.collection_id)
    )
    return {row[0]: row[1] for row in scope.session.execute(query)}


def add_images(
    scope: Scope, collection_id: str, images: Iterable[CollectionImage], upload_id: str
) -> list[CollectionImage]:
    """Add the images of an upload to a locked collection, once for each SHA-256.

    Of several images with the same bytes the first is kept, with the metadata of the last that has any. Returns the
    rows that represent `images`, in their order, without repetitions.

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
    keep(scope, upload_id, [image.sha256 for image in new])
    for image in new:
        image.tenant_id, image.collection_id = scope.tenant_id, collection_id
    scope.session.add_all(new)
    if new:
        audit.note(scope, "images.added", collection_id, count=len(new))
    scope.session.flush()
    return list(standing.values())


def with_hashes(scope: Scope, collection_id: str, hashes: Iterable[str]) -> Sequence[CollectionImage]:
    """The images of a collection with one of these SHA-256."""
    conditions = (CollectionImage.collection_id == collection_id, CollectionImage.sha256.in_(hashes))
    return scope.session.scalars(scope.select(CollectionImage, *conditions)).all()


def image(scope: Scope, collection_id: str, image_id: str, *, lock: bool = False) -> CollectionImage:
    """One image of a collection, locked until the transaction ends if asked. Raises NotFound."""
    found = scope.get(CollectionImage, image_id, lock=lock)
    if found.collection_id != collection_id:
        raise NotFound(f"collection {collection_id} has no image {image_id}")
    return found


def locked(scope: Scope, collection_id: str) -> Collection:
    """The collection, locked so that one request at a time checks its limit and duplicates. Raises NotFound."""
    return scope.get(Collection, collection_id, lock=True)


def delete(scope: Scope, collection_id: str) -> Sequence[str]:
    """Delete a collection; returns the SHA-256 of its images, to be released after the commit. Raises NotFound."""
    collection = locked(scope, collection_id)
    query = select(CollectionImage.sha256)
    query = query.where(scope.owns(CollectionImage), CollectionImage.collection_id == collection_id)
    hashes = scope.session.scalars(query).all()
    scope.delete(collection)
    return hashes


def delete_image(scope: Scope, collection_id: str, image_id: str) -> CollectionImage:
    """Delete one image of a collection; returns the row, to be released after the commit. Raises NotFound."""
    locked(scope, collection_id)
    found = image(scope, collection_id, image_id)
    scope.delete(found)
    return found
