"""POST /example: photographs and a finished adapter for a tenant, once; a training on another base."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from saft_core.clip.backbone import Base
from saft_core.clip.loading import load_base
from saft_core.example import load_example
from tests.fixtures.models import at_rest
from tests.fixtures.rest import Site, make_site, new_dataset, ok, problem, stored_files

LISTS = ("datasets", "adapters", "jobs")


@pytest.fixture(scope="module")
def embedded_base() -> Base:
    return load_base("")


@pytest.fixture
def shipped(sessions: sessionmaker[Session], embedded_base: Base, tmp_path: Path) -> Any:
    """A site on the base that the example is made for."""
    made = make_site(sessions, embedded_base, tmp_path)
    yield made
    at_rest(made.services.engine)


@pytest.fixture
def owner(shipped: Site) -> TestClient:
    return shipped.new_tenant()


def counts(client: TestClient) -> list[int]:
    return [len(ok(client.get(f"/{kind}", params={"limit": 100}))["items"]) for kind in LISTS]


def mistakes(client: TestClient, adapter: str) -> list[dict[str, Any]]:
    return list(ok(client.get(f"/adapters/{adapter}/mistakes", params={"limit": 100}))["items"])


# --- on the base that it is made for ---------------------------------------------------------------------------------


def test_it_is_there_at_once_as_if_it_had_been_uploaded_and_imported(owner: TestClient) -> None:
    answer = owner.post("/example")
    made = ok(answer, 201)
    assert answer.headers["location"] == f"/adapters/{made['adapter_id']}"
    assert made["job_id"] is None
    train, test = (ok(owner.get(f"/datasets/{made[key]}")) for key in ("dataset_id", "test_dataset_id"))
    assert (train["name"], train["image_count"], train["rejected"]) == ("Sample photographs", 160, [])
    assert (test["name"], test["image_count"], test["rejected"]) == ("Sample photographs (test)", 126, [])
    adapter = ok(owner.get(f"/adapters/{made['adapter_id']}"))
    stated = load_example().header.metrics
    assert (adapter["name"], adapter["published"], adapter["job_id"]) == ("sample-photographs", True, None)
    assert adapter["metrics"] == stated
    assert adapter["strength"] == stated["strength"]
    assert adapter["classes"] == [entry["name"] for entry in train["classes"]]
    assert owner.get(f"/adapters/{made['adapter_id']}/delta").content == load_example().container


def test_its_mistakes_are_images_of_the_datasets_that_were_made(owner: TestClient) -> None:
    made = ok(owner.post("/example"), 201)
    found = mistakes(owner, made["adapter_id"])
    assert [(one["label"], one["prediction"], one["split"]) for one in found] == [
        (told.label, told.prediction, told.split) for _, told in load_example().mistakes
    ]
    for one in found:
        assert one["dataset_id"] == made["test_dataset_id" if one["split"] == "test" else "dataset_id"]
        assert f"/{one['label']}/" in one["path"]
    files = [
        ("files", (f"{place}.webp", image(owner, one))) for place, one in enumerate(found) if one["split"] == "test"
    ]
    answered = ok(owner.post("/classify", data={"adapter": "sample-photographs"}, files=files))["results"]
    said = [result["predictions"][0]["label"] for result in answered]
    assert said == [one["prediction"] for one in found if one["split"] == "test"]
    assert all(0 <= result["unknown"] <= 1 for result in answered)


def image(client: TestClient, mistake: dict[str, Any]) -> bytes:
    return bytes(client.get(f"/datasets/{mistake['dataset_id']}/images/{mistake['position']}").content)


def test_it_can_be_compared_as_an_adapter_that_was_trained_here(owner: TestClient) -> None:
    first = ok(owner.post("/example"), 201)
    assert owner.delete(f"/datasets/{first['test_dataset_id']}").status_code == 204
    second = ok(owner.post("/example"), 201)
    told = ok(owner.get(f"/adapters/{first['adapter_id']}/compare", params={"with": second["adapter_id"]}))
    stated = load_example().header.metrics
    assert (told["images"], told["agreement"]) == (stated["test_images"] + stated["held_out_images"], 1.0)
    assert told["right"] > stated["right"]


def test_asked_again_it_is_the_same_and_nothing_is_there_twice(shipped: Site, owner: TestClient) -> None:
    made = ok(owner.post("/example"), 201)
    usage, files = ok(owner.get("/usage"))["usage"], stored_files(shipped)
    assert usage["images"] == len(files) == 286
    for headers in ({}, {"Idempotency-Key": "a"}, {"Idempotency-Key": "a"}):
        assert ok(owner.post("/example", headers=headers)) == made
    assert (ok(owner.get("/usage"))["usage"], stored_files(shipped)) == (usage, files)
    assert counts(owner) == [2, 1, 0]


def test_of_requests_at_the_same_moment_one_makes_it(shipped: Site, owner: TestClient) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: owner.post("/example"), range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    assert len({answer.text for answer in answers}) == 1
    assert counts(owner) == [2, 1, 0]
    assert len(stored_files(shipped)) == 286


def test_the_same_key_makes_it_once(owner: TestClient) -> None:
    first, second = (owner.post("/example", headers={"Idempotency-Key": "a"}) for _ in range(2))
    assert ok(first, 201) == ok(second, 201)
    assert second.headers["idempotent-replayed"] == "true"


def test_each_tenant_has_its_own(shipped: Site, owner: TestClient) -> None:
    other = shipped.new_tenant("other")
    mine, theirs = ok(owner.post("/example"), 201), ok(other.post("/example"), 201)
    assert not set(mine.values()) & set(theirs.values()) - {None}
    problem(other.get(f"/adapters/{mine['adapter_id']}"), 404, "not_found")


def test_what_was_deleted_is_made_anew_and_what_was_not_stays(owner: TestClient) -> None:
    first = ok(owner.post("/example"), 201)
    assert owner.delete(f"/adapters/{first['adapter_id']}").status_code == 204
    second = ok(owner.post("/example"), 201)
    assert second | {"adapter_id": ""} == first | {"adapter_id": ""}
    assert second["adapter_id"] != first["adapter_id"]
    assert owner.delete(f"/datasets/{second['test_dataset_id']}").status_code == 204
    third = ok(owner.post("/example"), 201)
    assert len(mistakes(owner, third["adapter_id"])) == len(load_example().mistakes)
    assert not set(third.values()) & set(second.values()) - {None}
    assert ok(owner.post("/example")) == third


def test_an_adapter_of_ones_own_keeps_its_name(owner: TestClient) -> None:
    data, files = {"name": "sample-photographs"}, {"file": ("a.saft", load_example().container)}
    own = ok(owner.post("/adapters/import", data=data, files=files), 201)
    made = ok(owner.post("/example"), 201)
    assert made["adapter_id"] != own["id"]
    assert ok(owner.get("/adapters/sample-photographs"))["id"] == own["id"]
    assert ok(owner.get("/adapters/sample-photographs-2"))["id"] == made["adapter_id"]


def test_a_dataset_of_the_same_name_is_not_taken_for_it(owner: TestClient) -> None:
    own = new_dataset(owner, name="Sample photographs")["id"]
    assert own not in ok(owner.post("/example"), 201).values()


@pytest.mark.parametrize("quota", [{"images": 285}, {"storage_bytes": 2_000_000}, {"adapters": 0}])
def test_a_quota_refuses_it_whole(shipped: Site, owner: TestClient, quota: dict[str, int]) -> None:
    ok(shipped.admin.put(f"/tenants/{shipped.tenant_id(owner)}/quota", json=quota))
    assert problem(owner.post("/example"), 409, "quota_exceeded")["quota"] in quota
    assert counts(owner) == [0, 0, 0]
    assert stored_files(shipped) == set()


def test_it_is_in_the_audit_log(owner: TestClient) -> None:
    made = ok(owner.post("/example"), 201)
    noted = {(event["action"], event["subject_id"]) for event in ok(owner.get("/audit"))["items"]}
    assert noted >= {
        ("dataset.created", made["dataset_id"]),
        ("dataset.created", made["test_dataset_id"]),
        ("adapter.created", made["adapter_id"]),
        ("adapter.published", made["adapter_id"]),
    }


# --- on another base -------------------------------------------------------------------------------------------------


def test_on_another_base_a_training_is_started_and_its_adapter_is_the_example(site: Site, client: TestClient) -> None:
    answer = client.post("/example")
    made = ok(answer, 202)
    assert made["adapter_id"] is None
    assert answer.headers["location"] == f"/jobs/{made['job_id']}"
    assert site.published == [made["job_id"]]
    job = ok(client.get(f"/jobs/{made['job_id']}"))
    assert (job["dataset_id"], job["test_dataset_id"]) == (made["dataset_id"], made["test_dataset_id"])
    assert (job["name"], job["config"]["epochs"]) == ("sample-photographs", 2)
    assert ok(client.post("/example")) == made
    adapter = site.work(made["job_id"])
    assert ok(client.post("/example")) == made | {"adapter_id": adapter}
    assert site.published == [made["job_id"]]
    assert counts(client) == [2, 1, 1]


def test_a_training_that_came_to_nothing_is_started_again(site: Site, client: TestClient) -> None:
    first = ok(client.post("/example"), 202)
    ok(client.post(f"/jobs/{first['job_id']}/cancel"), 202)
    second = ok(client.post("/example"), 202)
    assert second["job_id"] != first["job_id"]
    assert second["dataset_id"] == first["dataset_id"]
    adapter = site.work(second["job_id"])
    assert client.delete(f"/adapters/{adapter}").status_code == 204
    assert ok(client.post("/example"), 202)["job_id"] not in (first["job_id"], second["job_id"])


def test_a_training_of_ones_own_on_the_photographs_is_not_the_example(site: Site, client: TestClient) -> None:
    made = ok(client.post("/example"), 202)
    ok(client.post(f"/jobs/{made['job_id']}/cancel"), 202)
    own = {"name": "own", "config": {"epochs": 1}, "dataset_id": made["dataset_id"]}
    job = ok(client.post("/adapters", json=own | {"test_dataset_id": made["test_dataset_id"]}), 202)
    assert ok(client.post("/example"), 202)["job_id"] != job["id"]


def test_two_requests_at_the_same_moment_start_one_training(site: Site, client: TestClient) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: client.post("/example"), range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 202]
    assert len({answer.text for answer in answers}) == 1
    assert len(site.published) == 1


def test_limits_that_leave_photographs_out_are_named(site: Site) -> None:
    client = site.with_limits(max_image_bytes=5_000).new_tenant()
    assert "max_image_bytes" in problem(client.post("/example"), 409, "conflict")["detail"]
    assert counts(client) == [0, 0, 0]
    assert stored_files(site) == set()
