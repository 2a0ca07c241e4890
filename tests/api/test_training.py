from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from saft_core.store.models import Adapter, Job
from tests.fixtures.rest import Site, container, labelled, new_dataset, ok, problem


def test_a_version_is_ordered_again_as_it_was_asked_for(site: Site, client: TestClient) -> None:
    train, test = new_dataset(client), new_dataset(client, labelled(seed=50), "test")
    body = {
        "name": "icons",
        "dataset_id": train["id"],
        "test_dataset_id": test["id"],
        "config": {"epochs": 3, "seed": 7},
    }
    first = ok(client.post("/adapters", json=body), 202)
    adapter = site.work(first["id"])
    answer = client.post(f"/adapters/{adapter}/retrain", json={"publish": "manual"})
    again = ok(answer, 202)
    assert answer.headers["location"] == f"/jobs/{again['id']}"
    same = ("name", "dataset_id", "test_dataset_id", "config")
    assert {key: again[key] for key in same} == {key: first[key] for key in same}
    assert again["publish"] == "manual"
    assert site.published == [first["id"], again["id"]]
    second = ok(client.get(f"/adapters/{site.work(again['id'])}"))
    assert (second["name"], second["version"], second["published"]) == ("icons", 2, False)


def test_on_another_base_its_defaults_hold_for_what_was_not_asked_for(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client, epochs=3)
    stale: dict[str, Any] = {"epochs": 3, "learning_rate": 0.5, "template": "an old {}", "gone": 1}

    def age(asked: dict[str, Any] | None, base: str) -> None:
        with site.services.sessions.begin() as session:
            job = session.get_one(Job, adapter["job_id"])
            job.asked, job.config, job.base_fingerprint = asked, stale, base
            session.get_one(Adapter, adapter["id"]).base_fingerprint = base

    def retrained() -> dict[str, Any]:
        job = ok(client.post("/adapters/icons/retrain"), 202)
        client.post(f"/jobs/{job['id']}/cancel")
        return dict(job["config"])

    defaults = vars(site.services.engine.base.defaults)
    age({"epochs": 3}, "another base")
    assert ok(client.get("/adapters"))["items"][0]["base_fingerprint"] == "another base"
    assert retrained() == defaults | {"epochs": 3, "seed": 0}
    age(None, "another base")  # from before it was noted what was asked for
    assert retrained() == defaults | {"seed": 0}
    age(None, site.services.engine.base.fingerprint)
    assert retrained() == defaults | {"epochs": 3, "learning_rate": 0.5, "template": "an old {}", "seed": 0}


def test_what_has_no_dataset_is_not_ordered_again(site: Site, client: TestClient) -> None:
    data = container(site.services.engine.base)
    ok(client.post("/adapters/import", files={"file": ("mine.saft", data)}), 201)
    assert "imported" in problem(client.post("/adapters/mine/retrain"), 409, "conflict")["detail"]
    adapter = site.new_adapter(client)
    (dataset,) = ok(client.get("/datasets"))["items"]
    assert client.delete(f"/datasets/{dataset['id']}").status_code == 204
    assert "deleted" in problem(client.post(f"/adapters/{adapter['id']}/retrain"), 409, "conflict")["detail"]


def test_a_repeated_order_is_one_job(site: Site, client: TestClient) -> None:
    site.new_adapter(client)
    key = {"Idempotency-Key": "again"}
    first = ok(client.post("/adapters/icons/retrain", headers=key), 202)
    assert ok(client.post("/adapters/icons/retrain", headers=key), 202)["id"] == first["id"]
    problem(
        client.post("/adapters/icons/retrain", headers=key, json={"publish": "manual"}), 422, "idempotency_mismatch"
    )
    problem(client.post("/adapters/icons/retrain", json={"publish": "maybe"}), 422, "invalid_request")
