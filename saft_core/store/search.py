"""Searches of a collection: exact whatever narrows them, and page by page.

Every vector of what the filters leave is compared with the query. The order is that of (distance, image id), so a page
goes on behind any place in it, and a search sees the images that were there when its first page was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from pgvector import Vector
from sqlalchemy import ColumnElement, Float, LargeBinary, Select, func, literal, or_, select, tuple_

from saft_core.store.collections import Space
from saft_core.store.models import CollectionImage, ImageEmbedding
from saft_core.store.scope import Scope

Scalar = str | int | float | bool | None
FloatArray = npt.NDArray[np.float32]
DUPLICATE_COSINE = 0.95
"""From here on two images are near-duplicates: see docs/search.md for what that takes in."""
BLOCK_ROWS = 256


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
    places = (_distinct if search.distinct else _all)(scope, search, limit + 1, after)
    page = places[:limit]
    images = scope.session.scalars(scope.select(CollectionImage, CollectionImage.id.in_([p.image_id for p in page])))
    by_id = {image.id: image for image in images}  # one that was deleted just now is not there
    matches = [(by_id[place.image_id], 1.0 - place.distance) for place in page if place.image_id in by_id]
    return Found(matches, page[-1] if len(places) > limit else None)


def _all(scope: Scope, search: Search, count: int, after: Place | None) -> list[Place]:
    query, distance = _ranked(scope, search, after)
    if after is not None:
        key = tuple_(distance, CollectionImage.id)
        query = query.where(key > tuple_(literal(after.distance, Float), literal(after.image_id)))
    return [Place(*row) for row in scope.session.execute(query.limit(count))]


def _distinct(scope: Scope, search: Search, count: int, after: Place | None) -> list[Place]:
    """The same without near-duplicates of what is listed before, on this page or on those before it.

    So it begins with the best image of all, wherever the page begins.
    """
    query, _ = _ranked(scope, search, after)
    query = query.add_columns(func.vector_send(ImageEmbedding.embedding, type_=LargeBinary))
    with scope.session.execute(query.execution_options(yield_per=BLOCK_ROWS)) as result:
        return list(islice((place for place in _unlike(result.partitions()) if _is_behind(place, after)), count))


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


def _unlike(blocks: Iterator[Sequence[Any]]) -> Iterator[Place]:
    """The places of rows (*place, vector), best first, that are no near-duplicate of one before them that is given."""
    listed: list[FloatArray] = []
    for rows in blocks:
        vectors = np.stack([Vector.from_binary(row[3]).to_numpy() for row in rows])  # (rows, dim)
        fresh = _fresh(vectors, listed)
        listed.append(vectors[fresh])
        yield from (Place(*row[:3]) for row, is_fresh in zip(rows, fresh, strict=True) if is_fresh)


def _fresh(vectors: FloatArray, listed: Sequence[FloatArray]) -> npt.NDArray[np.bool_]:
    """Which of the unit `vectors` (rows, dim) are like none that is listed, nor like a fresh one before them."""
    fresh = np.ones(len(vectors), dtype=np.bool_)
    for others in listed:
        fresh &= (vectors @ others.T < DUPLICATE_COSINE).all(axis=1)
    alike = vectors @ vectors.T >= DUPLICATE_COSINE
    for row in range(1, len(vectors)):
        fresh[row] &= not (alike[row, :row] & fresh[:row]).any()
    return fresh
