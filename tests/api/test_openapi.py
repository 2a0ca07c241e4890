"""The description that clients are made from."""

from __future__ import annotations

import pytest

from tests.fixtures.rest import Site, ok, problem

CONTRACT = [
    ("post", "/tenants", "201"),
    ("post", "/datasets", "201"),
    ("get", "/datasets", "200"),
    ("get", "/datasets/{dataset_id}", "200"),
    ("delete", "/datasets/{dataset_id}", "204"),
    ("post", "/adapters", "202"),
    ("get", "/adapters", "200"),
    ("get", "/adapters/{adapter_id}", "200"),
    ("delete", "/adapters/{adapter_id}", "204"),
    ("get", "/adapters/{adapter_id}/delta", "200"),
    ("post", "/adapters/import", "201"),
    ("get", "/jobs/{job_id}", "200"),
    ("get", "/jobs/{job_id}/events", "200"),
    ("post", "/jobs/{job_id}/cancel", "202"),
    ("post", "/classify", "200"),
    ("post", "/collections", "201"),
    ("post", "/collections/{collection_id}/images", "201"),
    ("post", "/retrieve", "200"),
    ("get", "/healthz", "200"),
    ("get", "/readyz", "200"),
    ("get", "/metrics", "200"),
]


@pytest.mark.parametrize(("method", "path", "status"), CONTRACT)
def test_every_call_of_the_contract_is_described(site: Site, method: str, path: str, status: str) -> None:
    operation = ok(site.client(None).get("/openapi.json"))["paths"][path][method]
    assert status in operation["responses"]
    assert operation["description"]


def test_errors_are_described_as_they_are(site: Site) -> None:
    description = ok(site.client(None).get("/openapi.json"))
    for path, item in description["paths"].items():
        for operation in item.values():
            assert "422" not in operation["responses"], path  # FastAPI's own shape
            error = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
            assert error == {"$ref": "#/components/schemas/Problem"}
    schema = description["components"]["schemas"]["Problem"]
    body = problem(site.client(None).get("/datasets"), 401, "unauthorized")
    assert set(body) == set(schema["required"])


def test_keys_are_described(site: Site) -> None:
    description = ok(site.client(None).get("/openapi.json"))
    (scheme,) = description["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
