"""Searches of a collection: exact whatever narrows them, and page by page.

Every vector of what the filters leave is compared with the query. The order is that of (distance, image id), so a page
goes on behind any place in it, and a search sees the images that were there when its first page was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from pgvector import Vector
from sqlalchemy import ColumnElement, Float, LargeBinary, Result, Select, func, literal, or_, select, tuple_

from saft_core.store.collections import Space
from saft_core.store.database import among
from saft_core.store.models import CollectionImage, ImageEmbedding
from saft_core.store.scope import Scope

Scalar = str | int | float | bool | None
FloatArray = npt.NDArray[np.float32]
DUPLICATE_COSINE = 0.95
"""From here on two images are near-duplicates: see docs/search.md for what that takes in."""
FIRST_ROWS, MAX_ROWS = 256, 2048
"""How many images are looked at together for near-duplicates."""


@dataclass(frozen=True)
class Search:
    """What is looked for. `vector` may have any length but 0.

    filters: values of each metadata key, of which an image has to have one. without: an image that is left out.
    """

    collection_id: str
    space: Space
    vector: Any
    filters: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)
    min_score: float | None = None
    distinct: bool = False
    without: str | None = None


@dataclass(frozen=True)
class Place:
    """The last image of a page, by which they are ordered; and when the newest image of the search was added."""

    as_of: datetime
    distance: float
    image_id: str


@dataclass(frozen=True)
class Found:
    """One page, best first, with cosines; and its end, None on the last page."""

    matches: Sequence[tuple[CollectionImage, float]]
    end: Place | None


def nearest(scope: Scope, search: Search, limit: int, after: Place | None = None) -> Found:
    """The `limit` best images behind `after` by cosine similarity, ties by id. Exact: every vector is compared."""
    found = (_distinct if search.distinct else _all)(scope, search, limit + 1, after)
    matches = [(image, 1.0 - place.distance) for place, image in found[:limit]]
    return Found(matches, found[limit - 1][0] if len(found) > limit else None)


def _all(scope: Scope, search: Search, count: int, after: Place | None) -> list[tuple[Place, CollectionImage]]:
    query, distance = _ranked(scope, search, after)
    if after is not None:
        key = tuple_(distance, CollectionImage.id)
        query = query.where(key > tuple_(literal(after.distance, Float), literal(after.image_id)))
    rows = scope.session.execute(query.add_columns(CollectionImage).limit(count))
    return [(Place(as_of, distance, image_id), image) for as_of, distance, image_id, image in rows]


def _distinct(scope: Scope, search: Search, count: int, after: Place | None) -> list[tuple[Place, CollectionImage]]:
    """The same without near-duplicates of what is listed before, on this page or on those before it.

    So it begins with the best image of all, wherever the page begins.
    """
    query, _ = _ranked(scope, search, after)
    with scope.session.execute(query.execution_options(yield_per=FIRST_ROWS)) as result:
        blocks = ([Place(*row) for row in rows] for rows in _blocks(result))
        unlike = _unlike((places, _vectors(scope, search.space, places)) for places in blocks)
        page = list(islice((place for place in unlike if _is_behind(place, after)), count))
    ids = among(CollectionImage.id, [place.image_id for place in page])
    images = {image.id: image for image in scope.session.scalars(scope.select(CollectionImage, ids))}
    return [(place, images[place.image_id]) for place in page if place.image_id in images]


def _ranked(scope: Scope, search: Search, after: Place | None) -> tuple[Select[Any], ColumnElement[float]]:
    """The query for all that matches, best first, as the columns of `Place`; and its distance."""
    in_collection = CollectionImage.collection_id == search.collection_id
    distance = ImageEmbedding.embedding.cosine_distance(search.vector)
    newest = select(func.max(CollectionImage.created_at)).where(in_collection, scope.owns(CollectionImage))
    as_of = newest.scalar_subquery() if after is None else literal(after.as_of)
    query = (
        select(as_of, distance, CollectionImage.id)
        .join(ImageEmbedding, ImageEmbedding.image_id == CollectionImage.id)
        .where(scope.owns(CollectionImage), scope.owns(ImageEmbedding), search.space.holds(), in_collection)
        .where(*(_has(key, values) for key, values in search.filters.items()))
        .order_by(distance, CollectionImage.id)
    )
    if after is not None:
        query = query.where(CollectionImage.created_at <= after.as_of)
    if search.min_score is not None:  # as the score is computed, so that the score of an answer finds what had it
        query = query.where(literal(1.0, Float) - distance >= literal(search.min_score, Float))
    if search.without is not None:
        query = query.where(CollectionImage.id != search.without)
    return query, distance


def _has(key: str, values: Sequence[Scalar]) -> ColumnElement[bool]:
    """The condition that the metadata has one of `values` under `key`, or a list with one of its strings.

    As containment, which `ix_collection_images_metadata` serves and PostgreSQL has statistics of.
    """
    lists = [[value] for value in values if isinstance(value, str)]
    return or_(*(CollectionImage.user_metadata.contains({key: value}) for value in (*values, *lists)))


def _is_behind(place: Place, after: Place | None) -> bool:
    return after is None or (place.distance, place.image_id) > (after.distance, after.image_id)


def _blocks(result: Result[Any]) -> Iterator[Sequence[Any]]:
    """The rows, few at first, since most pages need few, then many at a time."""
    size = FIRST_ROWS
    while rows := result.fetchmany(size):
        yield rows
        size = min(2 * size, MAX_ROWS)


def _vectors(scope: Scope, space: Space, places: Sequence[Place]) -> dict[str, FloatArray]:
    """The unit vectors of images by id. One that was deleted just now has none."""
    sent = func.vector_send(ImageEmbedding.embedding, type_=LargeBinary)  # its digits as text take ten times as long
    query = select(ImageEmbedding.image_id, sent).where(
        scope.owns(ImageEmbedding), space.holds(), among(ImageEmbedding.image_id, [p.image_id for p in places])
    )
    return {image_id: Vector.from_binary(data).to_numpy() for image_id, data in scope.session.execute(query)}


def _unlike(blocks: Iterable[tuple[Sequence[Place], Mapping[str, FloatArray]]]) -> Iterator[Place]:
    """The places, best first, whose vectors are no near-duplicate of one before them that is given."""
    listed: list[FloatArray] = []
    for places, vectors in blocks:
        present = [place for place in places if place.image_id in vectors]
        if present:
            block = np.stack([vectors[place.image_id] for place in present])  # (places, dim)
            fresh = _fresh(block, listed)
            listed.append(block[fresh])
            yield from (place for place, is_fresh in zip(present, fresh, strict=True) if is_fresh)


def _fresh(vectors: FloatArray, listed: Sequence[FloatArray]) -> npt.NDArray[np.bool_]:
    """Which of the unit `vectors` (rows, dim) are like none that is listed, nor like a fresh one before them."""
    fresh = np.ones(len(vectors), dtype=np.bool_)
    for others in listed:
        fresh &= (vectors @ others.T).max(axis=1, initial=-1) < DUPLICATE_COSINE
    alike = vectors @ vectors.T >= DUPLICATE_COSINE
    for row in np.flatnonzero(np.tril(alike, -1).any(axis=1)):
        fresh[row] &= not (alike[row, :row] & fresh[:row]).any()
    return fresh
