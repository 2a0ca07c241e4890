"""Searches against brute force: NumPy over all vectors and Python over all metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from saft_core.store import datasets, embeddings, images, search
from saft_core.store.embeddings import EmbeddingSpace
from saft_core.store.members import Members
from saft_core.store.models import Collection, CollectionImage, Dataset, DatasetImage
from saft_core.store.scope import Scope
from saft_core.store.search import DUPLICATE_COSINE, Place, Scalar, Search
from tests.fixtures.plans import plans
from tests.fixtures.tenants import add_images, add_tenant, claimed

BASE = EmbeddingSpace("fingerprint", None)
IMAGES, DIM = 300, 24
FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Image:
    """One image as the test knows it."""

    id: str
    vector: FloatArray
    metadata: dict[str, Any]


@dataclass
class World:
    """A collection and all that is in it."""

    scope: Scope
    members: Members
    images: list[Image]

    def add(self, vectors: FloatArray, metadata: Sequence[dict[str, Any]]) -> list[str]:
        number = len(self.images)
        rows = [
            CollectionImage(filename="f", sha256=f"{number + n:064x}", media_type="image/png", user_metadata=given)
            for n, given in enumerate(metadata)
        ]
        ids = [image.id for image in add_images(self.scope, self.members.owner_id, rows)]
        embeddings.add(self.scope, BASE, zip([row.sha256 for row in rows], vectors, strict=True))
        self.images += [Image(*one) for one in zip(ids, vectors, metadata, strict=True)]
        return ids

    def search(self, vector: FloatArray, **narrowed: Any) -> Search:
        return Search(self.members, BASE, vector, **narrowed)

    def expected(self, looked_for: Search) -> list[str]:
        """What brute force gives: the ids of all that match, best first."""
        images = [image for image in self.images if fits(image, looked_for)]
        ranked = sorted(images, key=lambda image: -score(image, looked_for))
        if not looked_for.distinct:
            return [image.id for image in ranked]
        listed: list[Image] = []
        for image in ranked:
            if not any(float(other.vector @ image.vector) >= DUPLICATE_COSINE for other in listed):
                listed.append(image)
        return [image.id for image in listed]

    def query(self, generator: np.random.Generator) -> FloatArray:
        """A vector to which no two images are so nearly as close that rounding would decide which is the closer."""
        while True:
            vector = generator.normal(size=DIM).astype(np.float32)
            scores = np.sort([score(image, self.search(vector)) for image in self.images])
            if np.diff(scores).min() > 1e-6:
                return vector


def score(image: Image, looked_for: Search) -> float:
    one, other = image.vector.astype(np.float64), looked_for.vector.astype(np.float64)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def fits(image: Image, looked_for: Search) -> bool:
    if looked_for.without == image.id:
        return False
    if looked_for.min_score is not None and score(image, looked_for) < looked_for.min_score:
        return False
    return all(has(image.metadata, key, values) for key, values in looked_for.filters.items())


def has(metadata: Mapping[str, Any], key: str, values: Sequence[Scalar]) -> bool:
    if key not in metadata:
        return False
    found = metadata[key] if isinstance(metadata[key], list) else [metadata[key]]
    return any(same(one, value) for one in found for value in values)


def same(one: Scalar, other: Scalar) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other  # 1 == True in Python only


def all_pages(scope: Scope, looked_for: Search, sizes: Iterator[int]) -> list[str]:
    """The ids on all pages; every page but the last is full."""
    found: list[str] = []
    after: Place | None = None
    while True:
        size = next(sizes)
        page = search.nearest(scope, looked_for, size, after)
        found += [image.id for image, _ in page.matches]
        if page.end is None:
            assert len(page.matches) <= size
            return found
        assert len(page.matches) == size
        after = page.end


def page_sizes(generator: np.random.Generator) -> Iterator[int]:
    while True:
        yield int(generator.integers(1, 60))


def spread(generator: np.random.Generator, count: int, dim: int = DIM) -> FloatArray:
    """Unit vectors, a third of which come in groups of near-duplicates and some of these in chains."""
    vectors = generator.normal(size=(count, dim)).astype(np.float32)
    for row in range(count):
        if row > 10 and row % 3 == 0:
            towards = generator.normal(size=dim).astype(np.float32)
            origin = vectors[generator.integers(0, row)]
            vectors[row] = origin + 0.12 * np.linalg.norm(origin) * towards / np.linalg.norm(towards)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def described(generator: np.random.Generator) -> dict[str, Any]:
    values: dict[str, Any] = {
        "colour": str(generator.choice(["red", "blue", "grün", '"quoted"'])),
        "year": int(generator.integers(2020, 2026)),
        "price": [1, 1.5, 2.0, 1e-3][generator.integers(4)],
        "new": bool(generator.integers(2)),
        "note": None,
        "tags": [str(tag) for tag in generator.choice(["a", "b", "c", "1"], size=generator.integers(0, 3))],
        "mixed": [None, True, 1, "1", "red", ["red", "1"]][generator.integers(6)],
        "odd key, %s :x {}": "x",
    }
    return {key: value for key, value in values.items() if generator.random() < 0.8}


def filters(generator: np.random.Generator) -> dict[str, Sequence[Scalar]]:
    choices: list[dict[str, Sequence[Scalar]]] = [
        {}, {"colour": ["red"]}, {"colour": ["grün", '"quoted"']}, {"year": [2020, 2021.0, "2022"]}, {"new": [True]},
        {"note": [None]}, {"tags": ["a"]}, {"tags": ["b", "1"]}, {"mixed": [1]}, {"mixed": ["1"]}, {"mixed": [True]},
        {"mixed": ["red", None]}, {"price": [1.0, 2]}, {"colour": ["blue"], "new": [False], "tags": ["a", "b", "c"]},
        {"odd key, %s :x {}": ["x"], "year": [2023]}, {"nobody has it": ["x"]}, {"tags": [1]},
    ]  # fmt: skip
    return choices[generator.integers(len(choices))]


@pytest.fixture
def world(scope: Scope) -> World:
    generator = np.random.default_rng(1)
    world = World(scope, Members.of_collection(scope.add(Collection(name="c")).id), [])
    world.add(spread(generator, IMAGES), [described(generator) for _ in range(IMAGES)])
    return world


@pytest.fixture
def dataset_world(scope: Scope) -> World:
    """A dataset; of an image the metadata is its label."""
    generator = np.random.default_rng(2)
    labels = sorted(str(label) for label in generator.choice(["1", "a", "grün", '"quoted"'], size=IMAGES))
    rows = [
        DatasetImage(position=n, label=label, path=f"{label}/{n}", sha256=f"{n:064x}", media_type="image/png")
        for n, label in enumerate(labels)
    ]
    hashes, vectors = [row.sha256 for row in rows], spread(generator, IMAGES)
    images.keep(scope, claimed(scope, rows), hashes)
    dataset = datasets.add(scope, Dataset(name="d", classes=[], rejected=[], image_count=IMAGES), rows)
    embeddings.add(scope, BASE, zip(hashes, vectors, strict=True))
    known = [Image(str(n), vector, {"label": labels[n]}) for n, vector in enumerate(vectors)]
    return World(scope, Members.of_dataset(dataset.id), known)


LABEL_FILTERS: list[dict[str, Sequence[Scalar]]] = [
    {}, {"label": ["a"]}, {"label": ["1", "grün"]}, {"label": [1]}, {"label": ['"quoted"', None]}, {"colour": ["a"]},
]  # fmt: skip


@pytest.mark.parametrize("distinct", [False, True])
def test_every_page_of_a_dataset_is_that_of_brute_force(dataset_world: World, distinct: bool) -> None:
    generator = np.random.default_rng(int(distinct))
    for given in LABEL_FILTERS * 3:
        agrees_with_brute_force(dataset_world, generator, given, distinct)
    vector = dataset_world.images[7].vector
    for member, _ in search.nearest(dataset_world.scope, dataset_world.search(vector), 20).matches:
        assert member.metadata == dataset_world.images[int(member.id)].metadata
        assert member.filename == f"{member.metadata['label']}/{member.id}"


def test_ties_of_a_dataset_are_ordered_by_position_as_text(scope: Scope) -> None:
    rows = [
        DatasetImage(position=n, label="a", path="p", sha256=f"{n:064x}", media_type="image/png") for n in range(25)
    ]
    images.keep(scope, claimed(scope, rows), [row.sha256 for row in rows])
    dataset = datasets.add(scope, Dataset(name="d", classes=[], rejected=[], image_count=25), rows)
    embeddings.add(scope, BASE, [(row.sha256, chain(0)[0]) for row in rows])
    looked_for = Search(Members.of_dataset(dataset.id), BASE, chain(0)[0])
    assert all_pages(scope, looked_for, iter([4] * 9)) == sorted(str(n) for n in range(25))


def agrees_with_brute_force(
    world: World, generator: np.random.Generator, given: dict[str, Sequence[Scalar]], distinct: bool
) -> tuple[int, int]:
    """How many are found, and how many were left out as near-duplicates."""
    looked_for = world.search(
        world.query(generator),
        filters=given,
        min_score=None if generator.random() < 0.5 else float(generator.uniform(-0.4, 0.5)),
        without=None if generator.random() < 0.5 else world.images[generator.integers(IMAGES)].id,
        distinct=distinct,
    )
    expected = world.expected(looked_for)
    assert all_pages(world.scope, looked_for, page_sizes(generator)) == expected
    return len(expected), len(world.expected(replace(looked_for, distinct=False))) - len(expected)


@pytest.mark.parametrize("distinct", [False, True])
def test_every_page_of_every_filter_is_that_of_brute_force(world: World, distinct: bool) -> None:
    generator = np.random.default_rng(int(distinct))
    outcomes = [agrees_with_brute_force(world, generator, filters(generator), distinct) for _ in range(40)]
    assert len({found for found, _ in outcomes}) > 15
    assert (sum(folded for _, folded in outcomes) > 100) == distinct


def test_ties_are_ordered_by_id_through_all_pages(world: World) -> None:
    vector = np.ones(DIM, dtype=np.float32) / np.sqrt(np.float32(DIM))
    world.add(np.stack([vector] * 30), [{"kind": "tie"}] * 30)
    looked_for = world.search(vector, filters={"kind": ["tie"]})
    expected = sorted(image.id for image in world.images if image.metadata == {"kind": "tie"})
    assert all_pages(world.scope, looked_for, iter([7] * 9)) == expected
    assert all_pages(world.scope, replace(looked_for, distinct=True), iter([7] * 9)) == expected[:1]


def test_the_score_of_a_result_is_a_min_score_that_finds_it(world: World) -> None:
    looked_for = world.search(world.images[5].vector)
    for image, least in search.nearest(world.scope, looked_for, 50).matches:
        found = search.nearest(world.scope, replace(looked_for, min_score=least), 99).matches
        assert found[-1][0].id == image.id


def chain(*degrees: float) -> FloatArray:
    angles = np.deg2rad(np.array(degrees))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_what_is_left_out_is_like_something_that_is_listed_before_it(scope: Scope) -> None:
    """Along a chain the third is listed: the second, which it is like, is not."""
    near = np.degrees(np.arccos(DUPLICATE_COSINE)) * 0.9
    world = World(scope, Members.of_collection(scope.add(Collection(name="c")).id), [])
    ids = world.add(chain(0, near, 2 * near, 3 * near), [{}] * 4)
    looked_for = world.search(chain(0)[0], distinct=True)
    for size in (1, 2, 9):
        assert all_pages(scope, looked_for, iter([size] * 9)) == [ids[0], ids[2]]


def test_a_group_is_not_listed_again_on_a_later_page(scope: Scope) -> None:
    world = World(scope, Members.of_collection(scope.add(Collection(name="c")).id), [])
    ids = world.add(chain(0, 40, 1, 41, 2, 80), [{}] * 6)
    assert all_pages(scope, world.search(chain(0)[0], distinct=True), iter([1] * 9)) == [ids[0], ids[1], ids[5]]


@pytest.mark.parametrize("distinct", [False, True])
def test_what_comes_and_goes_between_pages_neither_repeats_nor_hides_anything(world: World, distinct: bool) -> None:
    generator = np.random.default_rng(5)
    looked_for = world.search(world.query(generator), distinct=distinct)
    expected = world.expected(looked_for)
    world.scope.session.commit()
    first = search.nearest(world.scope, looked_for, 40)
    world.scope.session.commit()
    late = world.add(np.stack([looked_for.vector / np.linalg.norm(looked_for.vector)] * 3), [{}] * 3)
    late += world.add(np.stack([world.images[n].vector for n in range(100)]), [{}] * 100)
    gone = expected[40:60:5]
    for image in gone if not distinct else ():
        world.scope.delete(world.scope.get(CollectionImage, image))
    world.scope.session.commit()
    found, after = [image.id for image, _ in first.matches], first.end
    while after is not None:
        page = search.nearest(world.scope, looked_for, 40, after)
        found += [image.id for image, _ in page.matches]
        after = page.end
    assert found == [image for image in expected if distinct or image not in gone]
    assert set(late) & set(all_pages(world.scope, looked_for, iter([200] * 9)))  # a new search sees them


def test_a_search_sees_its_own_tenant_collection_and_space_only(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    worlds = [
        World(scope, Members.of_collection(scope.add(Collection(name="c")).id), []) for scope in (mine, mine, other)
    ]
    vectors = chain(0, 90)
    for world in worlds:
        world.add(vectors, [{"colour": "red"}, {"colour": "blue"}])
    for distinct in (False, True):
        for world in worlds:
            looked_for = world.search(vectors[0], filters={"colour": ["red", "blue"]}, distinct=distinct)
            assert all_pages(world.scope, looked_for, iter([1] * 9)) == [image.id for image in world.images]
            foreign = other if world.scope is mine else mine
            assert search.nearest(foreign, looked_for, 9).matches == []
            assert (
                search.nearest(world.scope, replace(looked_for, space=EmbeddingSpace("another", None)), 9).matches == []
            )


def test_a_rare_value_is_found_by_the_index(scope: Scope) -> None:
    collection = scope.add(Collection(name="large")).id
    scope.session.execute(
        text(
            "INSERT INTO collection_images (id, collection_id, filename, sha256, media_type, tenant_id, metadata)"
            " SELECT 'img_' || g, :collection, 'f', md5(g::text), 'image/png', :tenant,"
            " jsonb_build_object('number', g, 'parity', g % 2) FROM generate_series(1, 5000) g"
        ),
        {"collection": collection, "tenant": scope.tenant_id},
    )
    scope.session.execute(
        text(
            "INSERT INTO images (tenant_id, sha256, media_type)"
            " SELECT tenant_id, sha256, media_type FROM collection_images"
        )
    )
    scope.session.execute(
        text(
            "INSERT INTO embeddings (sha256, base_fingerprint, strength, embedding, tenant_id)"
            " SELECT sha256, 'fingerprint', 1, '[1,0]', tenant_id FROM collection_images"
        )
    )
    scope.session.execute(text("ANALYZE collection_images, embeddings"))
    looked_for = Search(Members.of_collection(collection), BASE, chain(0)[0], filters={"number": [77]})
    found = str(plans(scope.session, lambda: search.nearest(scope, looked_for, 9)))
    assert "ix_collection_images_metadata" in found
