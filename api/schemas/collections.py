"""Collections and their images."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import AliasChoices, BaseModel, Field

from api.schemas.common import Body, Rejected, View


class CollectionBody(Body):  # noqa: D101
    name: str


class CollectionView(View):  # noqa: D101
    id: str
    name: str
    image_count: int
    created_at: datetime


class CollectionImageView(View):  # noqa: D101
    id: str
    filename: str
    metadata: dict[str, Any] = Field(
        validation_alias=AliasChoices("user_metadata", "metadata"), description="As it was sent; {} where nothing was."
    )
    created_at: datetime


class AddedImages(BaseModel):  # noqa: D101
    images: list[CollectionImageView]
    rejected: list[Rejected]
