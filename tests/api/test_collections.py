from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fixtures.rest import Site, labelled, new_collection, ok, png, problem, stored_files


def add(client: TestClient, collection: str, files: dict[str, bytes], **options: Any) -> Any:
    return client.post(
        f"/collections/{collection}/images", files=[("files", item) for item in files.items()], **options
    )


def test_a_collection_is_made_shown_and_deleted(site: Site, client: TestClient) -> None:
    answer = client.post("/collections", json={"name": " pictures "})
    made = ok(answer, 201)
    assert answer.headers["location"] == f"/collections/{made['id']}"
    assert (made["name"], made["image_count"]) == ("pictures", 0)
    add(client, made["id"], labelled())
    shown = ok(client.get(f"/collections/{made['id']}"))
    assert shown == made | {"image_count": 4}
    assert ok(client.get("/collections"))["items"] == [shown]
    assert len(stored_files(site)) == 4
    assert client.delete(f"/collections/{made['id']}").status_code == 204
    problem(client.get(f"/collections/{made['id']}"), 404, "not_found")
    problem(add(client, made["id"], labelled()), 404, "not_found")
    assert len(stored_files(site)) == 0


def test_good_images_are_added_and_bad_ones_listed(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    files = {"a/1.png": png(1), "text.txt": b"text", "2.jpg": png(2, form="JPEG"), "cut.png": png(3)[:-200]}
    added = ok(add(client, collection, files), 201)
    assert [image["filename"] for image in added["images"]] == ["a/1.png", "2.jpg"]
    assert {r["path"]: r["code"] for r in added["rejected"]} == {"text.txt": "not_an_image", "cut.png": "damaged_image"}
    listed = ok(client.get(f"/collections/{collection}/images"))["items"]
    assert sorted(image["filename"] for image in listed) == ["2.jpg", "a/1.png"]


def test_an_image_comes_back_as_it_was_and_is_deleted(site: Site, client: TestClient) -> None:
    files = labelled()
    collection, images = new_collection(client, files)
    for name, image in images.items():
        answer = client.get(f"/collections/{collection}/images/{image}")
        assert answer.content == files[name]
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["x-content-type-options"] == "nosniff"
    image = images["cat/0.png"]
    assert client.delete(f"/collections/{collection}/images/{image}").status_code == 204
    problem(client.get(f"/collections/{collection}/images/{image}"), 404, "not_found")
    problem(client.delete(f"/collections/{collection}/images/{image}"), 404, "not_found")
    assert len(stored_files(site)) == 3
    assert ok(client.get(f"/collections/{collection}"))["image_count"] == 3


def test_the_same_bytes_are_one_image(site: Site, client: TestClient) -> None:
    collection, images = new_collection(client, {"first.png": png(1)})
    added = ok(add(client, collection, {"second.png": png(1), "new.png": png(2), "newer.png": png(2)}), 201)
    assert [image["filename"] for image in added["images"]] == ["first.png", "new.png"]
    assert added["images"][0]["id"] == images["first.png"]
    assert ok(client.get(f"/collections/{collection}"))["image_count"] == len(stored_files(site)) == 2


def test_without_a_usable_image_nothing_is_added(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    body = problem(add(client, collection, {"a.txt": b"text", "b.png": b""}), 422, "no_images")
    assert {r["path"]: r["code"] for r in body["rejected"]} == {"a.txt": "not_an_image", "b.png": "empty_file"}
    answer = client.post(f"/collections/{collection}/images", files={"other": b""})
    problem(answer, 422, "invalid_input")


def test_a_full_collection_takes_no_more_and_keeps_no_file(site: Site) -> None:
    client = site.with_limits(max_collection_images=3).new_tenant()
    collection, _ = new_collection(client, {"1.png": png(1), "2.png": png(2)})
    body = problem(add(client, collection, {"2.png": png(2), "3.png": png(3), "4.png": png(4)}), 413, "too_large")
    assert "max_collection_images" in body["detail"]
    assert ok(client.get(f"/collections/{collection}"))["image_count"] == len(stored_files(site)) == 2
    ok(add(client, collection, {"1.png": png(1), "2.png": png(2), "3.png": png(3)}), 201)


def test_uploads_at_once_of_the_same_images_leave_each_once(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    files = {f"{n}.png": png(n) for n in range(6)}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ok(add(client, collection, files), 201), range(4)))
    assert len({tuple(image["id"] for image in answer["images"]) for answer in answers}) == 1
    assert ok(client.get(f"/collections/{collection}"))["image_count"] == 6


def test_an_image_that_is_added_while_it_is_deleted_has_its_file(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    for round_ in range(5):
        image = ok(add(client, collection, {"a.png": png(1)}), 201)["images"][0]["id"]
        with ThreadPoolExecutor(2) as pool:
            deletion = pool.submit(client.delete, f"/collections/{collection}/images/{image}")
            addition = pool.submit(add, client, collection, {"a.png": png(1)})
            assert deletion.result().status_code == 204, round_
            added = ok(addition.result(), 201)["images"][0]["id"]
        answer = client.get(f"/collections/{collection}/images/{added}")
        assert answer.status_code == 404 if added == image else answer.content == png(1)


def test_a_collection_that_is_deleted_while_it_grows_is_gone(client: TestClient) -> None:
    for _ in range(5):
        collection, _ = new_collection(client, {"a.png": png(1)})
        with ThreadPoolExecutor(2) as pool:
            deletion = pool.submit(client.delete, f"/collections/{collection}")
            addition = pool.submit(add, client, collection, {"a.png": png(1), "b.png": png(2)})
            assert deletion.result().status_code == 204
            assert addition.result().status_code in (201, 404), addition.result().text
        problem(client.get(f"/collections/{collection}"), 404, "not_found")


def test_images_are_listed_in_pages_newest_first(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    made = [ok(add(client, collection, {f"{n}.png": png(n)}), 201)["images"][0]["id"] for n in range(5)]
    first = ok(client.get(f"/collections/{collection}/images", params={"limit": 3}))
    second = ok(client.get(f"/collections/{collection}/images", params={"cursor": first["next_cursor"]}))
    assert [image["id"] for image in first["items"] + second["items"]] == made[::-1]


@pytest.mark.parametrize("body", [{}, {"name": " "}, {"name": "x" * 201}, {"name": "x", "other": 1}])
def test_a_collection_needs_a_name_and_nothing_else(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post("/collections", json=body).status_code == 422
