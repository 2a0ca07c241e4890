"""Searches of a collection or a dataset: exact whatever narrows them, and page by page.

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
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Float,
    LargeBinary,
    Result,
    Select,
    String,
    any_,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from saft_core.store.database import among
from saft_core.store.embeddings import Space
from saft_core.store.members import Member, Members
from saft_core.store.models import Embedding
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

    members: Members
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


Ranked = tuple[Place, str]
"""A place and the hash of its image."""


@dataclass(frozen=True)
class Found:
    """One page, best first, with cosines; and its end, None on the last page."""

    matches: Sequence[tuple[Member, float]]
    end: Place | None


def nearest(scope: Scope, search: Search, limit: int, after: Place | None = None) -> Found:
    """The `limit` best images behind `after` by cosine similarity, ties by id. Exact: every vector is compared."""
    found = (_distinct if search.distinct else _all)(scope, search, limit + 1, after)
    matches = [(image, 1.0 - place.distance) for place, image in found[:limit]]
    return Found(matches, found[limit - 1][0] if len(found) > limit else None)


def _all(scope: Scope, search: Search, count: int, after: Place | None) -> list[tuple[Place, Member]]:
    query, distance = _ranked(scope, search, after)
    kind = search.members.kind
    if after is not None:
        key = tuple_(distance, kind.id)
        query = query.where(key > tuple_(literal(after.distance, Float), literal(after.image_id)))
    rows = scope.session.execute(query.add_columns(kind.filename, kind.metadata).limit(count))
    return [
        (Place(as_of, distance, image_id), Member(image_id, filename, sha256, metadata))
        for as_of, distance, image_id, sha256, filename, metadata in rows
    ]


def _distinct(scope: Scope, search: Search, count: int, after: Place | None) -> list[tuple[Place, Member]]:
    """The same without near-duplicates of what is listed before, on this page or on those before it.

    So it begins with the best image of all, wherever the page begins.
    """
    query, _ = _ranked(scope, search, after)
    with scope.session.execute(query.execution_options(yield_per=FIRST_ROWS)) as result:
        blocks = ([(Place(*place), sha256) for *place, sha256 in rows] for rows in _blocks(result))
        unlike = _unlike((ranked, _vectors(scope, search.space, ranked)) for ranked in blocks)
        page = list(islice((place for place in unlike if _is_behind(place, after)), count))
    of_page = search.members.kind.id == any_(literal([place.image_id for place in page], ARRAY(String)))
    images = {image.id: image for image in search.members.where(scope, of_page)}
    return [(place, images[place.image_id]) for place in page if place.image_id in images]


def _ranked(scope: Scope, search: Search, after: Place | None) -> tuple[Select[Any], ColumnElement[float]]:
    """The query for all that matches, best first, as the columns of `Place` and the hash; and its distance."""
    kind, within = search.members.kind, search.members.within(scope)
    created_at = kind.model.created_at
    distance = Embedding.embedding.cosine_distance(search.vector)
    as_of = select(func.max(created_at)).where(*within).scalar_subquery() if after is None else literal(after.as_of)
    query = (
        select(as_of, distance, kind.id, kind.model.sha256)
        .join(Embedding, Embedding.sha256 == kind.model.sha256)
        .where(*within, scope.owns(Embedding), search.space.holds())
        .where(*(_has(kind.metadata, key, values) for key, values in search.filters.items()))
        .order_by(distance, kind.id)
    )
    if after is not None:
        query = query.where(created_at <= after.as_of)
    if search.min_score is not None:  # as the score is computed, so that the score of an answer finds what had it
        query = query.where(literal(1.0, Float) - distance >= literal(search.min_score, Float))
    if search.without is not None:
        query = query.where(kind.id != search.without)
    return query, distance


def _has(metadata: ColumnElement[Any], key: str, values: Sequence[Scalar]) -> ColumnElement[bool]:
    """The condition that the metadata has one of `values` under `key`, or a list with one of its strings.

    As containment, which `ix_collection_images_metadata` serves and PostgreSQL has statistics of.
    """
    lists = [[value] for value in values if isinstance(value, str)]
    return or_(*(metadata.contains({key: value}) for value in (*values, *lists)))


def _is_behind(place: Place, after: Place | None) -> bool:
    return after is None or (place.distance, place.image_id) > (after.distance, after.image_id)


def _blocks(result: Result[Any]) -> Iterator[Sequence[Any]]:
    """The rows, few at first, since most pages need few, then many at a time."""
    size = FIRST_ROWS
    while rows := result.fetchmany(size):
        yield rows
        size = min(2 * size, MAX_ROWS)


def _vectors(scope: Scope, space: Space, ranked: Sequence[Ranked]) -> dict[str, FloatArray]:
    """The unit vectors of images by hash. One that was removed just now has none."""
    sent = func.vector_send(Embedding.embedding, type_=LargeBinary)  # its digits as text take ten times as long
    query = select(Embedding.sha256, sent).where(
        scope.owns(Embedding), space.holds(), among(Embedding.sha256, [sha256 for _, sha256 in ranked])
    )
    return {sha256: Vector.from_binary(data).to_numpy() for sha256, data in scope.session.execute(query)}


def _unlike(blocks: Iterable[tuple[Sequence[Ranked], Mapping[str, FloatArray]]]) -> Iterator[Place]:
    """The places, best first, whose vectors are no near-duplicate of one before them that is given."""
    listed: list[FloatArray] = []
    for ranked, vectors in blocks:
        present = [(place, sha256) for place, sha256 in ranked if sha256 in vectors]
        if present:
            block = np.stack([vectors[sha256] for _, sha256 in present])  # (places, dim)
            fresh = _fresh(block, listed)
            listed.append(block[fresh])
            yield from (place for (place, _), is_fresh in zip(present, fresh, strict=True) if is_fresh)


def _fresh(vectors: FloatArray, listed: Sequence[FloatArray]) -> npt.NDArray[np.bool_]:
    """Which of the unit `vectors` (rows, dim) are like none that is listed, nor like a fresh one before them."""
    fresh = np.ones(len(vectors), dtype=np.bool_)
    for others in listed:
        fresh &= (vectors @ others.T).max(axis=1, initial=-1) < DUPLICATE_COSINE
    alike = vectors @ vectors.T >= DUPLICATE_COSINE
    for row in np.flatnonzero(np.tril(alike, -1).any(axis=1)):
        fresh[row] &= not (alike[row, :row] & fresh[:row]).any()
    return fresh
