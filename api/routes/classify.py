"""POST /classify."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from fastapi import APIRouter, Request, Response
from torch import Tensor

from api import checks
from api.authenticated import TenantRoute
from api.body_limits import is_multipart
from api.content_negotiation import preferred
from api.csv_response import CSV, results_as_csv
from api.deps import Tenancy, TenancyDep
from api.forms import MULTIPART_SCHEMA, Form, body_docs, form
from api.images import ImageReader, ImageSource, in_batches, sent_as_file, sent_as_text
from api.resolve import Model, resolve
from api.schemas.inference import ON_ERROR, ClassifyBody, ClassifyView, ImageError, ImageResult, OnError, Prediction
from api.services import Services
from saft_core.calibration import Calibration
from saft_core.errors import InvalidImage, InvalidInput
from saft_core.settings import Limits
from saft_core.templates import Template

_JSON_LIST = re.compile(r"\s*\[")
_JSON_LIST_OF_TEXTS = re.compile(r'\s*\[\s*["\]]')
"""Not "[{}]", which is a template."""

_JSON = "application/json"

router = APIRouter(tags=["inference"], route_class=TenantRoute)

DOCS = body_docs(
    "ClassifyBody",
    adapter={"type": "string", "default": "base"},
    files={"type": "array", "items": MULTIPART_SCHEMA},
    labels={"type": "array", "items": {"type": "string"}},
    template={"type": "array", "items": {"type": "string"}},
    top_k={"type": "integer"},
    strength={"type": "number", "minimum": 0, "maximum": 1},
    on_error={"type": "string", "enum": list(get_args(OnError)), "default": "fail", "description": ON_ERROR},
    scores={"type": "boolean"},
)
TABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            CSV: {
                "schema": {"type": "string"},
                "example": "file,label,probability,label_2,probability_2,score,unknown,error\r\n"
                "1.jpg,cat,0.91,dog,0.09,0.27,0.04,\r\n",
            }
        }
    }
}


@dataclass(frozen=True)
class ClassifyRequest:
    """A request to classify, from JSON or a form, not validated against the adapter yet."""

    adapter: str
    files: Sequence[ImageSource]
    labels: list[str] | None
    template: str | list[str] | None
    top_k: int | None
    strength: float | None
    skips: bool
    shown: Sequence[str]
    """The name of each image in CSV."""


@router.post("/classify", response_model=ClassifyView, openapi_extra=DOCS, responses=TABLE)
async def classify(request: Request, tenancy: TenancyDep) -> ClassifyView | Response:
    """Classify images: `labels` left out are the adapter's own classes, `labels` given make it open-vocabulary.

    Answers in the order of the images, each with predictions from most to least probable. `score` does not depend on
    the other labels, `unknown` says how likely the image shows none of them. An image that cannot be read
    fails the request with an error that names it, or with `on_error` "skip" has an `error` in its place. In a form,
    repeat `labels` and `template` for each, or give one JSON list. With `Accept: text/csv` the answer is a table with a
    line for each image.
    """
    as_table = preferred(",".join(request.headers.getlist("accept")), (_JSON, CSV)) == CSV
    if is_multipart(request.headers.get("content-type", "")):
        async with form(request, tenancy.services) as upload:
            return await tenancy.infer(lambda: _respond(tenancy, _from_form(upload, tenancy), as_table))
    content = await request.body()
    return await tenancy.infer(lambda: _respond(tenancy, _from_json(content, tenancy), as_table))


def _respond(tenancy: Tenancy, request: ClassifyRequest, as_table: bool) -> ClassifyView | Response:
    """The answer in the form that was asked for."""
    answer = _answer(tenancy, request)
    return results_as_csv(request.shown, answer.results) if as_table else answer


def _from_json(content: bytes, tenancy: Tenancy) -> ClassifyRequest:
    body = ClassifyBody.of_json(content)
    limits = tenancy.services.limits
    files = [sent_as_text(f"images[{number}]", text, limits) for number, text in enumerate(body.images)]
    return ClassifyRequest(
        body.adapter,
        files,
        body.labels,
        body.template,
        body.top_k,
        body.strength,
        skips=body.on_error == "skip",
        shown=[str(number) for number in range(len(files))],
    )


def _from_form(upload: Form, tenancy: Tenancy) -> ClassifyRequest:
    files = [
        sent_as_file(file.filename or f"files[{number}]", file, tenancy.services.limits)
        for number, file in enumerate(upload.files("files"))
    ]
    return ClassifyRequest(
        upload.text("adapter") or "base",
        files,
        _form_list(upload, "labels", _JSON_LIST),
        _form_list(upload, "template", _JSON_LIST_OF_TEXTS),
        _form_top_k(upload),
        _form_strength(upload),
        skips=_form_choice(upload, "on_error", get_args(OnError)) == "skip",
        shown=[file.name for file in files],
    )


def _form_list(upload: Form, name: str, json_list: re.Pattern[str]) -> list[str] | None:
    """Repeated fields, or one field with a JSON list, which is told by its start."""
    values = upload.texts(name)
    if not values:
        return None
    if len(values) == 1 and json_list.match(values[0]):
        try:
            values = json.loads(values[0])
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{name}: not a JSON list") from error
        if not all(isinstance(value, str) for value in values):
            raise InvalidInput(f"{name}: the JSON list must hold texts")
    return values


def _form_choice(upload: Form, name: str, choices: Sequence[str]) -> str | None:
    text = upload.text(name)
    if text is not None and text not in choices:
        raise InvalidInput(f"{name}: give {' or '.join(choices)}, not {text[:20]!r}")
    return text


def _form_top_k(upload: Form) -> int | None:
    text = upload.text("top_k")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInput(f"top_k: {text[:20]!r} is not a whole number")
    return int(text)


def _form_strength(upload: Form) -> float | None:
    text = upload.text("strength")
    if text is None:
        return None
    try:
        return checks.strength(float(text))
    except ValueError as error:
        raise InvalidInput(f"strength: {text[:20]!r} is not a number") from error


def _answer(tenancy: Tenancy, request: ClassifyRequest) -> ClassifyView:
    services = tenancy.services
    deadline = services.deadline()
    model = resolve(tenancy, request.adapter)
    labels = _labels(tenancy, model, request.labels)
    template = model.template
    if request.template is not None:
        template = checks.template(request.template, services.limits)
    top_k = min(checks.top_k(request.top_k, services.limits) or len(labels), len(labels))
    _check_count(request.files, services.limits)
    strength = model.strength_for(request.strength)
    calibration = model.calibration_for(labels, template, strength, services.unknown_detector)
    asked = _Classification(model.adapter_id, labels, template, strength, calibration, top_k)
    results: list[ImageResult] = []
    for batch in in_batches(request.files):
        results += _batch_results(services, asked, batch, deadline, skips=request.skips)
    if all(result.error for result in results):
        services.engine.embed_labels(model.adapter_id, labels, template, strength=strength, deadline=deadline)
    services.metrics.images.inc(sum(result.error is None for result in results))
    threshold = calibration.unknown.threshold if calibration.unknown else None
    return ClassifyView(adapter=model.shown_as, results=results, unknown_threshold=threshold)


@dataclass(frozen=True)
class _Classification:
    """A validated request, the same for each batch of its images."""

    adapter_id: str | None
    labels: tuple[str, ...]
    template: Template
    strength: float
    calibration: Calibration
    top_k: int


def _batch_results(
    services: Services, asked: _Classification, batch: Sequence[ImageSource], deadline: float, *, skips: bool
) -> list[ImageResult]:
    """The results in the order of the batch; skips: an image that cannot be read has its error in its place."""
    reader = services.image_reader
    with reader.fetched(batch, deadline) as files, reader.slots(len(files)):
        read = [_read(reader, file, deadline, skips=skips) for file in files]
        images = [image for image in read if isinstance(image, Tensor)]
        good = iter(_results(services, asked, images, deadline) if images else ())
        return [next(good) if isinstance(image, Tensor) else _failed(image) for image in read]


def _read(reader: ImageReader, source: ImageSource, deadline: float, *, skips: bool) -> Tensor | InvalidImage:
    try:
        return reader.prepare(source, deadline)
    except InvalidImage as error:
        if not skips:
            raise
        return error


def _failed(error: InvalidImage) -> ImageResult:
    found = ImageError(code=error.error_code, detail=error.message)
    return ImageResult(predictions=[], score=None, unknown=None, error=found)


def _labels(tenancy: Tenancy, model: Model, given: list[str] | None) -> tuple[str, ...]:
    if given is not None:
        return checks.labels(given, tenancy.services.limits)
    if not model.classes:
        raise InvalidInput("labels: the base has no classes of its own; give some, such as labels=cat and labels=dog")
    return model.classes


def _check_count(files: Sequence[ImageSource], limits: Limits) -> None:
    """Raise InvalidInput if there are none or too many."""
    limit = limits.max_classify_images
    if not 1 <= len(files) <= limit:
        detail = f"images: give 1 to {limit} (max_classify_images), got {len(files)}"
        raise InvalidInput(detail, max_classify_images=limit)


def _results(
    services: Services, asked: _Classification, images: Sequence[Tensor], deadline: float
) -> Iterator[ImageResult]:
    answers = services.engine.classify(
        asked.adapter_id,
        images,
        asked.labels,
        asked.template,
        strength=asked.strength,
        temperature=asked.calibration.temperature,
        deadline=deadline,
    )
    labels, unknown = asked.labels, [None] * len(images)
    if asked.calibration.unknown is not None:
        found = services.unknown_detector.probability(
            asked.calibration.unknown, answers, labels, asked.template, asked.adapter_id
        )
        unknown = found.tolist()
    for row, score, none_of_them in zip(answers.probabilities, answers.cosines.max(axis=1), unknown, strict=True):
        best = np.argsort(-row, kind="stable")[: asked.top_k]
        predictions = [Prediction(label=labels[i], probability=float(row[i])) for i in best]
        yield ImageResult(predictions=predictions, score=float(score), unknown=none_of_them)
