from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store import embeddings, search
from saft_core.store.embeddings import EmbeddingSpace
from saft_core.store.members import Member, Members
from saft_core.store.models import Adapter, Collection, CollectionImage, Embedding, Image
from saft_core.store.scope import Scope
from saft_core.store.search import Search
from tests.fixtures import tenants
from tests.fixtures.plans import rows_visited
from tests.fixtures.tenants import add_adapter, add_dataset, add_tenant

BASE = EmbeddingSpace("fingerprint", None)


def add_images(scope: Scope, count: int, name: str = "c") -> tuple[str, list[str]]:
    """A collection of so many images, and their ids."""
    collection = scope.add(Collection(name=name))
    images = [CollectionImage(filename=f"{n}.png", sha256=sha256(n), media_type="image/png") for n in range(count)]
    return collection.id, [image.id for image in tenants.add_images(scope, collection.id, images)]


def sha256(number: int) -> str:
    return f"{number:064x}"


def nearest(
    scope: Scope,
    collection: str,
    space: EmbeddingSpace,
    vector: np.ndarray[tuple[int], np.dtype[np.float32]],
    limit: int,
) -> list[tuple[Member, float]]:
    return list(search.nearest(scope, Search(Members.of_collection(collection), space, vector), limit).matches)


def unit(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    vector = np.array(values, dtype=np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def hashes(count: int) -> list[str]:
    return [sha256(number) for number in range(count)]


def test_the_nearest_by_cosine_best_first_whatever_the_length(scope: Scope) -> None:
    collection, images = add_images(scope, 4)
    vectors = [unit(0, 1, 0), unit(1, 1, 0), unit(1, 0, 0), unit(-1, 0, 0)]
    embeddings.add(scope, BASE, zip(hashes(4), vectors, strict=True))
    found = nearest(scope, collection, BASE, unit(1, 0, 0) * 5, 3)
    assert [image.id for image, _ in found] == [images[2], images[1], images[0]]
    assert [score for _, score in found] == pytest.approx([1, 2**-0.5, 0], abs=1e-6)


def test_the_order_agrees_with_numpy_over_many_vectors(scope: Scope) -> None:
    generator = np.random.default_rng(0)
    collection, images = add_images(scope, 200)
    vectors = generator.normal(size=(200, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = generator.normal(size=32).astype(np.float32)
    embeddings.add(scope, BASE, zip(hashes(200), vectors, strict=True))
    expected = [images[position] for position in np.argsort(-(vectors @ query), kind="stable")[:50]]
    found = nearest(scope, collection, BASE, query, 50)
    assert [image.id for image, _ in found] == expected


def test_equal_scores_are_ordered_by_id(scope: Scope) -> None:
    collection, images = add_images(scope, 5)
    embeddings.add(scope, BASE, [(name, unit(1, 2)) for name in hashes(5)])
    found = nearest(scope, collection, BASE, unit(1, 2), 5)
    assert [image.id for image, _ in found] == sorted(images)


def test_spaces_collections_and_tenants_do_not_mix(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    adapter = add_adapter(mine, "a")
    collection, images = add_images(mine, 2)
    second, _ = add_images(mine, 0, "second")
    adapted = EmbeddingSpace("fingerprint", adapter.id)
    embeddings.add(mine, BASE, [(sha256(0), unit(1, 0))])
    embeddings.add(mine, adapted, [(sha256(1), unit(1, 0))])
    embeddings.add(other, BASE, [(sha256(1), unit(1, 0))])  # not theirs: nothing happens

    def found(scope: Scope, where: str, space: EmbeddingSpace) -> list[str]:
        return [image.id for image, _ in nearest(scope, where, space, unit(1, 0), 9)]

    assert found(mine, collection, BASE) == [images[0]]
    assert found(mine, collection, adapted) == [images[1]]
    assert found(mine, collection, EmbeddingSpace("other base", None)) == []
    assert found(mine, second, BASE) == []
    assert found(other, collection, BASE) == []
    assert session.scalar(select(func.count()).select_from(Embedding)) == 2


def test_an_embedding_is_shared_by_all_that_an_image_is_in(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    (first, _), (second, _), (foreign, _) = add_images(mine, 3), add_images(mine, 2), add_images(other, 2)
    dataset = add_dataset(mine, images=2)
    embeddings.add(mine, BASE, [(sha256(0), unit(1, 0))])

    def missing(scope: Scope, members: Members) -> set[str]:
        return {image.sha256 for image in embeddings.missing(scope, members, BASE)}

    assert missing(mine, Members.of_collection(first)) == {sha256(1), sha256(2)}
    assert missing(mine, Members.of_collection(second)) == {sha256(1)}
    assert missing(mine, Members.of_dataset(dataset.id)) == {sha256(1)}
    assert missing(other, Members.of_collection(foreign)) == {sha256(0), sha256(1)}


def test_what_has_no_embedding_yet_is_asked_a_space(scope: Scope) -> None:
    adapter = add_adapter(scope, "a")
    collection, images = add_images(scope, 3)
    embeddings.add(scope, BASE, [(sha256(1), unit(1, 0))])

    def missing(space: EmbeddingSpace) -> set[str]:
        return {image.id for image in embeddings.missing(scope, Members.of_collection(collection), space)}

    assert missing(BASE) == {images[0], images[2]}
    assert missing(EmbeddingSpace("fingerprint", adapter.id)) == set(images)
    assert missing(EmbeddingSpace("other base", None)) == set(images)


def test_an_embedding_is_stored_once_and_the_first_one_stays(scope: Scope) -> None:
    collection, _ = add_images(scope, 1)
    for vector in (unit(1, 0), unit(0, 1)):
        embeddings.add(scope, BASE, [(sha256(0), vector)])
    ((_, score),) = nearest(scope, collection, BASE, unit(1, 0), 9)
    assert score == pytest.approx(1)


def test_requests_that_embed_the_same_images_at_once_do_not_disturb_each_other(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        scope = add_tenant(session)
        collection, _ = add_images(scope, 20)

    def embed(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(hashes(20))
        with sessions.begin() as session:
            embeddings.add(Scope(session, scope.tenant_id), BASE, [(str(name), unit(1, 0)) for name in order])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(embed, range(8)))
    with sessions() as session:
        found = nearest(Scope(session, scope.tenant_id), collection, BASE, unit(1, 0), 99)
        assert len(found) == 20


def remove(scope: Scope, *numbers: int) -> None:
    """Remove images, as if nobody referred to them."""
    scope.session.execute(delete(Image).where(Image.sha256.in_(map(sha256, numbers))))


def test_an_image_removed_in_the_meantime_is_left_out(scope: Scope) -> None:
    add_images(scope, 2)
    remove(scope, 0)
    embeddings.add(scope, BASE, [(name, unit(1, 0)) for name in hashes(2)])
    assert scope.session.scalars(select(Embedding.sha256)).all() == [sha256(1)]


def test_embeddings_go_with_their_image_or_adapter(scope: Scope) -> None:
    adapter = add_adapter(scope, "a")
    add_images(scope, 2)
    for space in (BASE, EmbeddingSpace("fingerprint", adapter.id)):
        embeddings.add(scope, space, [(name, unit(1, 0)) for name in hashes(2)])
    count = select(func.count()).select_from(Embedding)
    scope.delete(scope.get(Adapter, adapter.id))
    assert scope.session.scalar(count) == 2
    remove(scope, 0)
    assert scope.session.scalar(count) == 1


# --- what a search costs ---------------------------------------------------------------------------------------------


def fill(scope: Scope, count: int) -> Members:
    """A collection of so many images, each with two embeddings under the base's name."""
    collection = scope.add(Collection(name="large")).id
    values = {"n": count, "collection": collection, "tenant": scope.tenant_id}
    for statement in (
        "INSERT INTO images (sha256, media_type, size_bytes, tenant_id)"
        " SELECT md5(g::text), 'image/png', 1, :tenant FROM generate_series(1, :n) g",
        "INSERT INTO collection_images (id, collection_id, filename, sha256, media_type, tenant_id)"
        " SELECT 'img_' || :collection || g, :collection, 'f', md5(g::text), 'image/png', :tenant"
        " FROM generate_series(1, :n) g",
        "INSERT INTO embeddings (sha256, base_fingerprint, strength, embedding, tenant_id)"
        " SELECT i.sha256, base, 1, '[1,0]', :tenant"
        " FROM collection_images i, unnest(ARRAY['fingerprint', 'other']) base WHERE i.collection_id = :collection",
    ):
        scope.session.execute(text(statement), values)
    scope.session.execute(text("ANALYZE collection_images, embeddings, images"))
    return Members.of_collection(collection)


def test_a_search_is_linear_in_the_images(session: Session) -> None:
    """`NOT IN` went through all embeddings for each image as soon as they no longer fitted the working memory."""
    session.execute(text("SET LOCAL work_mem = '64kB'"))
    visited = {}
    for count in (1_000, 4_000):
        scope = add_tenant(session, f"tenant of {count}")
        members = fill(scope, count)

        def look(scope: Scope = scope, members: Members = members) -> None:
            assert embeddings.missing(scope, members, BASE) == []
            assert len(search.nearest(scope, Search(members, BASE, unit(1, 0)), 5).matches) == 5

        visited[count] = rows_visited(session, look)
    assert visited[4_000] < 8 * visited[1_000]


def test_making_room_is_linear_in_the_images(session: Session) -> None:
    session.execute(text("SET LOCAL work_mem = '64kB'"))
    visited = {}
    for count in (1_000, 4_000):
        scope = add_tenant(session, f"tenant of {count}")
        members = fill(scope, count)
        adapter = add_adapter(scope, "a")
        columns = {"adapter": adapter.id, "tenant": scope.tenant_id}
        query = "UPDATE embeddings SET adapter_id = :adapter, strength = 0.5 WHERE tenant_id = :tenant"
        session.execute(text(query), columns)
        space = EmbeddingSpace("fingerprint", adapter.id, 0.7)

        def make_room(scope: Scope = scope, members: Members = members, space: EmbeddingSpace = space) -> None:
            embeddings.drop_oldest(scope, members, space, 4, kept=[1.0])

        visited[count] = rows_visited(session, make_room)
    assert visited[4_000] < 8 * visited[1_000]
