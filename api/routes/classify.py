"""POST /classify."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api import checks
from api.bodies import is_multipart
from api.deps import Tenancy, TenancyDep
from api.keyed import TenantRoute
from api.models import Model, find_model
from api.pictures import Source, in_batches, sent_as_file, sent_as_text
from api.schemas import ClassifyBody, ClassifyView, ImageResult, Prediction
from api.uploads import MULTIPART_SCHEMA, Form, form
from saft_core.calibration import FloatArray
from saft_core.errors import InvalidInput
from saft_core.serving.engine import Answers
from saft_core.settings import Limits

_JSON_LIST = re.compile(r"\s*\[")
_JSON_LIST_OF_TEXTS = re.compile(r'\s*\[\s*["\]]')
"""Not "[{}]", which is a template."""

router = APIRouter(tags=["inference"], route_class=TenantRoute)

DOCS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/ClassifyBody"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "adapter": {"type": "string", "default": "base"},
                        "files": {"type": "array", "items": MULTIPART_SCHEMA},
                        "labels": {"type": "array", "items": {"type": "string"}},
                        "template": {"type": "array", "items": {"type": "string"}},
                        "top_k": {"type": "integer"},
                        "strength": {"type": "number", "minimum": 0, "maximum": 1},
                    },
                }
            },
        },
    }
}


@dataclass(frozen=True)
class Question:
    """What is asked, whichever way it came."""

    adapter: str
    files: Sequence[Source]
    labels: list[str] | None
    template: str | list[str] | None
    top_k: int | None
    strength: float | None = None


@router.post("/classify", response_model=ClassifyView, openapi_extra=DOCS)
async def classify(request: Request, tenancy: TenancyDep) -> ClassifyView:
    """Classify images: `labels` left out are the adapter's own classes, `labels` given make it open-vocabulary.

    Answers in the order of the images, each with predictions from most to least probable. `score` does not depend on
    the other labels, `unknown` says how likely the image shows none of them. An image that cannot be read
    fails the request with an error that names it. In a form, repeat `labels` and `template` for each, or give one JSON
    list.
    """
    if is_multipart(request.headers.get("content-type", "")):
        async with form(request, tenancy.services) as upload:
            return await tenancy.services.admission.run(lambda: _answer(tenancy, _from_form(upload, tenancy)))
    content = await request.body()
    return await tenancy.services.admission.run(lambda: _answer(tenancy, _from_json(content, tenancy)))


def _from_json(content: bytes, tenancy: Tenancy) -> Question:
    try:
        body = ClassifyBody.model_validate_json(content)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error
    limits = tenancy.services.limits
    files = [sent_as_text(f"images[{number}]", text, limits) for number, text in enumerate(body.images)]
    return Question(body.adapter, files, body.labels, body.template, body.top_k, body.strength)


def _from_form(upload: Form, tenancy: Tenancy) -> Question:
    files = [
        sent_as_file(file.filename or f"files[{number}]", file, tenancy.services.limits)
        for number, file in enumerate(upload.files("files"))
    ]
    return Question(
        upload.text("adapter") or "base",
        files,
        _form_list(upload, "labels", _JSON_LIST),
        _form_list(upload, "template", _JSON_LIST_OF_TEXTS),
        _form_top_k(upload),
        _form_strength(upload),
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


def _answer(tenancy: Tenancy, question: Question) -> ClassifyView:
    services = tenancy.services
    deadline = services.deadline()
    model = find_model(tenancy, question.adapter)
    labels = _labels(tenancy, model, question.labels)
    template = model.template
    if question.template is not None:
        template = checks.template(question.template, services.limits)
    top_k = min(checks.top_k(question.top_k, services.limits) or len(labels), len(labels))
    _check_count(question.files, services.limits)
    strength = model.strength_for(question.strength)
    calibration = model.calibration_for(labels, template, strength, services.strangers)
    results: list[ImageResult] = []
    for batch in in_batches(question.files):
        with services.pictures.room(len(batch)):
            images = [services.pictures.prepare(source, deadline) for source in batch]
            answers = services.engine.classify(
                model.adapter_id,
                images,
                labels,
                template,
                strength=strength,
                temperature=calibration.temperature,
                deadline=deadline,
            )
        strange = None
        if calibration.unknown is not None:
            strange = services.strangers.probability(calibration.unknown, answers, labels, template)
        results += _results(answers, labels, top_k, strange)
    services.metrics.images.inc(len(results))
    threshold = calibration.unknown.threshold if calibration.unknown else None
    return ClassifyView(adapter=model.shown_as, results=results, unknown_threshold=threshold)


def _labels(tenancy: Tenancy, model: Model, given: list[str] | None) -> tuple[str, ...]:
    if given is not None:
        return checks.labels(given, tenancy.services.limits)
    if not model.classes:
        raise InvalidInput("labels: the base has no classes of its own; give some, such as labels=cat and labels=dog")
    return model.classes


def _check_count(files: Sequence[Source], limits: Limits) -> None:
    """Raise InvalidInput if there are none or too many."""
    limit = limits.max_classify_images
    if not 1 <= len(files) <= limit:
        raise InvalidInput(f"images: give 1 to {limit} (max_classify_images), got {len(files)}")


def _results(
    answers: Answers, labels: tuple[str, ...], top_k: int, strange: FloatArray | None
) -> Iterator[ImageResult]:
    unknown = [None] * len(answers.cosines) if strange is None else strange.tolist()
    for row, score, stranger in zip(answers.probabilities, answers.cosines.max(axis=1), unknown, strict=True):
        best = np.argsort(-row, kind="stable")[:top_k]
        predictions = [Prediction(label=labels[i], probability=float(row[i])) for i in best]
        yield ImageResult(predictions=predictions, score=float(score), unknown=stranger)
