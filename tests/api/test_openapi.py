"""The description that clients are made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api.exports import MEDIA_TYPES
from tests.fixtures.rest import Site, ok, problem

CONTRACT = [
    ("post", "/tenants", "201"),
    ("get", "/tenants", "200"),
    ("get", "/tenants/{tenant_id}", "200"),
    ("delete", "/tenants/{tenant_id}", "202"),
    ("put", "/tenants/{tenant_id}/quota", "200"),
    ("get", "/tenants/{tenant_id}/keys", "200"),
    ("post", "/tenants/{tenant_id}/keys", "201"),
    ("delete", "/tenants/{tenant_id}/keys/{key_id}", "204"),
    ("get", "/base", "200"),
    ("post", "/example", "201"),
    ("get", "/usage", "200"),
    ("get", "/audit", "200"),
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
    ("put", "/collections/{collection_id}/images/{image_id}/metadata", "200"),
    ("post", "/retrieve", "200"),
    ("post", "/thumbnails", "200"),
    ("get", "/datasets/{dataset_id}/images/{position}/thumbnail", "304"),
    ("get", "/collections/{collection_id}/images/{image_id}/thumbnail", "304"),
    ("post", "/v1/embeddings", "200"),
    ("get", "/healthz", "200"),
    ("get", "/readyz", "200"),
    ("get", "/metrics", "200"),
]


@pytest.mark.parametrize(("method", "path", "status"), CONTRACT)
def test_every_call_of_the_contract_is_described(site: Site, method: str, path: str, status: str) -> None:
    operation = ok(site.client(None).get("/openapi.json"))["paths"][path][method]
    assert status in operation["responses"]
    assert operation["description"]


ERRORS = {
    ("get", "/healthz"): {400},
    ("get", "/readyz"): {400, 503, 507},
    ("get", "/datasets"): {400, 401, 422, 429, 503},
    ("get", "/datasets/{dataset_id}"): {400, 401, 404, 422, 429, 503},
    ("delete", "/datasets/{dataset_id}"): {400, 401, 404, 409, 422, 429, 503, 507},
    ("post", "/jobs/{job_id}/cancel"): {400, 401, 404, 409, 422, 429, 503, 507},
    ("get", "/tenants"): {400, 401, 422, 503},
    ("delete", "/tenants/{tenant_id}"): {400, 401, 404, 409, 422, 503, 507},
    ("post", "/tenants"): {400, 401, 408, 409, 413, 415, 422, 429, 503, 507},
    ("post", "/datasets"): {400, 401, 408, 409, 413, 415, 422, 429, 503, 507},
    ("post", "/example"): {400, 401, 409, 422, 429, 503, 507},
    ("post", "/adapters"): {400, 401, 404, 408, 409, 413, 415, 422, 429, 503, 507},
    ("get", "/datasets/{dataset_id}/images/{position}/thumbnail"): {400, 401, 404, 422, 429, 503},
    ("post", "/thumbnails"): {400, 401, 408, 409, 413, 415, 422, 429, 503, 507},
    ("post", "/classify"): {400, 401, 404, 408, 409, 413, 415, 422, 429, 503, 504, 507},
    ("post", "/v1/embeddings"): {400, 401, 404, 408, 409, 413, 415, 422, 429, 503, 504, 507},
    ("post", "/retrieve"): {400, 401, 404, 408, 409, 413, 415, 422, 429, 503, 504, 507},
}


@pytest.mark.parametrize(("method", "path"), ERRORS)
def test_every_status_of_an_error_is_described(site: Site, method: str, path: str) -> None:
    responses = ok(site.client(None).get("/openapi.json"))["paths"][path][method]["responses"]
    assert {int(status) for status in responses if int(status) >= 400} == ERRORS[method, path]


def test_every_form_of_an_export_is_described(site: Site) -> None:
    described = ok(site.client(None).get("/openapi.json"))["paths"]["/adapters/{adapter_id}/export"]["get"]
    assert set(described["responses"]["200"]["content"]) == set(MEDIA_TYPES.values())


def test_errors_are_described_as_they_are(site: Site) -> None:
    description = ok(site.client(None).get("/openapi.json"))
    for item in description["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    error = answer["content"]["application/problem+json"]["schema"]
                    assert error == {"$ref": "#/components/schemas/Problem"}
    schema = description["components"]["schemas"]["Problem"]
    body = problem(site.client(None).get("/datasets"), 401, "unauthorized")
    assert set(body) == set(schema["required"])


def test_keys_are_described(site: Site) -> None:
    description = ok(site.client(None).get("/openapi.json"))
    schemes = description["components"]["securitySchemes"]
    assert set(schemes) == {"AdminKey", "TenantKey"}
    assert all((scheme["type"], scheme["scheme"]) == ("http", "bearer") for scheme in schemes.values())
    nobody = None
    wanted: dict[str, list[dict[str, list[str]]] | None] = {
        "/tenants": [{"AdminKey": []}],
        "/healthz": nobody,
        "/readyz": nobody,
        "/metrics": nobody,
    }
    for path, item in description["paths"].items():
        for operation in item.values():
            key = path if not path.startswith("/tenants/") else "/tenants"
            assert operation.get("security") == wanted.get(key, [{"TenantKey": []}]), path


def fields(description: Any, schema: Any) -> Iterator[tuple[str, Any]]:
    """Every field of a schema, however deep, as (name, schema); of a field that may be null, what else it may be."""
    for choice in (schema, *schema.get("anyOf", ())):
        if "$ref" in choice:
            yield from fields(description, description["components"]["schemas"][choice["$ref"].rpartition("/")[2]])
        for name, inner in choice.get("properties", {}).items():
            yield name, inner
            yield from fields(description, inner)
        if "items" in choice:
            yield "item", choice["items"]


def unbounded(schema: Any) -> bool:
    """Whether texts, numbers or lists of any size would fit."""
    bounds = {"string": ("maxLength", "enum", "const", "format"), "array": ("maxItems",)}
    bounds |= dict.fromkeys(("integer", "number"), ("maximum", "exclusiveMaximum"))
    for choice in schema.get("anyOf", [schema]):
        if not any(bound in choice for bound in bounds.get(choice.get("type"), ("type", "$ref"))):
            return True
    return False


def test_everything_that_is_sent_has_a_limit(site: Site) -> None:
    description = ok(site.client(None).get("/openapi.json"))
    found = []
    for path, item in description["paths"].items():
        for method, operation in item.items():
            sent = [(parameter["name"], parameter["schema"]) for parameter in operation.get("parameters", [])]
            for content in operation.get("requestBody", {"content": {}})["content"].values():
                sent += list(fields(description, content["schema"]))
            found += [(method, path, name) for name, schema in sent if unbounded(schema)]
    assert found == []


def test_the_limits_described_are_those_that_are_set(site: Site) -> None:
    limits = {"max_name_characters": 7, "max_classify_images": 3, "max_classify_labels": 4, "max_label_characters": 5}
    limits |= {"max_templates": 2, "max_top_k": 6, "max_epochs": 8, "max_image_bytes": 10, "max_dataset_images": 9}
    description = ok(site.with_limits(**limits, max_density=0.5).client(None).get("/openapi.json"))
    schemas = {name: dict(fields(description, s)) for name, s in description["components"]["schemas"].items()}
    assert schemas["TenantBody"]["name"]["maxLength"] == schemas["CollectionBody"]["name"]["maxLength"] == 7
    assert schemas["ClassifyBody"]["images"]["maxItems"] == 3
    assert schemas["ClassifyBody"]["images"]["items"]["maxLength"] == 16  # ten bytes in base64
    labels = schemas["ClassifyBody"]["labels"]["anyOf"][0]
    assert (labels["maxItems"], labels["items"]["maxLength"]) == (4, 5)
    for body in ("ClassifyBody", "TrainingBody"):
        one, several, nothing = schemas[body]["template"]["anyOf"]
        assert (one["type"], one["maxLength"]) == ("string", 300)
        assert (several["type"], several["maxItems"], several["items"]) == ("array", 2, one)
        assert nothing == {"type": "null"}
    assert schemas["RetrieveBody"]["top_k"]["maximum"] == 6
    assert schemas["TrainingBody"]["epochs"]["anyOf"][0]["maximum"] == 8
    assert schemas["TrainingBody"]["density"]["anyOf"][0]["maximum"] == 0.5
    form = description["paths"]["/datasets"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["files"]["maxItems"] == 9
    form = description["paths"]["/classify"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["template"]["maxItems"] == 2
