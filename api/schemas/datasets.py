"""Datasets, their images, revisions, and the example."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from api.fail_fast import FailFastList
from api.schemas.common import Body, Rejected, View


class ClassCount(BaseModel):  # noqa: D101
    name: str
    count: int


class DatasetView(View):  # noqa: D101
    id: str
    name: str
    classes: list[ClassCount]
    image_count: int
    rejected: list[Rejected] = Field(
        description="What was not taken, and why: files, files that a labels file names in vain, and classes that are"
        " too small."
    )
    revision_of: str | None = Field(description="The dataset that it was made of, which may be gone, or null.")
    created_at: datetime


class NewDatasetView(DatasetView):  # noqa: D101
    test_dataset_id: str | None = Field(
        None,
        description="The dataset that was made of the upload's images to test on, to be given to POST /adapters; null"
        " if there are none.",
    )


class ExampleView(BaseModel):
    """What a tenant has of the sample photographs."""

    dataset_id: str
    test_dataset_id: str
    adapter_id: str | None = Field(description="Null while the job trains it.")
    job_id: str | None = Field(description="The training, on another base than the one that the example is made for.")


class DatasetImageView(View):  # noqa: D101
    position: int
    label: str
    path: str


MAX_POSITION, MAX_CHANGES = 2**31 - 1, 1_000_000
Position = Annotated[int, Field(ge=0, le=MAX_POSITION, strict=True)]


class Relabelling(Body):  # noqa: D101
    position: Position
    label: str


class RevisionBody(Body):
    """What is different from a dataset that is there. Positions are those of the dataset, before anything changes."""

    name: str | None = Field(None, description="Left out: that of the dataset.")
    remove: FailFastList[Position] = Field([], max_length=MAX_CHANGES, description="Positions of images to leave out.")
    relabel: FailFastList[Relabelling] = Field(
        [], max_length=MAX_CHANGES, description="Positions of images of another class, which may be a new one."
    )
