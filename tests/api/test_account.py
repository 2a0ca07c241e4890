from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from saft_core.quota import Quota
from tests.fixtures.rest import Site, container, new_collection, new_dataset, ok, problem


def test_a_tenant_makes_renames_and_revokes_its_own_keys(site: Site) -> None:
    forgetful = site.with_settings(key_memory_seconds=0)
    client = forgetful.new_tenant()
    made = ok(client.post("/keys", json={"name": "second"}, headers={"Idempotency-Key": "k"}), 201)
    assert ok(client.post("/keys", json={"name": "second"}, headers={"Idempotency-Key": "k"}), 201) == made
    second = forgetful.client(made["api_key"])
    first, *_ = [key for key in ok(second.get("/keys"))["items"] if key["name"] == "first"]
    assert ok(second.patch(f"/keys/{first['id']}", json={"name": "leaked"}))["name"] == "leaked"
    assert second.delete(f"/keys/{first['id']}").status_code == 204
    problem(client.get("/keys"), 401, "unauthorized")
    assert [key["name"] for key in ok(second.get("/keys"))["items"]] == ["second"]
    assert made["api_key"] not in second.get("/keys").text


def test_a_key_does_not_revoke_itself(client: TestClient) -> None:
    (key,) = ok(client.get("/keys"))["items"]
    assert "another" in problem(client.delete(f"/keys/{key['id']}"), 409, "conflict")["detail"]
    ok(client.get("/keys"))


def test_a_key_needs_a_name(client: TestClient) -> None:
    for body in ({}, {"name": " "}, {"name": "x" * 201}, {"name": "a\0"}, {"name": "a", "tenant_id": "b"}):
        assert client.post("/keys", json=body).status_code == 422


def test_a_revoked_key_of_another_process_is_forgotten_in_a_second(site: Site) -> None:
    """What a process remembers at most, by its settings."""
    assert site.services.settings.key_memory_seconds <= 1


def test_usage_and_quota_stand_side_by_side(client: TestClient) -> None:
    new_dataset(client)
    new_collection(client)  # of the same pictures
    found = ok(client.get("/usage"))
    assert found["quota"] == dict.fromkeys(Quota.model_fields)
    assert set(found["usage"]) == set(Quota.model_fields)
    assert (found["usage"]["images"], found["usage"]["adapters"]) == (4, 0)
    assert found["usage"]["requests_per_minute"] is None


def test_the_audit_log_says_what_was_done_by_which_key(site: Site) -> None:
    client, other = site.new_tenant("mine"), site.new_tenant("other")
    made = ok(client.post("/keys", json={"name": "second"}), 201)
    second = site.client(made["api_key"])
    first_key = next(key["id"] for key in ok(client.get("/keys"))["items"] if key["name"] == "first")
    dataset = new_dataset(client)
    collection, images = new_collection(second)
    job = ok(second.post("/adapters", json={"name": "icons", "dataset_id": dataset["id"]}), 202)
    adapter = site.work(job["id"])
    files = {"file": ("x.saft", container(site.services.engine.base))}
    imported = ok(client.post("/adapters/import", data={"name": "mine"}, files=files), 201)
    image = next(iter(images.values()))
    assert second.delete(f"/collections/{collection}/images/{image}").status_code == 204
    assert client.delete(f"/adapters/{imported['id']}").status_code == 204
    expected: list[tuple[str, str, str]] = [
        ("adapter.deleted", imported["id"], first_key),
        ("image.deleted", image, made["id"]),
        ("adapter.published", imported["id"], first_key),
        ("adapter.created", imported["id"], first_key),
        ("adapter.published", adapter, made["id"]),
        ("adapter.created", adapter, made["id"]),
        ("job.created", job["id"], made["id"]),
        ("images.added", collection, made["id"]),
        ("collection.created", collection, made["id"]),
        ("dataset.created", dataset["id"], first_key),
        ("key.created", made["id"], first_key),
        ("key.created", first_key, "admin"),
        ("tenant.created", site.tenant_id(client), "admin"),
    ]
    log = all_events(client)
    assert [(event["action"], event["subject_id"], event["key_id"]) for event in log] == expected
    assert log[0]["details"] == {"name": "mine"}
    assert ok(site.admin.get(f"/tenants/{site.tenant_id(client)}/audit"))["items"] == log
    assert len(all_events(other)) == 2
    assert made["api_key"] not in str(log)


def all_events(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = ok(client.get("/audit", params={"limit": 4} | ({"cursor": cursor} if cursor else {})))
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_a_refused_request_is_not_in_the_log(client: TestClient) -> None:
    before = all_events(client)
    assert client.delete("/datasets/ds_unknown").status_code == 404
    assert client.post("/adapters", json={"name": "a", "dataset_id": "ds_unknown"}).status_code == 404
    assert all_events(client) == before
