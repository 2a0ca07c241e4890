"""The calls that clients rely on are there, and the description tells the truth about them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.fixtures.rest import Site, new_collection, new_dataset, png

CALLS = {
    "POST /tenants", "GET /tenants", "GET /tenants/{tenant_id}", "DELETE /tenants/{tenant_id}",
    "PUT /tenants/{tenant_id}/quota", "GET /tenants/{tenant_id}/audit",
    "GET /tenants/{tenant_id}/keys", "POST /tenants/{tenant_id}/keys", "PATCH /tenants/{tenant_id}/keys/{key_id}",
    "DELETE /tenants/{tenant_id}/keys/{key_id}",
    "GET /base", "POST /example",
    "GET /keys", "POST /keys", "PATCH /keys/{key_id}", "DELETE /keys/{key_id}", "GET /usage", "GET /audit",
    "POST /datasets", "GET /datasets", "GET /datasets/{dataset_id}", "DELETE /datasets/{dataset_id}",
    "GET /datasets/{dataset_id}/images", "GET /datasets/{dataset_id}/images/{position}",
    "GET /datasets/{dataset_id}/images/{position}/thumbnail",
    "POST /datasets/{dataset_id}/revisions",
    "POST /adapters", "GET /adapters", "GET /adapters/{adapter_id}", "DELETE /adapters/{adapter_id}",
    "GET /adapters/{adapter_id}/delta", "GET /adapters/{adapter_id}/export",
    "GET /adapters/{adapter_id}/mistakes", "POST /adapters/import",
    "POST /adapters/{adapter_id}/publish", "POST /adapters/{adapter_id}/retrain", "GET /adapters/{adapter_id}/compare",
    "GET /jobs", "GET /jobs/{job_id}", "GET /jobs/{job_id}/events", "POST /jobs/{job_id}/cancel",
    "POST /classify", "POST /retrieve", "POST /v1/embeddings", "POST /thumbnails",
    "POST /collections", "GET /collections", "GET /collections/{collection_id}", "DELETE /collections/{collection_id}",
    "POST /collections/{collection_id}/images", "GET /collections/{collection_id}/images",
    "GET /collections/{collection_id}/images/{image_id}", "DELETE /collections/{collection_id}/images/{image_id}",
    "GET /collections/{collection_id}/images/{image_id}/thumbnail",
    "PUT /collections/{collection_id}/images/{image_id}/metadata",
    "GET /healthz", "GET /readyz", "GET /metrics",
}  # fmt: skip
CREATING = {
    "/tenants",
    "/tenants/{tenant_id}/keys",
    "/keys",
    "/datasets",
    "/datasets/{dataset_id}/revisions",
    "/adapters",
    "/adapters/import",
    "/adapters/{adapter_id}/retrain",
    "/collections",
    "/collections/{collection_id}/images",
    "/example",
}
"""Not /classify, /retrieve, /v1/embeddings and /thumbnails: they keep nothing, so asking twice leaves nothing twice."""


@pytest.fixture
def description(site: Site) -> dict[str, Any]:
    return dict(site.client(None).get("/openapi.json").json())


def operations(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{m.upper()} {path}": call for path, item in description["paths"].items() for m, call in item.items()}


def test_all_calls_are_there_and_no_others(description: dict[str, Any]) -> None:
    assert set(operations(description)) == CALLS


def test_every_call_says_what_it_does_and_how_it_fails(description: dict[str, Any]) -> None:
    for name, call in operations(description).items():
        assert call.get("description"), name
        assert "default" not in call["responses"], name  # every status by its number


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    names = re.findall(r"#/components/schemas/(\w+)", str(description))
    assert names
    for name in names:
        assert name in description["components"]["schemas"], name


def test_every_call_that_creates_takes_an_idempotency_key(description: dict[str, Any]) -> None:
    for name, call in operations(description).items():
        headers = {parameter["name"] for parameter in call.get("parameters", []) if parameter["in"] == "header"}
        method, _, path = name.partition(" ")
        assert ("Idempotency-Key" in headers) == (method == "POST" and path in CREATING), name


def test_every_call_with_a_body_describes_it(description: dict[str, Any]) -> None:
    for name, call in operations(description).items():
        if name.startswith("POST") and not name.endswith(("/cancel", "/publish", "/example")):
            assert call["requestBody"]["content"], name


def test_answers_have_the_fields_that_are_described(site: Site, description: dict[str, Any]) -> None:
    client = site.new_tenant()
    dataset, adapter = new_dataset(client), site.new_adapter(client)
    collection, _ = new_collection(client, {"a.png": png()})
    for kind, path in {
        "DatasetView": f"/datasets/{dataset['id']}",
        "AdapterView": f"/adapters/{adapter['id']}",
        "JobView": f"/jobs/{adapter['job_id']}",
        "CollectionView": f"/collections/{collection}",
    }.items():
        assert set(client.get(path).json()) == set(description["components"]["schemas"][kind]["properties"]), kind
