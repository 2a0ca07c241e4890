"""GET /base."""

from __future__ import annotations

from pydantic import BaseModel, Field

from saft_core.training_options import Encoders


class DefaultsView(BaseModel):
    """What POST /adapters uses where its `config` says nothing."""

    density: float
    learning_rate: float
    epochs: int
    batch_size: int
    weight_decay: float
    template: str
    encoders: Encoders


class BaseView(BaseModel):  # noqa: D101
    name: str
    fingerprint: str = Field(description="An adapter fits the base whose `base_fingerprint` is this.")
    parameters: int
    image_size: int = Field(description="Pixels of the model's input, on its longer side.")
    embedded: bool = Field(description="Whether it is the base that comes with SAFT.")
    suits: str | None = Field(description="What it is good for and what not; null where its maker did not say.")
    training_defaults: DefaultsView
