"""POST /retrieve."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from api.metadata import Filter
from api.schemas.common import STRENGTH, Body, Id
from api.search_cursor import MAX_CURSOR_CHARACTERS

SearchText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class RetrieveBody(Body):
    """A search by `text`, by `image`, by `image_id`, or by a text and one of these two together."""

    adapter: str = Field("base", description="An adapter's id or name, or 'base'.")
    collection_id: Id | None = Field(None, description="Where to search; or else a dataset.")
    dataset_id: Id | None = Field(None, description="Where to search; or else a collection.")
    text: SearchText | None = Field(None, description="Used as it stands, without a template.")
    image: str | None = Field(None, description="An image file in base64, as in /classify.")
    image_id: Id | None = Field(
        None,
        description="An image of the collection, or the position of one of the dataset: what is like it is found,"
        " itself left out.",
    )
    text_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Where a text and an image are given: w in w * text + (1 - w) * image, of unit vectors. Left out:"
        " 0.5.",
    )
    negative_text: SearchText | None = Field(
        None, description="What to keep away from: half of its unit vector is taken from that of the query."
    )
    min_score: float | None = Field(None, ge=-1, le=1, description="Only images with a `score` of at least this.")
    filter: Filter | None = Field(
        None,
        description="Only images whose metadata has, under every key given here, this value or one of this list's. A"
        " list in the metadata has each of its texts.",
    )
    distinct: bool = Field(
        False, description="Of near-duplicates (cosine of their embeddings from 0.95 on) only the best one."
    )
    top_k: int = Field(10, ge=1, description="Results on one page.")
    cursor: str | None = Field(
        None,
        max_length=MAX_CURSOR_CHARACTERS,
        description="`next_cursor` of the page before, with the same fields beside it; `top_k` may change.",
    )
    strength: float | None = STRENGTH


class Match(BaseModel):  # noqa: D101
    image_id: str = Field(description="Of a dataset the position.")
    filename: str
    score: float = Field(description="Cosine of the image and the query.")
    metadata: dict[str, Any]


class RetrieveView(BaseModel):  # noqa: D101
    results: list[Match] = Field(description="Best first; of equal scores by `image_id`.")
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last one.")
