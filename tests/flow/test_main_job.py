"""The main job over real HTTP: embedded PostgreSQL and Valkey, a Celery worker process, the embedded base."""

from __future__ import annotations

import base64
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.samples import CLASSES, archive, labelled_files, of_class
from tests.fixtures.service import Service, finished

EPOCHS = 4
ROUNDING = 1e-4
"""Relative, of a probability, when an image is answered in another batch: sums are added up in another order."""


def upload(client: httpx.Client, split: str, a_class: int | None = None) -> dict[str, Any]:
    files = {"archive": ("set.zip", archive(split, a_class=a_class), "application/zip")}
    answer = client.post("/datasets", data={"name": split}, files=files)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def start_job(client: httpx.Client, name: str, a_class: int | None = None, **config: Any) -> dict[str, Any]:
    body = {
        "name": name,
        "dataset_id": upload(client, "train", a_class)["id"],
        "test_dataset_id": upload(client, "test", a_class)["id"],
        "config": {"epochs": EPOCHS} | config,
    }
    answer = client.post("/adapters", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    return dict(answer.json())


def classify(client: httpx.Client, adapter: str, paths: list[Path], **form: Any) -> list[Any]:
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    answer = client.post("/classify", files=files, data={"adapter": adapter, **form})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


@pytest.fixture(scope="module")
def tenants(service: Service) -> list[tuple[httpx.Client, dict[str, Any]]]:
    """Two tenants with an adapter each."""
    found = []
    for seed in (0, 1):
        client = service.new_tenant(f"tenant {seed}")
        job = finished(client, start_job(client, "icons", seed=seed))
        assert job["status"] == "succeeded", job["error"]
        found.append((client, dict(client.get(f"/adapters/{job['adapter_id']}").raise_for_status().json())))
    return found


def test_an_adapter_says_what_it_is(tenants: list[tuple[httpx.Client, dict[str, Any]]]) -> None:
    _, adapter = tenants[0]
    assert adapter["classes"] == CLASSES
    assert adapter["nnz"] == sum(block["selected"] for block in adapter["blocks"])
    parameters = sum(block["parameters"] for block in adapter["blocks"])
    assert adapter["nnz"] == int(adapter["density"] * parameters)
    metrics = adapter["metrics"]
    assert metrics["evaluated_on"] == "test dataset"
    assert metrics["test_images"] == sum(map(sum, metrics["confusion"]["adapted"]))
    assert 0 < metrics["zero_shot_accuracy"] <= 1


def test_classify_agrees_with_the_reported_accuracy(tenants: list[tuple[httpx.Client, dict[str, Any]]]) -> None:
    client, adapter = tenants[0]
    labelled = labelled_files("test")
    for name, expected in ((adapter["id"], "accuracy"), ("base", "zero_shot_accuracy")):
        results = classify(client, name, [path for _, path in labelled], labels=CLASSES, top_k="1")
        right = sum(
            result["predictions"][0]["label"] == label for result, (label, _) in zip(results, labelled, strict=True)
        )
        assert right / len(labelled) == pytest.approx(adapter["metrics"][expected])


def test_the_loss_curve_and_the_end_of_a_job(tenants: list[tuple[httpx.Client, dict[str, Any]]]) -> None:
    client, adapter = tenants[0]
    job = client.get(f"/jobs/{adapter['job_id']}").json()
    assert (job["status"], job["progress"], job["attempt"]) == ("succeeded", 1.0, 1)
    every, held_out = len(labelled_files("train")), job["metrics"]["held_out_images"]
    batches = [math.ceil(images / job["config"]["batch_size"]) for images in (every - held_out, every)]
    assert job["step"] == job["steps"] == EPOCHS * sum(batches)
    assert len(job["losses"]) >= 1
    assert job["metrics"] == adapter["metrics"]


def probabilities(results: list[dict[str, Any]]) -> dict[str, float]:
    """By label, of the one image that was asked about."""
    (result,) = results
    return {prediction["label"]: prediction["probability"] for prediction in result["predictions"]}


def test_interleaved_requests_of_two_tenants_equal_the_same_requests_alone(
    tenants: list[tuple[httpx.Client, dict[str, Any]]],
) -> None:
    paths = of_class("test", CLASSES[0])[:6]
    requests = [(client, adapter["id"], path) for path in paths for client, adapter in tenants]
    alone = [classify(client, adapter, [path]) for client, adapter, path in requests]
    for first, second in zip(alone[::2], alone[1::2], strict=True):
        assert probabilities(first) != pytest.approx(
            probabilities(second), rel=10 * ROUNDING, abs=0
        )  # a mix-up would show
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            together = list(pool.map(lambda request: classify(request[0], request[1], [request[2]]), requests))
            for answer, expected in zip(together, alone, strict=True):
                assert probabilities(answer) == pytest.approx(probabilities(expected), rel=ROUNDING, abs=0)


def test_another_tenants_things_do_not_exist(tenants: list[tuple[httpx.Client, dict[str, Any]]]) -> None:
    (_, adapter), (other, _) = tenants
    for path in (f"/adapters/{adapter['id']}", f"/adapters/{adapter['id']}/delta", f"/jobs/{adapter['job_id']}"):
        assert other.get(path).status_code == 404
    body = {"adapter": adapter["id"], "images": ["aGVsbG8="]}
    assert other.post("/classify", json=body).status_code == 404


def test_a_delta_exported_and_imported_answers_the_same(tenants: list[tuple[httpx.Client, dict[str, Any]]]) -> None:
    (client, adapter), (other, _) = tenants
    container = client.get(f"/adapters/{adapter['id']}/delta").content
    assert len(container) == adapter["delta_bytes"]
    answer = other.post("/adapters/import", files={"file": ("a.saft", container)}, data={"name": "imported"})
    assert answer.status_code == 201, answer.text
    paths = of_class("test", CLASSES[0])[:3]
    imported, own = classify(other, "imported", paths), classify(client, adapter["id"], paths)
    for one, same in zip(imported, own, strict=True):  # passes may be cut otherwise, since both tenants ask
        told, expected = ({p["label"]: p["probability"] for p in answer["predictions"]} for answer in (one, same))
        assert told == pytest.approx(expected, abs=1e-5)


def test_retrieve_finds_images_by_text_and_by_image(tenants: list[tuple[httpx.Client, dict[str, Any]]]) -> None:
    client, adapter = tenants[0]
    collection = client.post("/collections", json={"name": "pictures"}).json()["id"]
    paths = [path for label in CLASSES for path in of_class("test", label)[:5]]
    files = [("files", (f"{path.parent.name}/{path.name}", path.read_bytes())) for path in paths]
    assert client.post(f"/collections/{collection}/images", files=files).status_code == 201
    query = {"adapter": adapter["id"], "collection_id": collection, "top_k": 3}
    image = base64.b64encode(paths[7].read_bytes()).decode()
    results = client.post("/retrieve", json=query | {"image": image}).json()["results"]
    assert results[0]["filename"] == f"{paths[7].parent.name}/{paths[7].name}"
    assert results[0]["score"] == pytest.approx(1, abs=1e-4)
    scores = [r["score"] for r in client.post("/retrieve", json=query | {"text": CLASSES[1]}).json()["results"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_events_follow_a_job_to_its_end(service: Service) -> None:
    client = service.new_tenant()
    job = start_job(client, "watched", epochs=2)
    lines = []
    with client.stream("GET", f"/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line.startswith("data:")]
    assert '"status":"succeeded"' in lines[-1].replace(" ", "")


def test_a_running_job_is_cancelled(service: Service) -> None:
    client = service.new_tenant()
    job = start_job(client, "stopped", epochs=1000, encoders="both")
    with client.stream("GET", f"/jobs/{job['id']}/events") as stream:
        for line in stream.iter_lines():
            if '"training"' in line:
                break
    assert client.post(f"/jobs/{job['id']}/cancel").is_success
    ended = finished(client, job)
    assert ended["status"] == "cancelled"
    assert ended["adapter_id"] is None
    assert client.get("/adapters").json()["items"] == []
