from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.metadata import MAX_FILTER_VALUES, checked_filter, checked_metadata, read_metadata
from saft_core.errors import InvalidInput
from saft_core.settings import Limits
from tests.fixtures.rest import Site, new_collection, ok, png, problem, stored_files

LIMITS = Limits(max_metadata_keys=3, max_metadata_bytes=60)


def add(client: TestClient, collection: str, files: dict[str, bytes], *metadata: Any, **options: Any) -> Any:
    parts = [("files", item) for item in files.items()]
    texts = [one if isinstance(one, str) else json.dumps(one) for one in metadata]
    return client.post(f"/collections/{collection}/images", files=parts, data={"metadata": texts}, **options)


def shown(client: TestClient, collection: str) -> dict[str, Any]:
    listed = ok(client.get(f"/collections/{collection}/images"))["items"]
    return {image["filename"]: image["metadata"] for image in listed}


@pytest.mark.parametrize(
    "given",
    [{}, {"a": "x"}, {"a": ""}, {"a": 1}, {"a": -1.5}, {"a": True}, {"a": None}, {"a": []}, {"a": ["x", "y"]},
     {"é ü": "猫"}, {"a": 2**63 - 1}, {"a": "x" * 52}],
)  # fmt: skip
def test_flat_values_are_taken_as_they_are(given: dict[str, Any]) -> None:
    assert checked_metadata(given, LIMITS) == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "metadata: give a JSON object"), ("x", "metadata: give a JSON object"), (1, "JSON object"),
        ({"a": {"b": 1}}, "metadata.a"), ({"a": [1]}, "metadata.a"), ({"a": [["x"]]}, "metadata.a"),
        ({"a": [None]}, "metadata.a"), ({"a": 2**63}, "metadata.a"), ({"a": -(2**64)}, "metadata.a"),
        ({"a": 10**400}, "metadata.a"), ({"a": float("nan")}, "metadata.a"), ({"a": float("inf")}, "metadata.a"),
        ({"a": "x\0"}, "NUL"), ({"a": ["x\0"]}, "NUL"), ({"": 1}, "0 characters"), ({"x" * 101: 1}, "101 characters"),
        ({"a\0": 1}, "control"), ({"a\n": 1}, "control"), ({"a": "x" * 53}, "max_metadata_bytes"),
        ({"a": "é" * 30}, "max_metadata_bytes"), (dict.fromkeys("abcd"), "max_metadata_keys"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(given: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match="metadata") as caught:
        checked_metadata(given, LIMITS)
    assert words in caught.value.message


def test_a_filter_has_values_for_each_key() -> None:
    given = {"a": "x", "b": [1, "y", None]}
    assert checked_filter(given, LIMITS) == {"a": ["x"], "b": [1, "y", None]}
    assert checked_filter(None, LIMITS) == checked_filter({}, LIMITS) == {}
    many = list(range(MAX_FILTER_VALUES + 1))
    wrong: dict[str, Any]
    for wrong in ({"a": []}, {"a": many}, {"a": {}}, {"a": [[1]]}, {"a": "x" * 60}, {"a\0": 1}, {"a": float("nan")}):
        with pytest.raises(InvalidInput, match="filter"):
            checked_filter(wrong, LIMITS)


def test_metadata_goes_to_the_files_in_their_order_or_is_left_out() -> None:
    names = ["a.png", "b.png"]
    assert read_metadata([], names, LIMITS) == [None, None]
    assert read_metadata(['{"a": 1}', " null "], names, LIMITS) == [{"a": 1}, None]
    with pytest.raises(InvalidInput, match="1 for 2 files"):
        read_metadata(["{}"], names, LIMITS)
    for text in ("", "{", "[1]", '{"a": NaN}', "[" * 10_000, '{"a": 1e400}', '{"a": ' + "9" * 5000 + "}"):
        with pytest.raises(InvalidInput, match=r"metadata\[1\] \(b.png\)"):
            read_metadata(["{}", text], names, LIMITS)


def test_each_image_shows_what_was_sent_with_it(client: TestClient) -> None:
    collection, _ = new_collection(client, {"none.png": png(0)})
    sent = {"colour": "red", "year": 2024, "price": 9.5, "new": True, "note": None, "tags": ["a", "ü"]}
    files = {"a.png": png(1), "bad.txt": b"text", "b.png": png(2), "c.png": png(3)}
    added = ok(add(client, collection, files, sent, {"is": "bad"}, None, {"last": 1}), 201)
    assert {image["filename"]: image["metadata"] for image in added["images"]} == {
        "a.png": sent, "b.png": {}, "c.png": {"last": 1}
    }  # fmt: skip
    assert shown(client, collection) == {"none.png": {}, "a.png": sent, "b.png": {}, "c.png": {"last": 1}}
    found = ok(client.post("/retrieve", json={"collection_id": collection, "text": "owl"}))["results"]
    assert {match["filename"]: match["metadata"] for match in found} == shown(client, collection)


def test_the_same_bytes_again_replace_metadata_where_there_is_any(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    ok(add(client, collection, {"a.png": png(1)}, {"first": 1, "kept": 1}), 201)
    ok(add(client, collection, {"again.png": png(1)}), 201)
    assert shown(client, collection) == {"a.png": {"first": 1, "kept": 1}}
    again = ok(add(client, collection, {"again.png": png(1), "b.png": png(2)}, {"second": 2}, None), 201)
    assert again["images"][0]["metadata"] == {"second": 2}
    assert shown(client, collection) == {"a.png": {"second": 2}, "b.png": {}}
    twice = [("files", ("x.png", png(3))), ("files", ("y.png", png(3))), ("files", ("z.png", png(3)))]
    data = {"metadata": ['{"n": 1}', '{"n": 2}', "null"]}
    ok(client.post(f"/collections/{collection}/images", files=twice, data=data), 201)
    assert shown(client, collection)["x.png"] == {"n": 2}
    ok(add(client, collection, {"a.png": png(1)}, {}), 201)
    assert shown(client, collection)["a.png"] == {}


def test_wrong_metadata_refuses_the_upload_whole(site: Site, client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    for metadata in (["{"], [{"a": {"b": 1}}, None], [None], [{"a": "\0"}, None], [{"a": 1}] * 3):
        body = problem(add(client, collection, {"a.png": png(1), "b.png": png(2)}, *metadata), 422, "invalid_input")
        assert "metadata" in body["detail"]
    parts = [("files", ("a.png", png(1))), ("metadata", ("m.json", b"{}"))]
    answer = client.post(f"/collections/{collection}/images", files=parts)
    assert "metadata" in problem(answer, 422, "invalid_input")["detail"]
    assert shown(client, collection) == {}
    assert stored_files(site) == set()


def test_the_limits_are_those_that_are_set(site: Site) -> None:
    client = site.with_limits(max_metadata_keys=1, max_metadata_bytes=20).new_tenant()
    collection, images = new_collection(client, {"a.png": png(1)})
    path = f"/collections/{collection}/images/{images['a.png']}/metadata"
    for body, limit in (({"a": 1, "b": 2}, "max_metadata_keys"), ({"a": "x" * 20}, "max_metadata_bytes")):
        assert limit in problem(client.put(path, json=body), 422, "invalid_input")["detail"]
        query = {"collection_id": collection, "text": "owl", "filter": body}
        assert limit in problem(client.post("/retrieve", json=query), 422, "invalid_input")["detail"]


def test_an_idempotent_upload_is_told_apart_by_its_metadata(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    options = {"headers": {"Idempotency-Key": "k"}}
    first = ok(add(client, collection, {"a.png": png(1)}, {"n": 1}, **options), 201)
    assert ok(add(client, collection, {"a.png": png(1)}, {"n": 1}, **options), 201) == first
    problem(add(client, collection, {"a.png": png(1)}, {"n": 2}, **options), 422, "idempotency_mismatch")
    assert shown(client, collection) == {"a.png": {"n": 1}}


def test_metadata_is_replaced_whole_by_put(client: TestClient) -> None:
    collection, images = new_collection(client, {"a.png": png(1), "b.png": png(2)})
    path = f"/collections/{collection}/images/{images['a.png']}/metadata"
    answer = ok(client.put(path, json={"a": 1, "b": ["x"]}))
    assert (answer["id"], answer["metadata"]) == (images["a.png"], {"a": 1, "b": ["x"]})
    ok(client.put(path, json={"c": None}))
    assert shown(client, collection) == {"a.png": {"c": None}, "b.png": {}}
    body: Any
    for body in ([], "x", None, 1, {"a": {}}, {"a": [1]}):
        assert client.put(path, json=body).status_code == 422
    assert shown(client, collection)["a.png"] == {"c": None}
    assert ok(client.put(path, json={}))["metadata"] == {}
    other, _ = new_collection(client, {})
    wrong = f"/collections/{other}/images/{images['a.png']}/metadata"
    problem(client.put(wrong, json={}), 404, "not_found")


def test_writers_at_once_leave_one_of_what_they_wrote(client: TestClient) -> None:
    collection, images = new_collection(client, {"a.png": png(1)})
    path = f"/collections/{collection}/images/{images['a.png']}/metadata"
    with ThreadPoolExecutor(4) as pool:
        puts = [pool.submit(client.put, path, json={"n": n, "same": n}) for n in range(10)]
        adds = [pool.submit(add, client, collection, {"a.png": png(1)}, {"n": n, "same": n}) for n in range(10, 20)]
        assert {one.result().status_code for one in puts} == {200}
        assert {one.result().status_code for one in adds} == {201}
    (left,) = shown(client, collection).values()
    assert left["n"] == left["same"]
