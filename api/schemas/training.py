"""POST /adapters and its jobs: how to train, and how a training goes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas.common import SUMMARY, TEMPLATE, Body, Id, Templates, View
from saft_core.training_options import Augment, Encoders, Evaluate, Selection

Publish = Literal["auto", "if_better", "manual"]
PUBLISH: Any = Field("auto", description="Whether the new version answers its name, once it is trained.")


class TrainingBody(Body):
    """What is left out takes the default of the base model."""

    density: float | None = Field(None, gt=0, le=1, description="Share of the parameters that may change.")
    learning_rate: float | None = Field(None, gt=0, le=1)
    epochs: int | None = Field(None, ge=1)
    batch_size: int | None = Field(None, ge=1, le=1024)
    seed: int = Field(0, ge=0, le=2**32 - 1)
    template: Templates | None = TEMPLATE
    encoders: Encoders | None = None
    selection: Selection | None = Field(
        None, description="What entries are ranked by: SAFT's mean gradient (the default), or an ablation of the paper."
    )
    patience_epochs: int | None = Field(
        None,
        ge=1,
        le=2**31 - 1,
        description="Stop early, by a fifth of the training images kept aside. Left out: train to the end.",
    )
    weight_decay: float | None = Field(None, ge=0, le=1, description="AdamW's, on the entries that may change.")
    augment: Augment | None = Field(
        None,
        description="What a step sees of each image: all of it (`none`, the default), a random crop, or that mirrored"
        " at times. Do not mirror what is not the same mirrored: arrows, letters, left and right.",
    )
    shots: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Images of each class that are used, drawn by the seed. Left out: all."
    )
    evaluate: Evaluate | None = Field(
        None,
        description="A fifth of each class is held out to learn the strength on and, without a test dataset, to be"
        " measured on; then a second training takes all images (`refit`, the default) or not (`holdout`). `none` holds"
        " nothing out.",
    )


class AdapterBody(Body):  # noqa: D101
    name: str
    dataset_id: Id
    test_dataset_id: Id | None = None
    config: TrainingBody = TrainingBody()
    publish: Publish = PUBLISH


class RetrainBody(Body):  # noqa: D101
    publish: Publish = PUBLISH


class JobItem(View):
    """A job in a list."""

    id: str
    name: str
    dataset_id: str | None
    test_dataset_id: str | None
    config: dict[str, Any]
    publish: Publish
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    phase: str
    progress: float = Field(ge=0, le=1, description="The share of the time that it takes, over all phases.")
    step: int
    steps: int = Field(description="Of both trainings where there are two; `step` goes on through the second.")
    loss: float | None
    eta_seconds: float | None = Field(description="What is left of it; null as long as nothing is known.")
    elapsed_seconds: float | None = Field(
        description="How long workers have been at it, all attempts together; null before."
    )
    metrics: dict[str, Any] | None = SUMMARY
    adapter_id: str | None
    error: dict[str, Any] | None
    cancel_requested: bool
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobView(JobItem):  # noqa: D101
    losses: list[tuple[int, float]] = Field(
        description="(step, loss) pairs of the curve so far, over all attempts: the first, the last, and of those"
        " between them so many that there are 200 at most."
    )
    metrics: dict[str, Any] | None = Field(
        description="While it runs, what is known of the base alone: `zero_shot_accuracy`, `zero_shot_right`,"
        " `test_images`, `base_fit`. All of it once `status` is `succeeded`."
    )
    queue_position: int | None = Field(
        default=None, description="1 is next, as tenants take turns; null unless `status` is `queued`."
    )
