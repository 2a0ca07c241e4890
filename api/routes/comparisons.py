"""GET /adapters/{adapter_id}/compare: two versions on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query

from api.authenticated import TenantRoute
from api.checks import BASE_NAME
from api.deps import Tenancy, TenancyDep
from api.images import in_batches, stored
from api.resolve import Model, resolve
from api.schemas.adapters import ComparisonView
from api.schemas.common import MAX_ID_CHARACTERS, MAX_NAME_CHARACTERS
from saft_core.clip.class_names import same_class
from saft_core.comparison import Answered, Comparison, compare, in_common, renamed
from saft_core.errors import InvalidInput
from saft_core.store import adapters, datasets
from saft_core.store.models import DatasetImage

router = APIRouter(prefix="/adapters", tags=["adapters"], route_class=TenantRoute)


@router.get("/{adapter_id}/compare", response_model=ComparisonView)
async def compare_adapters(
    adapter_id: str,
    other: Annotated[
        str, Query(alias="with", max_length=MAX_NAME_CHARACTERS, description="The other one, as in the path.")
    ],
    tenancy: TenancyDep,
    dataset_id: Annotated[
        str | None, Query(max_length=MAX_ID_CHARACTERS, description="The images; left out: those of their trainings.")
    ] = None,
) -> ComparisonView:
    """How often two versions say the same, and who is right, on images that neither was trained on.

    Without a dataset these are the images that both were measured on when they were trained: versions of one dataset
    have the same ones held out. Images of a dataset are answered now, but for those that were measured already.
    """
    if dataset_id is None:
        return await tenancy.infer(partial(_of_their_trainings, tenancy, adapter_id, other))
    return await tenancy.infer(partial(_on_a_dataset, tenancy, adapter_id, other, dataset_id))


def _of_their_trainings(tenancy: Tenancy, adapter_id: str, other: str) -> ComparisonView:
    with tenancy.begin() as scope:
        found = [adapters.find(scope, name, report=False) for name in (adapter_id, other) if name != BASE_NAME]
        if len(found) < 2:
            raise InvalidInput("dataset_id: the base has no training of its own; name the dataset to compare it on")
        own, with_ = found
        answers, theirs = (adapters.answers(scope, adapter.id) for adapter in (own, with_))
    names = same_class(with_.classes, own.classes)
    return _view(own.id, with_.id, in_common(answers, renamed(theirs, names)))


def _on_a_dataset(tenancy: Tenancy, adapter_id: str, other: str, dataset_id: str) -> ComparisonView:
    models = [resolve(tenancy, name) for name in (adapter_id, other)]
    with tenancy.begin() as scope:
        dataset, images = datasets.load(scope, dataset_id)
        known = [adapters.answers(scope, model.shown_as) for model in models]
    used = [image for image in images if not any(_is_trained(answers, image) for answers in known)]
    _check_count(tenancy, used, known)
    labels = tuple(entry["name"] for entry in dataset.classes)
    said = [list(_predictions(tenancy, labels, used, *pair)) for pair in zip(models, known, strict=True)]
    rows = ((image.label, *pair) for image, *pair in zip(used, *said, strict=True))
    return _view(models[0].shown_as, models[1].shown_as, compare(rows, left_out=len(images) - len(used)))


def _is_trained(answers: dict[str, Answered], image: DatasetImage) -> bool:
    return image.sha256 in answers and answers[image.sha256].split == "training"


def _check_count(tenancy: Tenancy, images: Sequence[DatasetImage], known: Sequence[dict[str, Answered]]) -> None:
    """Raise InvalidInput where more images would have to be answered now than a request may bring."""
    limit = tenancy.services.limits.max_classify_images
    asked = max(sum(image.sha256 not in answers for image in images) for answers in known)
    if asked > limit:
        raise InvalidInput(
            f"dataset_id: {asked} of its images have to be answered, more than {limit} (max_classify_images); take a"
            " smaller dataset, or train with it as test_dataset_id"
        )


def _predictions(
    tenancy: Tenancy, labels: tuple[str, ...], images: Sequence[DatasetImage], model: Model, known: dict[str, Answered]
) -> Iterator[str]:
    """A model's label for each image, of `labels`: as measured after its training, or else as predicted now.

    The base has no classes of its own and is asked about `labels`.
    """
    asked, classes = [image for image in images if image.sha256 not in known], model.classes or labels
    now = dict(zip((image.sha256 for image in asked), _answers(tenancy, asked, model, classes), strict=True))
    names = same_class(classes, labels)
    for image in images:
        said = now.get(image.sha256) or known[image.sha256].prediction
        yield names.get(said, said)


def _answers(tenancy: Tenancy, images: Sequence[DatasetImage], model: Model, classes: tuple[str, ...]) -> Iterator[str]:
    services = tenancy.services
    deadline = services.deadline()
    for batch in in_batches(images):
        with services.image_reader.slots(len(batch)):
            files = (stored(image.path, services.blobs, image.file) for image in batch)
            pictures = [services.image_reader.prepare(file, deadline) for file in files]
            answers = services.engine.classify(
                model.adapter_id, pictures, classes, model.template, strength=model.strength, deadline=deadline
            )
        yield from (classes[place] for place in np.argmax(answers.cosines, axis=1))


def _view(own: str, other: str, found: Comparison) -> ComparisonView:
    return ComparisonView(adapter=own, with_adapter=other, **found.as_metrics())
