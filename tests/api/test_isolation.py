"""Whose things are whose: every call on every kind of thing, without a key, with a wrong one and with a foreign one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fixtures.rest import Site, new_collection, new_dataset, ok, png, problem

OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
"""What may be called without a key."""


def things(site: Site, client: TestClient) -> dict[str, str]:
    """One thing of each kind, as the parameters of the paths name them."""
    collection, images = new_collection(client)
    adapter = site.new_adapter(client)
    return {
        "dataset_id": new_dataset(client)["id"],
        "position": "0",
        "adapter_id": adapter["id"],
        "job_id": adapter["job_id"],
        "collection_id": collection,
        "image_id": next(iter(images.values())),
        "key_id": ok(client.get("/keys"))["items"][0]["id"],
        "tenant_id": site.tenant_id(client),
    }


def calls(site: Site) -> list[tuple[str, str]]:
    """Method and path template of every call that takes a key, from the API's own description."""
    paths = site.client(None).get("/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, item in paths.items() if path not in OPEN for method in item]


def request(client: TestClient, method: str, path: str, ids: dict[str, str]) -> Any:
    options: dict[str, Any] = {}
    if path.endswith("/images") and method == "POST":
        options = {"files": {"files": ("a.png", png(5))}}
    elif path.endswith("/revisions"):
        options = {"json": {"relabel": [{"position": 0, "label": "bird"}]}}
    elif path.endswith("/compare"):
        options = {"params": {"with": "base"}}
    elif path.endswith("/export"):
        options = {"params": {"format": "open_clip"}}
    elif path.endswith("/metadata"):
        options = {"json": {"colour": "red"}}
    elif method in ("PATCH", "PUT") or path.endswith("/keys"):
        options = {"json": {"name": "x"}}
    return client.request(method, path.format(**ids), **options)


def test_every_call_takes_a_key_but_those_that_are_meant_to_be_open(site: Site) -> None:
    ids = dict.fromkeys(re.findall(r"{(\w+)}", str(calls(site))), "x") | {"position": "0"}
    listed = calls(site)
    assert len(listed) >= 25
    for key in (None, "saft_wrong"):
        for method, path in listed:
            problem(request(site.client(key), method, path, ids), 401, "unauthorized")


def test_foreign_things_do_not_exist(site: Site) -> None:
    owner, other = site.new_tenant("owner"), site.new_tenant("other")
    ids = things(site, owner)
    tried = 0
    for method, path in calls(site):
        if "{" not in path or path.startswith("/tenants"):
            continue
        foreign = problem(request(other, method, path, ids), 404, "not_found")
        unknown = {name: value if name == "position" else "x" + value for name, value in ids.items()}
        missing = problem(request(other, method, path, unknown), 404, "not_found")
        assert shape(foreign, ids) == shape(missing, unknown), path
        tried += 1
    assert tried >= 15
    assert ok(owner.get("/keys"))["items"][0]["name"] == "first"
    for path in ("/datasets", "/adapters", "/jobs", "/collections"):
        assert ok(other.get(path))["items"] == []
        assert ok(owner.get(path))["items"] != []
    for name in ("dataset", "adapter", "job", "collection"):
        assert owner.get(f"/{name}s/{ids[name + '_id']}").status_code == 200  # the other's tries changed nothing
    assert owner.get(f"/jobs/{ids['job_id']}").json()["status"] == "succeeded"


def test_a_tenants_key_opens_no_call_of_the_admins_and_the_admins_none_of_a_tenants(site: Site) -> None:
    owner = site.new_tenant()
    ids = things(site, owner)
    for method, path in calls(site):
        stranger = owner if path.startswith("/tenants") else site.admin
        problem(request(stranger, method, path, ids), 401, "unauthorized")


def shape(body: dict[str, Any], ids: dict[str, str]) -> str:
    text = str(sorted(body.items()))
    for name, value in sorted(ids.items(), key=lambda item: -len(item[1])):
        if name != "position":
            text = text.replace(value, name)
    return text


@pytest.mark.parametrize("field", ["dataset_id", "test_dataset_id"])
def test_a_foreign_dataset_trains_nothing(site: Site, field: str) -> None:
    owner, other = site.new_tenant("owner"), site.new_tenant("other")
    foreign, own = new_dataset(owner)["id"], new_dataset(other)["id"]
    body = {"name": "icons", "dataset_id": own} | {field: foreign}
    problem(other.post("/adapters", json=body), 404, "not_found")
    assert ok(other.get("/jobs"))["items"] == []
    assert site.published == []


def test_a_foreign_adapter_or_collection_answers_nothing(site: Site) -> None:
    owner, other = site.new_tenant("owner"), site.new_tenant("other")
    ids = things(site, owner)
    own_collection, _ = new_collection(other, {})
    for name in (ids["adapter_id"], "icons"):
        body = {"adapter": name, "images": ["eA=="]}
        problem(other.post("/classify", json=body), 404, "not_found")
        query = {"adapter": name, "collection_id": own_collection, "text": "cat"}
        problem(other.post("/retrieve", json=query), 404, "not_found")
    query = {"adapter": "base", "collection_id": ids["collection_id"], "text": "cat"}
    problem(other.post("/retrieve", json=query), 404, "not_found")


def test_an_image_belongs_to_its_collection(client: TestClient) -> None:
    _, images = new_collection(client)
    other, _ = new_collection(client, {})
    image = next(iter(images.values()))
    problem(client.get(f"/collections/{other}/images/{image}"), 404, "not_found")
    problem(client.delete(f"/collections/{other}/images/{image}"), 404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/datasets/{}",
        "/adapters/{}",
        "/jobs/{}",
        "/collections/{}",
        "/adapters/{}/delta",
        "/adapters/{}/export?format=onnx",
    ],
)
@pytest.mark.parametrize("thing", ["%00", "a%00b", "%ff", "'; DROP TABLE tenants; --", "x" * 3000, "%F0%9F%A6%89"])
def test_a_strange_id_is_no_fault_of_ours(client: TestClient, path: str, thing: str) -> None:
    assert client.get(path.format(thing)).status_code in (404, 422)
