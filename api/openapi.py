"""The OpenAPI document: FastAPI's own, completed by problem details and by the limits of the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from api.checks import MAX_TEMPLATE_CHARACTERS
from api.multipart import MAX_FIELDS, MAX_TEXT_BYTES
from api.routes.embeddings import MAX_TEXT_CHARACTERS
from api.schemas.common import MAX_ID_CHARACTERS, Problem
from api.schemas.datasets import Relabelling, RevisionBody
from api.schemas.inference import ClassifyBody, EmbeddingsBody, ImageInput
from api.thumbnails import MEDIA_TYPE as WEBP
from saft_core.settings import Limits, Settings

REF = "#/components/schemas/"
EXPORT = "/adapters/{adapter_id}/export"
INFERENCE = frozenset({"/classify", "/retrieve", "/v1/embeddings"})
NAMES_OTHERS = INFERENCE | {"/adapters"}
"""Paths whose body names rows that may be missing, so 404 is possible."""
MEDIA_TYPES = {
    "/adapters/{adapter_id}/delta": ("application/octet-stream",),
    EXPORT: ("application/zip", "application/octet-stream"),
    "/datasets/{dataset_id}/images/{position}": ("image/*",),
    "/collections/{collection_id}/images/{image_id}": ("image/*",),
    "/datasets/{dataset_id}/images/{position}/thumbnail": (WEBP,),
    "/collections/{collection_id}/images/{image_id}/thumbnail": (WEBP,),
    "/thumbnails": (WEBP,),
    "/jobs/{job_id}/events": ("text/event-stream",),
    "/metrics": ("text/plain",),
}
"""Media types of responses that are not JSON."""
METADATA_TEXT = {"type": "string", "contentMediaType": "application/json", "maxLength": MAX_TEXT_BYTES}

Schema = dict[str, Any]


def install(app: FastAPI, settings: Settings) -> None:
    """Complete the OpenAPI document of `app` with its errors, status by status, and with the limits as they are set."""
    original = app.openapi

    def openapi() -> Schema:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(original(), settings.limits)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(description: Schema, limits: Limits) -> Schema:
    schemas = description["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for model in (Problem, ImageInput, ClassifyBody, EmbeddingsBody, Relabelling, RevisionBody):
        schema = model.model_json_schema(ref_template=REF + "{model}")
        schema.pop("$defs", None)  # each of them is in the list above
        schemas[model.__name__] = schema
    for name, bounds in _bounds(limits).items():
        _bind(schemas[name], bounds)
    for path, method, operation in _operations(description):
        responses = operation["responses"]
        responses.pop("422", None)
        responses |= {str(int(status)): _problem(status) for status in sorted(_errors(path, method, operation))}
        if "200" in responses and path in MEDIA_TYPES:
            binary = {"schema": {"type": "string", "format": "binary"}}
            responses["200"]["content"] = dict.fromkeys(MEDIA_TYPES[path], binary)
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path" and parameter["schema"]["type"] == "string":
                of_name = limits.max_name_characters if parameter["name"] == "adapter_id" else 0  # it goes by both
                parameter["schema"]["maxLength"] = max(MAX_ID_CHARACTERS, of_name)
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            if media_type.startswith("multipart/"):
                _bind(content["schema"], _form_bounds(path, limits))
    return description


def _operations(description: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _problem(status: HTTPStatus) -> Schema:
    content = {"application/problem+json": {"schema": {"$ref": f"{REF}Problem"}}}
    return {"description": f"{status.phrase}, with a stable `code`.", "content": content}


def _errors(path: str, method: str, operation: Schema) -> set[HTTPStatus]:
    """The statuses of the errors that an operation may answer with."""
    found = {HTTPStatus.BAD_REQUEST}
    if operation.get("security"):
        found |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE}
    if {"TenantKey": []} in operation.get("security", ()):
        found |= {HTTPStatus.TOO_MANY_REQUESTS}  # the quota requests_per_minute
    if operation.get("parameters"):
        found |= {HTTPStatus.UNPROCESSABLE_ENTITY}
    if "{" in path or (method == "post" and path in NAMES_OTHERS):
        found |= {HTTPStatus.NOT_FOUND}
    if method != "get":
        found |= {HTTPStatus.CONFLICT, HTTPStatus.INSUFFICIENT_STORAGE}
    if "requestBody" in operation:
        found |= {
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
        }
    if path in INFERENCE:
        found |= {HTTPStatus.GATEWAY_TIMEOUT}
    if path == EXPORT:
        found |= {
            HTTPStatus.CONFLICT,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.GATEWAY_TIMEOUT,
            HTTPStatus.INSUFFICIENT_STORAGE,
        }
    if path == "/readyz":
        found |= {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE}
    return found


def _bounds(limits: Limits) -> dict[str, dict[str, Schema]]:
    """Bounds on the fields of JSON bodies that depend on the settings."""
    name = _text(limits.max_name_characters)
    image = {"maxLength": _base64_characters(limits.max_image_bytes)}
    model = {"adapter": {"maxLength": limits.max_name_characters}, "top_k": {"maximum": limits.max_top_k}}
    several = {"type": "array"} | _templates(limits)
    template = {"anyOf": [several["items"], several, {"type": "null"}]}
    positions = {"maxItems": limits.max_dataset_images}
    return {
        "TenantBody": {"name": name},
        "KeyBody": {"name": name},
        "CollectionBody": {"name": name},
        "AdapterBody": {"name": name},
        "RevisionBody": {"name": name, "remove": positions, "relabel": positions},
        "Relabelling": {"label": _text(limits.max_label_characters)},
        "TrainingBody": {
            "density": {"maximum": limits.max_density},
            "epochs": {"maximum": limits.max_epochs},
            "template": template,
        },
        "ClassifyBody": model
        | {
            "images": {"maxItems": limits.max_classify_images, "items": {"type": "string"} | image},
            "labels": _labels(limits),
            "template": template,
        },
        "RetrieveBody": model | {"image": image, "filter": {"maxProperties": limits.max_metadata_keys}},
        "ImageInput": {"image": image},
        "EmbeddingsBody": {"model": model["adapter"], "input": _inputs(limits)},
    }


def _form_bounds(path: str, limits: Limits) -> dict[str, Schema]:
    """The same for the fields of a multipart form."""
    most = limits.max_classify_images if path == "/classify" else limits.max_dataset_images
    return {
        "name": _text(limits.max_name_characters),
        "changes": {"maxLength": MAX_TEXT_BYTES},
        "adapter": {"maxLength": limits.max_name_characters},
        "files": {"minItems": 1, "maxItems": most},
        "metadata": {"maxItems": min(most, MAX_FIELDS), "items": METADATA_TEXT},
        "labels": _labels(limits),
        "template": _templates(limits),
        "top_k": {"minimum": 1, "maximum": limits.max_top_k},
    }


def _text(most: int) -> Schema:
    """A name: what is left without the white space around it counts, so there must be something."""
    return {"minLength": 1, "maxLength": most, "pattern": r"\S"}


def _labels(limits: Limits) -> Schema:
    label = {"type": "string"} | _text(limits.max_label_characters)
    return {"minItems": 1, "maxItems": limits.max_classify_labels, "uniqueItems": True, "items": label}


def _templates(limits: Limits) -> Schema:
    template = {"type": "string", "maxLength": MAX_TEMPLATE_CHARACTERS}
    return {"minItems": 1, "maxItems": limits.max_templates, "uniqueItems": True, "items": template}


def _inputs(limits: Limits) -> Schema:
    """Of /v1/embeddings: a text, or a list of texts and images."""
    text = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARACTERS}
    most = limits.max_classify_labels + limits.max_classify_images
    items = {"anyOf": [text, {"$ref": f"{REF}ImageInput"}]}
    return {"anyOf": [text, {"type": "array", "minItems": 1, "maxItems": most, "items": items}]}


def _base64_characters(count: int) -> int:
    """Characters of so many bytes in base64."""
    return -(-count // 3) * 4


def _bind(schema: Schema, bounds: Mapping[str, Schema]) -> None:
    """Add bounds to the fields of an object; where a field may be null, to what it is otherwise."""
    for field, bound in bounds.items():
        if (found := schema["properties"].get(field)) is not None:
            choices = () if "anyOf" in bound else found.get("anyOf", ())
            next((choice for choice in choices if choice.get("type") != "null"), found).update(bound)
