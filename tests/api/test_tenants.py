from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text

from api.metrics import Metrics
from saft_core.store.models import IdempotencyRecord, Tenant
from tests.fixtures.rest import ADMIN_KEY, Site, ok, problem


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
