"""API and worker on one database without a broker between them: what must hold when it is away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from saft_core.clip.backbone import Base
from saft_core.delta import decode
from tests.fixtures.in_process import InProcessRuntime
from tests.fixtures.models import IMAGE_SIZE
from tests.fixtures.rest import Site, labelled, new_dataset, ok, png
from worker.pipeline import run_job
from worker.sweeper import send_needed_messages


@pytest.fixture
def runtime(site: Site, database_url: str, training_base: Base) -> InProcessRuntime:
    """A worker on the site's database and files."""
    settings = site.services.settings.model_copy(update={"database_url": database_url})
    return InProcessRuntime(settings, training_base)


def order(client: TestClient, **config: Any) -> dict[str, Any]:
    dataset = new_dataset(client, labelled({"cat": 5, "dog": 5}))["id"]
    return ok(client.post("/adapters", json={"name": "icons", "dataset_id": dataset, "config": config}), 202)


def test_an_order_made_while_the_broker_is_away_is_trained_and_answers(site: Site, runtime: InProcessRuntime) -> None:
    def away(_: str) -> None:
        raise ConnectionError("down")

    metrics = type(site.services.metrics)()
    client = Site(replace(site.services, publish=away, metrics=metrics)).new_tenant()
    job = order(client, epochs=2, batch_size=4)
    assert job["status"] == "queued"
    send_needed_messages(runtime.sessions, lambda message: run_job(runtime, message.job_id), lambda _: 0)
    done = ok(client.get(f"/jobs/{job['id']}"))
    steps = 2 * (2 + 3)  # epochs times the batches of four of the 8 that are not held out, and of all 10
    assert (done["status"], done["step"], done["steps"]) == ("succeeded", steps, steps)

    adapter = ok(client.get("/adapters/icons"))
    assert adapter["id"] == done["adapter_id"]
    container = client.get("/adapters/icons/delta").content
    assert len(container) == adapter["delta_bytes"]
    assert len(decode(container, max_bytes=len(container))[0]) == adapter["nnz"]
    answers = [
        ok(
            client.post(
                "/classify", files={"files": png(1, size=IMAGE_SIZE)}, data={"adapter": name, "labels": ["cat", "dog"]}
            )
        )
        for name in ("icons", "base")
    ]
    probabilities = [{p["label"]: p["probability"] for p in answer["results"][0]["predictions"]} for answer in answers]
    assert all(sum(row.values()) == pytest.approx(1, abs=1e-5) for row in probabilities)
    assert probabilities[0] != probabilities[1]  # the adapter is not the base
    runtime.sessions.kw["bind"].dispose()


def test_files_that_vanished_fail_the_job_in_words(site: Site, client: TestClient, runtime: InProcessRuntime) -> None:
    job = order(client)
    site.services.blobs.delete_tenant(site.tenant_id(client))
    run_job(runtime, job["id"])
    error = ok(client.get(f"/jobs/{job['id']}"))["error"]
    assert error["code"] == "training_failed"
    assert job["dataset_id"] in error["detail"]
    assert "upload the dataset again" in error["detail"]
    runtime.sessions.kw["bind"].dispose()


def test_a_revision_is_trained_on_like_any_dataset(site: Site, client: TestClient, runtime: InProcessRuntime) -> None:
    source = new_dataset(client, labelled({"cat": 5, "dog": 5}))["id"]
    changes = {"remove": [0], "relabel": [{"position": 9, "label": "cat"}]}
    made = ok(client.post(f"/datasets/{source}/revisions", json=changes), 201)["id"]
    assert client.delete(f"/datasets/{source}").status_code == 204
    job = ok(client.post("/adapters", json={"name": "icons", "dataset_id": made, "config": {"epochs": 1}}), 202)
    run_job(runtime, job["id"])
    assert ok(client.get(f"/jobs/{job['id']}"))["status"] == "succeeded"
    for mistake in ok(client.get("/adapters/icons/mistakes"))["items"]:
        assert client.get(f"/datasets/{made}/images/{mistake['position']}").status_code == 200
    runtime.sessions.kw["bind"].dispose()
