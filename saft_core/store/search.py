"""Exact nearest-neighbour search in a collection or a dataset, with filters and pages (pgvector).

The query is compared with the vector of every image that the filters leave. The order is by (cosine distance, image
id), so a page can start behind any image. All pages of a search see the images of the time of its first page.
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
from saft_core.store.embeddings import EmbeddingSpace
from saft_core.store.members import Member, Members
from saft_core.store.models import Embedding
from saft_core.store.scope import Scope

Scalar = str | int | float | bool | None
FloatArray = npt.NDArray[np.float32]
DUPLICATE_COSINE = 0.95
"""The cosine from which two images count as near-duplicates (docs/search.md says which these are)."""
FIRST_ROWS, MAX_ROWS = 256, 2048
"""Images that are read together to find near-duplicates: the first block, and the largest."""


@dataclass(frozen=True)
class Search:
    """A query. `vector` is (embed_dim,) and may have any norm but 0.

    filters: for each metadata key the values of which an image must have one. min_score: the lowest cosine. distinct:
    leave near-duplicates out. without: the id of an image that is left out.
    """

    members: Members
    space: EmbeddingSpace
    vector: Any
    filters: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)
    min_score: float | None = None
    distinct: bool = False
    without: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a page ends: the distance and id of its last image, and when the newest image of the search was added."""

    as_of: datetime
    distance: float
    image_id: str


Ranked = tuple[Place, str]
"""A place, and the SHA-256 of its image."""


@dataclass(frozen=True)
class Found:
    """One page: (image, cosine) pairs, best first, and where the page ends; None on the last page."""

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
    """As `_all`, without near-duplicates of a better image, on this page or an earlier one.

    It therefore reads from the best image on, wherever the page starts.
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
    """The query for all matches, best first, with the columns of `Place` and the SHA-256; and its distance column."""
    kind, within = search.members.kind, search.members.within(scope)
    created_at = kind.model.created_at
    distance = Embedding.embedding.cosine_distance(search.vector)
    as_of = select(func.max(created_at)).where(*within).scalar_subquery() if after is None else literal(after.as_of)
    query = (
        select(as_of, distance, kind.id, kind.model.sha256)
        .join(Embedding, Embedding.sha256 == kind.model.sha256)
        .where(*within, scope.owns(Embedding), search.space.contains())
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
    """The SQL condition that the metadata has one of `values` under `key`, or a list that contains one of its strings.

    As containment, which `ix_collection_images_metadata` serves and PostgreSQL has statistics of.
    """
    lists = [[value] for value in values if isinstance(value, str)]
    return or_(*(metadata.contains({key: value}) for value in (*values, *lists)))


def _is_behind(place: Place, after: Place | None) -> bool:
    return after is None or (place.distance, place.image_id) > (after.distance, after.image_id)


def _blocks(result: Result[Any]) -> Iterator[Sequence[Any]]:
    """The rows in blocks that double up to MAX_ROWS: most pages need few."""
    size = FIRST_ROWS
    while rows := result.fetchmany(size):
        yield rows
        size = min(2 * size, MAX_ROWS)


def _vectors(scope: Scope, space: EmbeddingSpace, ranked: Sequence[Ranked]) -> dict[str, FloatArray]:
    """The unit vectors (embed_dim,) of images, by SHA-256; an image that was deleted just now is left out."""
    sent = func.vector_send(Embedding.embedding, type_=LargeBinary)  # its digits as text take ten times as long
    query = select(Embedding.sha256, sent).where(
        scope.owns(Embedding), space.contains(), among(Embedding.sha256, [sha256 for _, sha256 in ranked])
    )
    return {sha256: Vector.from_binary(data).to_numpy() for sha256, data in scope.session.execute(query)}


def _unlike(blocks: Iterable[tuple[Sequence[Ranked], Mapping[str, FloatArray]]]) -> Iterator[Place]:
    """The places, best first, whose vectors are no near-duplicates of one that was yielded before."""
    listed: list[FloatArray] = []
    for ranked, vectors in blocks:
        present = [(place, sha256) for place, sha256 in ranked if sha256 in vectors]
        if present:
            block = np.stack([vectors[sha256] for _, sha256 in present])  # (places, dim)
            fresh = _fresh(block, listed)
            listed.append(block[fresh])
            yield from (place for (place, _), is_fresh in zip(present, fresh, strict=True) if is_fresh)


def _fresh(vectors: FloatArray, listed: Sequence[FloatArray]) -> npt.NDArray[np.bool_]:
    """Which of the unit `vectors` (rows, dim) are no near-duplicates of `listed` or an earlier fresh row; (rows,)."""
    fresh = np.ones(len(vectors), dtype=np.bool_)
    for others in listed:
        fresh &= (vectors @ others.T).max(axis=1, initial=-1) < DUPLICATE_COSINE
    alike = vectors @ vectors.T >= DUPLICATE_COSINE
    for row in np.flatnonzero(np.tril(alike, -1).any(axis=1)):
        fresh[row] &= not (alike[row, :row] & fresh[:row]).any()
    return fresh
