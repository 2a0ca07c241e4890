from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from saft_core.store.models import AdapterAnswers
from tests.fixtures.rest import Site, container, labelled, new_dataset, ok, png, problem


def two(site: Site, client: TestClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two versions that answer differently."""
    return site.new_adapter(client, values=0.5), site.new_adapter(client, values=-0.5)


def answered(site: Site, adapter: dict[str, Any], answers: dict[str, tuple[str, str, str]]) -> None:
    """Let an adapter have said this of the images of its training: (split, label, prediction) by hash."""
    with site.services.sessions.begin() as session:
        session.get_one(AdapterAnswers, adapter["id"]).answers = [[key, *told] for key, told in answers.items()]


def compared(client: TestClient, one: str, other: str, **query: str) -> dict[str, Any]:
    return ok(client.get(f"/adapters/{one}/compare", params={"with": other} | query))


def test_versions_are_compared_on_what_was_measured_for_both(site: Site, client: TestClient) -> None:
    first, second = two(site, client)
    shared = {str(n): ("held-out", "cat", "cat" if n < 6 else "dog") for n in range(8)}
    answered(site, first, shared | {"mine": ("test", "cat", "cat"), "trained": ("training", "cat", "cat")})
    answered(site, second, dict.fromkeys(shared, ("held-out", "cat", "dog")) | {"trained": ("test", "cat", "cat")})
    assert compared(client, "icons@1", "icons") == {
        "adapter": first["id"],
        "with_adapter": second["id"],
        "images": 8,
        "left_out_images": 2,
        "agreement": 0.25,
        "accuracy": 0.75,
        "with_accuracy": 0.0,
        "right": 6,
        "with_right": 0,
        "verdict": "better",
    }
    assert compared(client, "icons", "icons@1")["verdict"] == "worse"


def test_without_images_in_common_nothing_is_told(site: Site, client: TestClient) -> None:
    first, second = two(site, client)
    told = compared(client, first["id"], second["id"])
    assert [told[name] for name in ("images", "agreement", "accuracy", "verdict")] == [0, None, None, None]


def test_on_a_dataset_both_are_asked(site: Site, client: TestClient) -> None:
    first, second = two(site, client)
    files = labelled({"cat": 5, "Dog": 5}, seed=500)
    dataset = new_dataset(client, files, "new")
    names = {"cat": "cat", "dog": "Dog"}
    said = []
    for adapter in (first, second):
        parts = [("files", (path, data)) for path, data in files.items()]
        results = ok(client.post("/classify", data={"adapter": adapter["id"]}, files=parts))["results"]
        said.append([names[result["predictions"][0]["label"]] for result in results])
    assert len({*said[0]} | {*said[1]}) == 2, "the adapters say the same of everything"
    labels = [path.partition("/")[0] for path in files]
    told = compared(client, "icons@1", "icons@2", dataset_id=dataset["id"])
    assert (told["images"], told["left_out_images"]) == (10, 0)
    assert told["agreement"] == np.mean([one == other for one, other in zip(*said, strict=True)])
    assert told["right"] == sum(one == label for one, label in zip(said[0], labels, strict=True))
    assert told["with_right"] == sum(one == label for one, label in zip(said[1], labels, strict=True))
    base = compared(client, "icons", "base", dataset_id=dataset["id"])
    assert (base["with_adapter"], base["images"]) == ("base", 10)
    detail = problem(client.get("/adapters/icons/compare", params={"with": "base"}), 422, "invalid_input")["detail"]
    assert "dataset_id" in detail


def test_of_a_dataset_what_was_trained_on_is_left_out_and_what_was_measured_is_taken(
    site: Site, client: TestClient
) -> None:
    first, second = two(site, client)
    files = {"cat/0.png": png(900), "cat/1.png": png(901), "dog/0.png": png(902), "dog/1.png": png(903)}
    dataset = new_dataset(client, files, "new")
    hashes = [hashlib.sha256(data).hexdigest() for data in files.values()]
    answered(site, first, {hashes[0]: ("training", "cat", "cat"), hashes[1]: ("held-out", "cat", "dog")})
    answered(site, second, {hashes[1]: ("held-out", "cat", "cat"), hashes[3]: ("training", "dog", "dog")})
    told = compared(client, first["id"], second["id"], dataset_id=dataset["id"])
    assert (told["images"], told["left_out_images"]) == (2, 2)
    plain = compared(client, first["id"], "base", dataset_id=dataset["id"])
    assert (plain["images"], plain["left_out_images"]) == (3, 1)


def test_a_dataset_that_is_too_large_to_be_asked_about_is_refused(site: Site) -> None:
    limited = site.with_limits(max_classify_images=3)
    client = limited.new_tenant()
    first, second = two(limited, client)
    dataset = new_dataset(client, labelled(seed=700), "new")
    body = client.get(f"/adapters/{first['id']}/compare", params={"with": second["id"], "dataset_id": dataset["id"]})
    assert "max_classify_images" in problem(body, 422, "invalid_input")["detail"]
    answered(limited, first, {hashlib.sha256(png(700)).hexdigest(): ("test", "cat", "cat")})
    answered(limited, second, {hashlib.sha256(png(701)).hexdigest(): ("test", "cat", "cat")})
    assert compared(client, first["id"], second["id"], dataset_id=dataset["id"])["images"] == 4


def test_what_is_not_the_tenants_is_not_compared(site: Site, client: TestClient) -> None:
    first, second = two(site, client)
    other = site.new_tenant("other")
    own = ok(other.post("/adapters/import", files={"file": ("a.saft", container(site.services.engine.base))}), 201)
    for one, with_ in ((first["id"], own["id"]), (own["id"], first["id"]), ("icons", "a")):
        problem(other.get(f"/adapters/{one}/compare", params={"with": with_}), 404, "not_found")
    dataset = new_dataset(client, labelled(seed=700), "new")
    for query in ({"dataset_id": dataset["id"]}, {"dataset_id": "ds_none"}):
        problem(other.get("/adapters/a/compare", params={"with": "a"} | query), 404, "not_found")
    problem(client.get(f"/adapters/{first['id']}/compare"), 422, "invalid_request")
    assert second["version"] == 2
