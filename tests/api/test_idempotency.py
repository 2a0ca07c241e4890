"""The Idempotency-Key on every POST that creates."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from saft_core.store.models import Adapter, Collection, CollectionImage, Dataset, Job
from tests.fixtures.rest import (
    Site,
    container,
    labelled,
    new_collection,
    new_dataset,
    ok,
    png,
    problem,
    stored_files,
    zipped,
)

Post = Callable[[dict[str, str], int], Any]
"""Send a request with these headers; the number tells one request from another."""

TABLES = {"dataset": Dataset, "job": Job, "import": Adapter, "collection": Collection, "images": CollectionImage}


def count(site: Site, kind: str) -> int:
    with site.services.sessions() as session:
        return session.scalar(select(func.count()).select_from(TABLES[kind])) or 0


@pytest.fixture(params=sorted(TABLES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def post(site: Site, client: TestClient, kind: str) -> Post:
    return poster(site, client, kind)


def poster(site: Site, client: TestClient, kind: str) -> Post:
    dataset = new_dataset(client)["id"] if kind == "job" else ""
    collection = new_collection(client, {})[0] if kind == "images" else ""
    archive = zipped(labelled())

    def send(headers: dict[str, str], number: int = 0) -> Any:
        name = f"thing {number}"
        options: dict[str, Any] = {
            "dataset": {"url": "/datasets", "data": {"name": name}, "files": {"archive": ("a.zip", archive)}},
            "job": {"url": "/adapters", "json": {"name": name, "dataset_id": dataset}},
            "import": {
                "url": "/adapters/import",
                "data": {"name": name},
                "files": {"file": ("a.saft", container(site.services.engine.base))},
            },
            "collection": {"url": "/collections", "json": {"name": name}},
            "images": {"url": f"/collections/{collection}/images", "files": {"files": ("a.png", png(number))}},
        }[kind]
        return client.post(headers=headers, **options)

    return send


def test_a_second_request_makes_no_second_thing(site: Site, post: Post, kind: str) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = post(headers, 0), post(headers, 0)
    assert first.status_code in (201, 202), first.text
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert second.headers.get("location") == first.headers.get("location")
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert count(site, kind) == 1
    assert len(site.published) == (kind == "job")


def test_without_a_key_or_with_another_there_are_two(site: Site, post: Post, kind: str) -> None:
    for number, headers in enumerate(({}, {}, {"Idempotency-Key": "a"}, {"Idempotency-Key": "b"})):
        assert post(headers, number).is_success
    assert count(site, kind) == 4


def test_a_key_used_with_another_request_is_refused(site: Site, post: Post, kind: str) -> None:
    headers = {"Idempotency-Key": "k"}
    assert post(headers, 0).is_success
    problem(post(headers, 1), 422, "idempotency_mismatch")
    assert count(site, kind) == 1


def test_requests_at_once_make_one_thing_and_get_one_answer(site: Site, post: Post, kind: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post({"Idempotency-Key": "k"}, 0), range(4)))
    assert all(answer.is_success for answer in answers), [answer.text for answer in answers]
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 3
    assert count(site, kind) == 1
    assert len(site.published) == (kind == "job")


def test_a_request_that_failed_leaves_its_key_free(site: Site, client: TestClient) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"name": "icons", "dataset_id": "unknown"}
    problem(client.post("/adapters", json=body, headers=headers), 404, "not_found")
    body["dataset_id"] = new_dataset(client)["id"]
    ok(client.post("/adapters", json=body, headers=headers), 202)


def test_tenants_and_calls_do_not_share_keys(site: Site) -> None:
    headers = {"Idempotency-Key": "k"}
    for name in ("one", "two"):
        ok(site.new_tenant(name).post("/collections", json={"name": "x"}, headers=headers), 201)
    assert count(site, "collection") == 2
    client = site.new_tenant("three")
    ok(client.post("/collections", json={"name": "x"}, headers=headers), 201)
    body = {"name": "x", "dataset_id": new_dataset(client)["id"]}
    problem(client.post("/adapters", json=body, headers=headers), 422, "idempotency_mismatch")


def test_the_blobs_of_a_request_that_came_second_are_dropped(
    site: Site, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two uploads at once both do the work; the files of the one that lost must not stay."""
    send = poster(site, client, "dataset")
    with ThreadPoolExecutor(4) as pool:
        made = {answer.json()["id"] for answer in pool.map(lambda _: send({"Idempotency-Key": "k"}, 0), range(4))}
    assert len(made) == 1
    assert len(stored_files(site)) == ok(client.get(f"/datasets/{made.pop()}"))["image_count"]


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_that_cannot_be(client: TestClient, key: str) -> None:
    answer = client.post("/collections", json={"name": "x"}, headers={"Idempotency-Key": key})
    body = problem(answer, 422, "invalid_request")
    assert "Idempotency-Key" in body["detail"]
