from __future__ import annotations

import base64
import hashlib
import io
import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import func, select

from saft_core.data.images import decode_image
from saft_core.store.models import Embedding
from tests.fixtures.rest import Site, new_collection, new_dataset, ok, png, problem


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
        return session.scalar(select(func.count()).select_from(Embedding)) or 0


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


@pytest.fixture
def embedded(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the engine was given, each time."""
    numbers: list[int] = []
    original = site.services.engine.embed_images

    def counted(adapter_id: str | None, images: Any, **how: Any) -> Any:
        numbers.append(len(images))
        return original(adapter_id, images, **how)

    monkeypatch.setattr(site.services.engine, "embed_images", counted)
    return numbers


def test_embeddings_are_made_once_and_for_what_is_missing_only(
    site: Site, client: TestClient, files: dict[str, bytes], embedded: list[int]
) -> None:
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
    site.services.blobs.delete(site.tenant_id(client), sha256)
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


# --- queries of several parts ----------------------------------------------------------------------------------------


class Vectors:
    """What the engine makes of a space's images and texts."""

    def __init__(self, site: Site, files: dict[str, bytes], adapter_id: str | None = None) -> None:
        self._engine, self._adapter_id, self.names = site.services.engine, adapter_id, list(files)
        images = [decode_image(data, site.services.data_limits) for data in files.values()]
        self.images = self._engine.embed_images(adapter_id, images)

    def image(self, name: str) -> Any:
        return self.images[self.names.index(name)]

    def text(self, text: str) -> Any:
        return self._engine.embed_texts(self._adapter_id, [text])[0]

    def ranked(self, query: Any, without: str | None = None) -> list[tuple[str, Any]]:
        scores = self.images @ (query / np.linalg.norm(query))
        best = [(self.names[i], pytest.approx(float(scores[i]), abs=1e-5)) for i in np.argsort(-scores)]
        return [found for found in best if found[0] != without]


def unit(vector: Any) -> Any:
    return vector / np.linalg.norm(vector)


def found(client: TestClient, collection: str, **query: Any) -> list[tuple[str, float]]:
    results = ok(search(client, collection, **query))["results"]
    return [(match["filename"], match["score"]) for match in results]


@pytest.mark.parametrize("adapter", ["base", "icons"])
def test_parts_make_one_query(site: Site, client: TestClient, files: dict[str, bytes], adapter: str) -> None:
    made = site.new_adapter(client, values=0.3)
    vectors = Vectors(site, files, made["id"] if adapter == "icons" else None)
    collection, ids = new_collection(client, files)
    other, text, night = png(50), vectors.text("an owl"), vectors.text("at night")
    sent = Vectors(site, {"x": other}, made["id"] if adapter == "icons" else None).image("x")
    own = vectors.image("3.png")
    for query, vector, without in (
        ({"image_id": ids["3.png"]}, own, "3.png"),
        ({"text": "an owl", "image": b64(other)}, text + sent, None),
        ({"text": "an owl", "image": b64(other), "text_weight": 0.8}, 0.8 * text + 0.2 * sent, None),
        ({"text": "an owl", "image_id": ids["3.png"]}, text + own, "3.png"),
        ({"text": "an owl", "negative_text": "at night"}, 2 * text - night, None),
        ({"image": b64(other), "negative_text": "at night"}, 2 * sent - night, None),
        ({"image_id": ids["3.png"], "negative_text": "at night"}, 2 * own - night, "3.png"),
        ({"text": "an owl", "image": b64(other), "negative_text": "at night"}, 2 * unit(text + sent) - night, None),
    ):
        assert found(client, collection, adapter=adapter, **query) == vectors.ranked(vector, without), query


def test_a_stored_image_is_not_embedded_again(
    site: Site, client: TestClient, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, ids = new_collection(client, files)
    first = found(client, collection, image_id=ids["2.png"])

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr(site.services.engine, "embed_images", refuse)
    assert found(client, collection, image_id=ids["2.png"]) == first
    assert len(first) == len(files) - 1


def test_an_image_to_search_by_is_one_of_the_collection(site: Site, client: TestClient) -> None:
    collection, _ = new_collection(client, {"a.png": png(1)})
    _, others = new_collection(client, {"a.png": png(1)})
    foreign_client = site.new_tenant("other")
    _, foreign = new_collection(foreign_client, {"a.png": png(1)})
    for image in (others["a.png"], foreign["a.png"], "img_unknown"):
        body = problem(search(client, collection, image_id=image), 404, "not_found")
        assert image in body["detail"]


def test_an_image_to_search_by_whose_file_is_gone_is_named(site: Site, client: TestClient) -> None:
    files = {"a.png": png(1), "b.png": png(2)}
    collection, ids = new_collection(client, files)
    site.services.blobs.delete(site.tenant_id(client), hashlib.sha256(files["a.png"]).hexdigest())
    assert "image_id" in problem(search(client, collection, image_id=ids["a.png"]), 422, "invalid_input")["detail"]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"negative_text": "owl"}, ["text", "image", "image_id"]),
        ({"filter": {"a": 1}}, ["text", "image", "image_id"]),
        ({"image": "eA==", "image_id": "img_x"}, ["image", "image_id"]),
        ({"text": "owl", "image": "eA==", "image_id": "img_x"}, ["image", "image_id"]),
        ({"text": "owl", "text_weight": 0.3}, ["text_weight"]),
        ({"image": "eA==", "text_weight": 0.3}, ["text_weight"]),
        ({"text": "owl", "image": "eA==", "text_weight": 1.1}, ["text_weight"]),
        ({"text": "owl", "min_score": 1.1}, ["min_score"]),
        ({"text": "owl", "min_score": "much"}, ["min_score"]),
        ({"text": "owl", "negative_text": " "}, ["negative_text"]),
        ({"text": "owl", "negative_text": "x" * 301}, ["negative_text"]),
        ({"text": "owl", "distinct": "perhaps"}, ["distinct"]),
        ({"text": "owl", "filter": []}, ["filter"]),
        ({"text": "owl", "filter": {"a": {"b": 1}}}, ["filter.a"]),
        ({"text": "owl", "filter": {"a": []}}, ["filter.a"]),
        ({"text": "owl", "filter": {"a": [[]]}}, ["filter.a"]),
        ({"text": "owl", "filter": {"\0": 1}}, ["filter"]),
        ({"text": "owl", "filter": {"a": "\0"}}, ["filter.a"]),
        ({"text": "owl", "image_id": "x" * 65}, ["image_id"]),
        ({"text": "owl", "cursor": "x" * 40_000}, ["cursor"]),
    ],
)
def test_fields_that_do_not_go_together_are_named(client: TestClient, query: dict[str, Any], fields: list[str]) -> None:
    collection, _ = new_collection(client, {})
    answer = search(client, collection, **query)
    assert answer.status_code == 422, answer.text
    for name in fields:
        assert name in answer.json()["detail"]


# --- narrowed, and page by page --------------------------------------------------------------------------------------


def pages(client: TestClient, collection: str, size: int, **query: Any) -> list[tuple[str, float]]:
    """The results of all pages; every page but the last is full."""
    results: list[tuple[str, float]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = ok(search(client, collection, top_k=size, **cursor, **query))
        results += [(match["filename"], match["score"]) for match in page["results"]]
        if page["next_cursor"] is None:
            return results
        assert len(page["results"]) == size
        cursor = {"cursor": page["next_cursor"]}


def test_pages_go_on_where_the_one_before_ended(site: Site, client: TestClient, files: dict[str, bytes]) -> None:
    site.new_adapter(client, values=0.3)
    collection, ids = new_collection(client, files)
    for query in ({"text": "owl"}, {"image": b64(png(60))}, {"image_id": ids["1.png"]}):
        for adapter in ("base", "icons"):
            whole = found(client, collection, adapter=adapter, **query)
            for size in (1, 3, 8):
                assert pages(client, collection, size, adapter=adapter, **query) == whole
    assert ok(search(client, collection, text="owl", top_k=8))["next_cursor"] is None


def test_a_page_goes_on_with_the_vector_that_the_first_was_made_with(
    site: Site, client: TestClient, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that runs in another batch gives another last digit: by it an image would come twice, or not at all."""
    collection, _ = new_collection(client, files)
    whole = found(client, collection, text="owl")
    first = ok(search(client, collection, text="owl", top_k=3))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr(site.services.engine, "embed_texts", refuse)
    assert found(client, collection, text="owl", top_k=9, cursor=first["next_cursor"]) == whole[3:]


def test_filters_and_least_scores_leave_what_fits_them(client: TestClient, files: dict[str, bytes]) -> None:
    metadata = [{"odd": bool(n % 2), "n": n, "tags": [f"t{n % 3}", "all"]} for n in range(len(files))]
    collection, _ = new_collection(client, {})
    parts = [("files", item) for item in files.items()]
    data = {"metadata": [json.dumps(one) for one in metadata]}
    ok(client.post(f"/collections/{collection}/images", files=parts, data=data), 201)
    whole = found(client, collection, text="owl")
    for wanted, numbers in (
        ({"odd": True}, {1, 3, 5, 7}),
        ({"n": [1, 2, 77]}, {1, 2}),
        ({"tags": "t1"}, {1, 4, 7}),
        ({"tags": ["t1", "t2"], "odd": False}, {2, 4}),
        ({"tags": "all"}, set(range(8))),
        ({"odd": 1}, set()),
        ({"unknown": None}, set()),
    ):
        expected = [match for match in whole if int(match[0][0]) in numbers]
        assert found(client, collection, text="owl", filter=wanted) == expected
        assert pages(client, collection, 2, text="owl", filter=wanted) == expected
    least = whole[4][1]
    assert found(client, collection, text="owl", min_score=least) == whole[:5]


def test_of_near_duplicates_the_best_is_shown_through_all_pages(client: TestClient) -> None:
    smooth = Image.fromarray(np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8))
    files = {f"{n}.png": png(n) for n in range(4)}
    for quality in (95, 90, 85):
        file = io.BytesIO()
        smooth.save(file, "JPEG", quality=quality)
        files[f"smooth {quality}.jpg"] = file.getvalue()
    collection, _ = new_collection(client, files)
    whole = found(client, collection, text="owl")
    assert len(whole) == 7
    listed = found(client, collection, text="owl", distinct=True)
    assert sum(name.startswith("smooth") for name, _ in listed) == 1
    assert next(match for match in whole if match[0].startswith("smooth")) in listed
    assert pages(client, collection, 1, text="owl", distinct=True) == listed


def test_a_cursor_belongs_to_its_search(site: Site, client: TestClient, files: dict[str, bytes]) -> None:
    site.new_adapter(client, values=0.3)
    collection, ids = new_collection(client, files)
    other, _ = new_collection(client, files)
    asked: dict[str, Any] = {"text": "owl", "top_k": 2}
    cursor = ok(search(client, collection, **asked))["next_cursor"]
    ok(search(client, collection, **asked | {"cursor": cursor, "top_k": 5}))
    for changed in (
        {"text": "cat"}, {"image": b64(png(1))}, {"image_id": ids["1.png"]}, {"negative_text": "night"},
        {"min_score": -1}, {"filter": {"a": 1}}, {"distinct": True}, {"adapter": "icons"},
    ):  # fmt: skip
        problem(search(client, collection, **asked | changed | {"cursor": cursor}), 422, "invalid_cursor")
    problem(search(client, other, **asked, cursor=cursor), 422, "invalid_cursor")
    for wrong in ("", "x", cursor[:-4], cursor[4:], "é", "A" * 400):
        problem(search(client, collection, **asked, cursor=wrong), 422, "invalid_cursor")
    problem(search(site.new_tenant("other"), collection, **asked, cursor=cursor), 404, "not_found")


def test_what_is_added_between_pages_waits_for_the_next_search(client: TestClient, files: dict[str, bytes]) -> None:
    collection, ids = new_collection(client, files)
    whole = found(client, collection, text="owl")
    first = ok(search(client, collection, text="owl", top_k=3))
    parts = [("files", (f"new {n}.png", png(100 + n))) for n in range(8)]
    ok(client.post(f"/collections/{collection}/images", files=parts), 201)
    gone = whole[4][0]
    client.delete(f"/collections/{collection}/images/{ids[gone]}")
    rest = found(client, collection, text="owl", top_k=20, cursor=first["next_cursor"])
    assert rest == [match for match in whole[3:] if match[0] != gone]
    assert len(found(client, collection, text="owl", top_k=20)) == 15


def test_no_filter_reaches_the_images_of_others(site: Site, client: TestClient) -> None:
    foreign = site.new_tenant("other")
    for owner, colour in ((client, "red"), (foreign, "blue")):
        collection, _ = new_collection(owner, {})
        data = {"metadata": json.dumps({"colour": colour})}
        ok(owner.post(f"/collections/{collection}/images", files={"files": ("a.png", png(1))}, data=data), 201)
        for distinct in (False, True):
            for asked, count in (({"colour": "red"}, colour == "red"), ({"colour": ["red", "blue"]}, 1)):
                query = {"image": b64(png(1)), "filter": asked, "distinct": distinct}
                assert len(found(owner, collection, **query)) == count


# --- in a dataset ----------------------------------------------------------------------------------------------------


def in_dataset(client: TestClient, dataset: str, **query: Any) -> Any:
    return client.post("/retrieve", json={"dataset_id": dataset} | query)


def test_a_dataset_is_searched_like_a_collection(site: Site, client: TestClient, files: dict[str, bytes]) -> None:
    site.new_adapter(client, values=0.3)
    named = {f"{'cat' if n % 2 else 'dog'}/{name}": data for n, (name, data) in enumerate(files.items())}
    dataset = new_dataset(client, named)["id"]
    collection, ids = new_collection(client, named)
    images = ok(client.get(f"/datasets/{dataset}/images"))["items"]
    positions = {image["path"]: str(image["position"]) for image in images}
    for query in (
        {"text": "owl"}, {"text": "owl", "adapter": "icons"}, {"image": b64(png(60)), "min_score": -0.1},
        {"text": "owl", "distinct": True}, {"text": "owl", "negative_text": "cat"},
        {"text": "owl", "top_k": 3}, {"image_id": "cat/1.png"}, {"text": "owl", "image_id": "dog/2.png"},
    ):  # fmt: skip
        asked: list[dict[str, Any]] = [dict(query), dict(query)]
        if "image_id" in query:
            asked = [query | {"image_id": place[str(query["image_id"])]} for place in (positions, ids)]
        own, other = ok(in_dataset(client, dataset, **asked[0])), ok(search(client, collection, **asked[1]))
        assert [(match["filename"], match["score"]) for match in own["results"]] == [
            (match["filename"], match["score"]) for match in other["results"]
        ], query
        assert (own["next_cursor"] is None) == (other["next_cursor"] is None)
        for match in own["results"]:
            assert match["image_id"] == positions[match["filename"]]
            assert match["metadata"] == {"label": match["filename"].split("/")[0]}
            answer = client.get(f"/datasets/{dataset}/images/{match['image_id']}")
            assert answer.content == named[match["filename"]]


def test_a_dataset_is_narrowed_by_its_labels_and_paged(client: TestClient, files: dict[str, bytes]) -> None:
    dataset = new_dataset(client, {f"{'cat' if n % 2 else 'dog'}/{n}.png": files[f"{n}.png"] for n in range(8)})["id"]
    whole = ok(in_dataset(client, dataset, text="owl"))["results"]
    for label, count in (("cat", 4), (["cat", "dog"], 8), ("owl", 0), (["cat", 1, None], 4)):
        found = ok(in_dataset(client, dataset, text="owl", filter={"label": label}))["results"]
        assert found == [match for match in whole if match["metadata"]["label"] in label]
        assert len(found) == count
    assert ok(in_dataset(client, dataset, text="owl", filter={"colour": "cat"}))["results"] == []
    results: list[Any] = []
    cursor = None
    while not results or cursor:
        page = ok(in_dataset(client, dataset, text="owl", top_k=3, **({"cursor": cursor} if cursor else {})))
        results, cursor = results + page["results"], page["next_cursor"]
    assert results == whole
    first = ok(in_dataset(client, dataset, text="owl", top_k=3))["next_cursor"]
    other = new_dataset(client, {f"{'cat' if n % 2 else 'dog'}/{n}.png": files[f"{n}.png"] for n in range(8)})["id"]
    problem(in_dataset(client, other, text="owl", cursor=first), 422, "invalid_cursor")


def test_an_image_is_embedded_once_whatever_it_is_in(
    site: Site, client: TestClient, files: dict[str, bytes], embedded: list[int]
) -> None:
    dataset = new_dataset(client, {f"{'cat' if n % 2 else 'dog'}/{n}.png": files[f"{n}.png"] for n in range(6)})["id"]
    collections = [new_collection(client, files)[0] for _ in range(2)]
    revision = ok(client.post(f"/datasets/{dataset}/revisions", json={"remove": [0]}), 201)["id"]
    ok(in_dataset(client, dataset, text="owl"))
    for collection in collections:
        ok(search(client, collection, text="owl"))
    ok(in_dataset(client, revision, text="owl"))
    assert embedded == [6, 2]
    foreign, _ = new_collection(site.new_tenant("other"), {})
    problem(search(client, foreign, text="owl"), 404, "not_found")


def test_where_to_search_is_one_of_the_two(site: Site, client: TestClient, files: dict[str, bytes]) -> None:
    dataset, (collection, ids) = new_dataset(client)["id"], new_collection(client, files)
    for where in ({}, {"collection_id": collection, "dataset_id": dataset}):
        body = problem(client.post("/retrieve", json={"text": "owl"} | where), 422, "invalid_input")
        assert "collection_id and dataset_id" in body["detail"]
    foreign = new_dataset(site.new_tenant("other"))["id"]
    for unknown in ("ds_unknown", collection, foreign):
        problem(in_dataset(client, unknown, text="owl"), 404, "not_found")
    problem(search(client, dataset, text="owl"), 404, "not_found")
    for image_id in ("4", "00", "-1", " 0", "0.0", "99999999999999999999", "\u0660", next(iter(ids.values()))):
        assert image_id in problem(in_dataset(client, dataset, image_id=image_id), 404, "not_found")["detail"]


def test_images_of_the_version_before_are_searched_too(site: Site, client: TestClient, files: dict[str, bytes]) -> None:
    collection, _ = new_collection(client, files)
    root, tenant_id = site.services.settings.blob_dir, site.tenant_id(client)
    (root / "images" / tenant_id).rename(root / collection)
    with site.services.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE collection_images SET adopted = false")
        session.connection().exec_driver_sql("DELETE FROM images")
    assert len(ok(search(client, collection, text="owl"))["results"]) == len(files)
