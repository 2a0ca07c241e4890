from __future__ import annotations

import base64
import hashlib
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from saft_core.data.images import decode_image
from saft_core.store.models import ImageEmbedding
from tests.fixtures.rest import Site, new_collection, ok, png, problem


@pytest.fixture
def files() -> dict[str, bytes]:
    return {f"{n}.png": png(n) for n in range(8)}


def search(client: TestClient, collection: str, **query: Any) -> Any:
    return client.post("/retrieve", json={"collection_id": collection} | query)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ranked(site: Site, files: dict[str, bytes], adapter_id: str | None, text: str) -> list[tuple[str, Any]]:
    """What cosine similarity over the engine's embeddings gives."""
    engine = site.services.engine
    images = engine.embed_images(adapter_id, [decode_image(data, site.services.data_limits) for data in files.values()])
    scores = images @ engine.embed_texts(adapter_id, [text])[0]
    names = list(files)
    return [(names[i], pytest.approx(float(scores[i]), abs=1e-5)) for i in np.argsort(-scores)]


def embeddings(site: Site) -> int:
    with site.services.sessions() as session:
        return session.scalar(select(func.count()).select_from(ImageEmbedding)) or 0


def test_a_text_finds_images_by_cosine_best_first(site: Site, client: TestClient, files: dict[str, bytes]) -> None:
    adapter = site.new_adapter(client, values=0.3)
    collection, ids = new_collection(client, files)
    orders = []
    for asked, adapter_id in (("base", None), ("icons", adapter["id"]), (adapter["id"], adapter["id"])):
        results = ok(search(client, collection, adapter=asked, text=" an owl "))["results"]
        expected = ranked(site, files, adapter_id, "an owl")
        assert [(result["filename"], result["score"]) for result in results] == expected
        assert [result["image_id"] for result in results] == [ids[name] for name, _ in expected]
        orders.append([(result["filename"], result["score"]) for result in results])
    assert orders[0] != orders[1]
    assert orders[1] == orders[2]


def test_an_image_finds_itself_first(site: Site, client: TestClient, files: dict[str, bytes]) -> None:
    site.new_adapter(client)
    collection, ids = new_collection(client, files)
    for adapter in ("base", "icons"):
        results = ok(search(client, collection, adapter=adapter, image=b64(files["5.png"]), top_k=3))["results"]
        assert len(results) == 3
        assert results[0]["image_id"] == ids["5.png"]
        assert results[0]["score"] == pytest.approx(1, abs=1e-5)


def test_embeddings_are_made_once_and_for_what_is_missing_only(
    site: Site, client: TestClient, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[int] = []
    original = site.services.engine.embed_images

    def counted(adapter_id: str | None, images: Any, **how: Any) -> Any:
        embedded.append(len(images))
        return original(adapter_id, images, **how)

    monkeypatch.setattr(site.services.engine, "embed_images", counted)
    collection, _ = new_collection(client, files)
    assert embeddings(site) == 0
    first = ok(search(client, collection, text="owl"))
    assert (embedded, embeddings(site)) == ([8], 8)
    assert ok(search(client, collection, text="owl")) == first
    assert embedded == [8]
    parts = [("files", ("new.png", png(99)))]
    ok(client.post(f"/collections/{collection}/images", files=parts), 201)
    assert len(ok(search(client, collection, text="owl"))["results"]) == 9
    assert embedded == [8, 1]
    site.new_adapter(client)
    ok(search(client, collection, text="owl", adapter="icons"))
    assert embedded == [8, 1, 9]


def test_a_deleted_image_is_no_longer_found(client: TestClient, files: dict[str, bytes]) -> None:
    collection, ids = new_collection(client, files)
    ok(search(client, collection, text="owl"))
    client.delete(f"/collections/{collection}/images/{ids['3.png']}")
    found = {result["filename"] for result in ok(search(client, collection, text="owl"))["results"]}
    assert found == set(files) - {"3.png"}


def test_an_image_whose_file_is_gone_does_not_stop_the_search(
    site: Site, client: TestClient, files: dict[str, bytes]
) -> None:
    collection, _ = new_collection(client, files)
    sha256 = hashlib.sha256(files["3.png"]).hexdigest()
    site.services.blobs.delete(collection, sha256)
    found = {result["filename"] for result in ok(search(client, collection, text="owl"))["results"]}
    assert found == set(files) - {"3.png"}


def test_an_empty_collection_has_no_results(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    assert ok(search(client, collection, text="owl")) == {"results": [], "next_cursor": None}
    assert ok(search(client, collection, image=b64(png()))) == {"results": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "text or image"),
        ({"text": "owl", "image": "eA=="}, "image"),
        ({"text": ""}, "text"),
        ({"text": "x" * 301}, "300"),
        ({"image": "eA=="}, "image"),
        ({"image": "???"}, "base64"),
        ({"text": "owl", "top_k": 0}, "top_k"),
        ({"text": "owl", "top_k": 1001}, "max_top_k"),
        ({"text": "owl", "k": 3}, "k"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(client: TestClient, query: dict[str, Any], words: str) -> None:
    collection, _ = new_collection(client, {})
    answer = search(client, collection, **query)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_text_that_would_be_read_in_part_is_refused_with_its_number_of_tokens(
    client: TestClient, files: dict[str, bytes]
) -> None:
    collection, _ = new_collection(client, files)
    ten = "one two three four five six seven eight nine ten"
    body = problem(search(client, collection, text=f"{ten} eleven"), 422, "text_too_long")
    assert (body["text"], body["tokens"], body["max_tokens"]) == (f"{ten} eleven", 13, 12)
    assert "13 tokens" in body["detail"]
    assert len(ok(search(client, collection, text=ten))["results"]) == len(files)
    problem(search(client, collection, text="owl<end_of_text>at night"), 422, "reserved_text")


def test_an_unknown_adapter_or_collection(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    problem(search(client, collection, text="owl", adapter="unknown"), 404, "not_found")
    problem(search(client, "col_unknown", text="owl"), 404, "not_found")
