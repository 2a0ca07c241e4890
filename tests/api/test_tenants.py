from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text

from api.metrics import Metrics
from saft_core.quota import Quota
from saft_core.store import removal
from saft_core.store.models import IdempotencyRecord, Job, Tenant
from saft_core.store.stores import checkpoint_store
from tests.fixtures.rest import (
    ADMIN_KEY,
    Site,
    container,
    labelled,
    new_collection,
    new_dataset,
    ok,
    problem,
    stored_files,
    zipped,
)


def test_the_admin_makes_tenants_whose_keys_work(site: Site) -> None:
    made = [ok(site.admin.post("/tenants", json={"name": " Aurora "}), 201) for _ in range(2)]
    assert [tenant["name"] for tenant in made] == ["Aurora"] * 2
    assert len({tenant["id"] for tenant in made}) == len({tenant["api_key"] for tenant in made}) == 2
    for tenant in made:
        assert ok(site.client(tenant["api_key"]).get("/datasets")) == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("key", [None, "", "wrong", ADMIN_KEY + "x", ADMIN_KEY[:-1], "ü"])
def test_nobody_else_makes_tenants(site: Site, key: str | None) -> None:
    client = site.client(None)
    headers = {b"Authorization": f"Bearer {key}".encode()} if key is not None else {}
    answer = client.post("/tenants", json={"name": "x"}, headers=headers)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("admin_key", ["", " ", "short", "x" * 15])
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer {}", "Basic {}", "bearer {}", "{}"])
def test_a_missing_or_short_admin_key_opens_nothing(site: Site, admin_key: str, header: str | None) -> None:
    broken = Site(replace(site.services, admin_key=lambda: admin_key, metrics=Metrics()))
    headers = {} if header is None else {"Authorization": header.format(admin_key)}
    problem(broken.client(None).post("/tenants", json={"name": "x"}, headers=headers), 401, "unauthorized")
    with site.services.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Tenant)) == 0


def test_a_tenants_key_makes_no_tenants_and_the_admin_key_is_no_tenants(site: Site, client: TestClient) -> None:
    problem(client.post("/tenants", json={"name": "x"}), 401, "unauthorized")
    problem(site.admin.get("/datasets"), 401, "unauthorized")


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "  "}, {"name": "x" * 201}, {"name": "a\0b"}, {"name": 1}, []]
)
def test_a_tenant_needs_a_name(site: Site, body: object) -> None:
    answer = site.admin.post("/tenants", json=body)
    assert answer.status_code == 422
    assert "name" in answer.json()["detail"] or answer.json()["code"] == "invalid_request"
    with site.services.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Tenant)) == 0


def test_a_replay_shows_the_same_key_which_is_stored_nowhere(site: Site) -> None:
    headers = {"Idempotency-Key": "first tenant"}
    first = site.admin.post("/tenants", json={"name": "Aurora"}, headers=headers)
    second = site.admin.post("/tenants", json={"name": "Aurora"}, headers=headers)
    assert ok(second, 201) == ok(first, 201)
    assert second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    key = first.json()["api_key"]
    assert site.client(key).get("/datasets").status_code == 200
    with site.services.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Tenant)) == 1
        for table in ("tenants", "idempotency_records"):
            assert key not in str(session.execute(text(f"SELECT * FROM {table}")).all())


def test_a_replay_after_a_change_of_the_admin_key_shows_no_dead_key(site: Site) -> None:
    headers = {"Idempotency-Key": "first tenant"}
    first = ok(site.admin.post("/tenants", json={"name": "Aurora"}, headers=headers), 201)
    new_key = "quite another admin key"
    changed = Site(replace(site.services, admin_key=lambda: new_key, metrics=Metrics()))
    answer = changed.client(new_key).post("/tenants", json={"name": "Aurora"}, headers=headers)
    found = problem(answer, 409, "key_gone")
    assert first["id"] in found["detail"]
    assert "new Idempotency-Key" in found["detail"]
    ok(changed.client(first["api_key"]).get("/datasets"))
    made = changed.client(new_key).post("/tenants", json={"name": "Aurora"}, headers={"Idempotency-Key": "next"})
    ok(changed.client(ok(made, 201)["api_key"]).get("/datasets"))


def test_a_replay_for_a_tenant_that_is_gone_shows_no_dead_key(site: Site) -> None:
    headers = {"Idempotency-Key": "first tenant"}
    made = ok(site.admin.post("/tenants", json={"name": "Aurora"}, headers=headers), 201)
    with site.services.sessions.begin() as session:
        session.delete(session.get_one(Tenant, made["id"]))
    problem(site.admin.post("/tenants", json={"name": "Aurora"}, headers=headers), 409, "key_gone")


def test_an_idempotency_key_older_than_its_record_makes_another_tenant_with_another_key(site: Site) -> None:
    """Or a key that was revoked would open something again."""
    headers = {"Idempotency-Key": "first tenant"}
    first = ok(site.admin.post("/tenants", json={"name": "Aurora"}, headers=headers), 201)
    ok(site.admin.delete(f"/tenants/{first['id']}"), 202)
    with site.services.sessions.begin() as session:
        session.delete(session.get_one(IdempotencyRecord, ("admin", "first tenant")))
    second = ok(site.admin.post("/tenants", json={"name": "Aurora"}, headers=headers), 201)
    assert first["id"] != second["id"]
    assert first["api_key"] != second["api_key"]


# --- looking and deleting --------------------------------------------------------------------------------------------


def new_tenant(site: Site, name: str = "tenant") -> tuple[str, TestClient]:
    """Its id, and somebody who speaks for it."""
    made = ok(site.admin.post("/tenants", json={"name": name}), 201)
    return made["id"], site.client(made["api_key"])


def test_tenants_are_listed_newest_first(site: Site) -> None:
    made = [new_tenant(site, name)[0] for name in ("a", "b", "c")]
    page = ok(site.admin.get("/tenants", params={"limit": 2}))
    rest = ok(site.admin.get("/tenants", params={"cursor": page["next_cursor"]}))
    assert [tenant["id"] for tenant in [*page["items"], *rest["items"]]] == made[::-1]
    assert set(page["items"][0]) == {"id", "name", "quota", "created_at", "deleted_at"}
    problem(site.admin.get("/tenants", params={"cursor": "x"}), 422, "invalid_cursor")


def test_a_tenant_is_shown_with_what_it_has_and_may_have(site: Site) -> None:
    tenant_id, client = new_tenant(site)
    new_dataset(client)
    shown = ok(site.admin.get(f"/tenants/{tenant_id}"))
    assert shown["usage"]["images"] == 4
    assert shown["quota"] == dict.fromkeys(Quota.model_fields)
    assert shown["deleted_at"] is None
    problem(site.admin.get("/tenants/ten_gone"), 404, "not_found")


def test_the_keys_of_a_deleted_tenant_open_nothing_from_the_answer_on(site: Site) -> None:
    """In another process too, which does not remember the keys."""
    tenant_id, client = new_tenant(site)
    dataset = new_dataset(client)
    job = ok(client.post("/adapters", json={"name": "a", "dataset_id": dataset["id"]}), 202)
    more = site.client(ok(site.admin.post(f"/tenants/{tenant_id}/keys", json={"name": "x"}), 201)["api_key"])
    deleted = ok(site.admin.delete(f"/tenants/{tenant_id}"), 202)
    assert deleted["deleted_at"] is not None
    forgetful = site.with_settings(key_memory_seconds=0)
    for holder in (client, more):
        key = holder.headers["authorization"].removeprefix("Bearer ")
        problem(forgetful.client(key).get("/datasets"), 401, "unauthorized")
    with site.services.sessions() as session:
        assert session.get_one(Job, job["id"]).status == "cancelled"
    assert deleted in ok(site.admin.get("/tenants"))["items"]
    problem(site.admin.get(f"/tenants/{tenant_id}"), 404, "not_found")
    problem(site.admin.delete(f"/tenants/{tenant_id}"), 404, "not_found")
    problem(site.admin.get(f"/tenants/{tenant_id}/keys"), 404, "not_found")
    problem(site.admin.put(f"/tenants/{tenant_id}/quota", json={}), 404, "not_found")
    problem(site.admin.post(f"/tenants/{tenant_id}/keys", json={"name": "x"}), 404, "not_found")
    removal.sweep(site.services.sessions, site.services.blobs, checkpoint_store(site.services.settings))
    assert tenant_id not in {one["id"] for one in ok(site.admin.get("/tenants"))["items"]}
    assert list(site.services.blobs.tenants()) == []
    log = ok(site.admin.get(f"/tenants/{tenant_id}/audit"))["items"]
    assert [event["action"] for event in log] == ["tenant.deleted", "tenant.created"]
    problem(site.admin.get("/tenants/ten_unknown/audit"), 404, "not_found")


# --- keys ------------------------------------------------------------------------------------------------------------


def test_the_admin_makes_names_lists_and_revokes_keys(site: Site) -> None:
    forgetful = site.with_settings(key_memory_seconds=0)
    tenant_id, _ = new_tenant(forgetful)
    path = f"/tenants/{tenant_id}/keys"
    made = ok(forgetful.admin.post(path, json={"name": " camera "}), 201)
    client = forgetful.client(made["api_key"])
    ok(client.get("/datasets"))
    assert ok(forgetful.admin.patch(f"{path}/{made['id']}", json={"name": "door"}))["name"] == "door"
    listed = ok(forgetful.admin.get(path))["items"]
    assert [key["name"] for key in listed] == ["door", "first"]
    assert set(listed[0]) == {"id", "name", "created_at", "last_used_at"}
    assert forgetful.admin.delete(f"{path}/{made['id']}").status_code == 204
    problem(client.get("/datasets"), 401, "unauthorized")
    problem(forgetful.admin.delete(f"{path}/{made['id']}"), 404, "not_found")


def test_a_key_of_one_tenant_is_not_found_under_another(site: Site) -> None:
    (first, _), (second, client) = new_tenant(site), new_tenant(site)
    (key,) = ok(site.admin.get(f"/tenants/{second}/keys"))["items"]
    problem(site.admin.delete(f"/tenants/{first}/keys/{key['id']}"), 404, "not_found")
    problem(site.admin.patch(f"/tenants/{first}/keys/{key['id']}", json={"name": "x"}), 404, "not_found")
    ok(client.get("/datasets"))


def test_a_replay_shows_the_same_new_key_until_it_is_revoked(site: Site) -> None:
    tenant_id, _ = new_tenant(site)
    path, headers = f"/tenants/{tenant_id}/keys", {"Idempotency-Key": "door"}
    first = ok(site.admin.post(path, json={"name": "door"}, headers=headers), 201)
    assert ok(site.admin.post(path, json={"name": "door"}, headers=headers), 201) == first
    assert len(ok(site.admin.get(path))["items"]) == 2
    site.admin.delete(f"{path}/{first['id']}")
    problem(site.admin.post(path, json={"name": "door"}, headers=headers), 409, "key_gone")


def test_a_tenant_has_so_many_keys_at_most(site: Site) -> None:
    limited = site.with_limits(max_tenant_keys=2)
    tenant_id, client = new_tenant(limited)
    ok(client.post("/keys", json={"name": "second"}), 201)
    for answer in (
        client.post("/keys", json={"name": "x"}),
        limited.admin.post(f"/tenants/{tenant_id}/keys", json={"name": "x"}),
    ):
        assert "max_tenant_keys" in problem(answer, 409, "conflict")["detail"]


# --- quotas ----------------------------------------------------------------------------------------------------------


def test_a_quota_is_set_whole_and_shown(site: Site) -> None:
    tenant_id, client = new_tenant(site)
    path = f"/tenants/{tenant_id}/quota"
    nothing = dict.fromkeys(Quota.model_fields)
    assert ok(site.admin.put(path, json={"images": 5, "adapters": 1})) == nothing | {"images": 5, "adapters": 1}
    assert ok(site.admin.put(path, json={"storage_bytes": 2**40})) == nothing | {"storage_bytes": 2**40}
    assert ok(client.get("/usage"))["quota"] == nothing | {"storage_bytes": 2**40}
    wrongs: list[Any] = [{"images": -1}, {"images": 2**70}, {"pictures": 1}, {"images": 1.5}, []]
    for wrong in wrongs:
        assert site.admin.put(path, json=wrong).status_code == 422
    problem(site.admin.put("/tenants/ten_gone/quota", json={}), 404, "not_found")
    assert ok(site.admin.get(f"/tenants/{tenant_id}"))["quota"]["storage_bytes"] == 2**40


def test_new_tenants_have_the_quota_of_the_settings(site: Site) -> None:
    limited = site.with_settings(default_quota=Quota(images=3))
    problem(limited.new_tenant().post("/datasets", **upload()), 409, "quota_exceeded")


def upload(seed: int = 100) -> dict[str, Any]:
    return {"data": {"name": "set"}, "files": {"archive": ("set.zip", zipped(labelled(seed=seed)))}}


def test_each_quota_is_named_when_it_is_exceeded(site: Site) -> None:
    tenant_id, client = new_tenant(site)
    dataset = new_dataset(client)
    collection, _ = new_collection(client, {})
    path = f"/tenants/{tenant_id}/quota"
    size = ok(client.get("/usage"))["usage"]["storage_bytes"]
    assert size == sum(map(len, labelled().values()))

    def refused(quota: str, answer: Any, used: int) -> None:
        found = problem(answer, 409, "quota_exceeded")
        assert (found["quota"], found["used"], found["detail"].partition(":")[0]) == (quota, used, quota)

    for quota, limit, used in (("images", 7, 4), ("storage_bytes", size * 2 - 1, size)):
        ok(site.admin.put(path, json={quota: limit}))
        refused(quota, client.post("/datasets", **upload()), used)
        parts = [("files", item) for item in labelled(seed=100).items()]
        refused(quota, client.post(f"/collections/{collection}/images", files=parts), used)
    ok(site.admin.put(path, json={"images": 8, "storage_bytes": size * 2}))
    for _ in range(2):  # what is there costs nothing
        new_dataset(client, labelled(seed=100))
    refused("images", client.post("/datasets", **upload(200)), 8)
    assert len(stored_files(site)) == 8  # what was refused left no file
    ok(site.admin.put(path, json={"adapters": 1, "queued_jobs": 0}))
    body = {"name": "a", "dataset_id": dataset["id"]}
    refused("queued_jobs", client.post("/adapters", json=body), 0)
    ok(site.admin.put(path, json={"adapters": 1}))
    ok(client.post("/adapters", json=body), 202)
    refused("adapters", client.post("/adapters", json=body | {"name": "b"}), 1)
    files = {"file": ("x.saft", container(site.services.engine.base))}
    refused("adapters", client.post("/adapters/import", data={"name": "c"}, files=files), 1)
    assert [name for name in site.published if name] == site.published


def test_a_deletion_makes_room(site: Site) -> None:
    tenant_id, client = new_tenant(site)
    ok(site.admin.put(f"/tenants/{tenant_id}/quota", json={"images": 4}))
    dataset = new_dataset(client)
    problem(client.post("/datasets", **upload()), 409, "quota_exceeded")
    client.delete(f"/datasets/{dataset['id']}")
    new_dataset(client)
