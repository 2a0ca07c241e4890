"""Adapters, comparisons of two of them, and their mistakes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas.common import SUMMARY, Templates, View


class BlockCount(BaseModel):  # noqa: D101
    block: str
    parameters: int
    selected: int


class AdapterItem(View):
    """A version of an adapter in a list."""

    id: str
    name: str
    version: int
    published: bool = Field(description="Whether it is what answers the name.")
    job_id: str | None
    classes: list[str]
    template: Templates
    density: float
    nnz: int
    delta_bytes: int
    strength: float = Field(description="How much of the adapter answers where a request names no strength.")
    base: str
    base_fingerprint: str
    metrics: dict[str, Any] | None = SUMMARY
    blocks: list[BlockCount]
    created_at: datetime


class AdapterView(AdapterItem):  # noqa: D101
    metrics: dict[str, Any]


class ComparisonView(BaseModel):
    """Two versions on the same images; `with_` says it of the other one."""

    adapter: str
    with_adapter: str
    images: int
    left_out_images: int = Field(
        description="Images that do not count: one was trained on them, or only one was measured on them."
    )
    agreement: float | None = Field(description="Share of the images on which both say the same.")
    accuracy: float | None
    with_accuracy: float | None
    right: int
    with_right: int
    verdict: Literal["better", "no_better", "worse"] | None = Field(
        description="Of the adapter, by an exact paired test at 5%; null without images."
    )


class MistakeView(View):  # noqa: D101
    dataset_id: str
    position: int
    path: str
    label: str
    prediction: str
    split: Literal["test", "held-out", "training"]
