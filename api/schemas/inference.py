"""POST /classify and POST /v1/embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.fail_fast import FailFastList
from api.schemas.common import STRENGTH, TEMPLATE, Body, Templates

OnError = Literal["fail", "skip"]
BASE64_IMAGES = (
    "Image files in base64 with + and / and padding; line breaks and blanks do not count. `data:image/png;base64,` may"
    " stand before it. Where the service is set up for it (`SAFT_IMAGE_URLS`), also https addresses of images on the"
    " hosts that it allows."
)
ON_ERROR = (
    "What an image that cannot be read does: `fail` (the default) fails the request with an error that names it,"
    " `skip` leaves the others as they are and answers `error` in its place."
)


class ClassifyBody(Body):  # noqa: D101
    adapter: str = Field("base", description="An adapter's id or name, or 'base'.")
    images: FailFastList[str] = Field(min_length=1, description=BASE64_IMAGES)
    labels: FailFastList[str] | None = None
    template: Templates | None = TEMPLATE
    top_k: int | None = Field(None, ge=1)
    strength: float | None = STRENGTH
    on_error: OnError = Field("fail", description=ON_ERROR)
    scores: bool = Field(False, description="Taken for the sake of older clients: `score` is always answered.")


class Prediction(BaseModel):  # noqa: D101
    label: str
    probability: float


class ImageError(BaseModel):
    """Why an image has no predictions."""

    code: str
    detail: str


class ImageResult(BaseModel):  # noqa: D101
    predictions: list[Prediction] = Field(description="From most to least probable; none where there is an `error`.")
    score: float | None = Field(
        description="Cosine of the image and the first prediction's label, whatever the others are; null with `error`."
    )
    unknown: float | None = Field(
        description="Probability that the image shows none of the labels; null where it cannot be told. Of an adapter's"
        " own classes at its own strength its held-out images tell it, of other labels a probe set and the base."
    )
    error: ImageError | None = Field(
        None, description='Why the image could not be read, with `on_error` "skip"; null for all others.'
    )


class ClassifyView(BaseModel):  # noqa: D101
    adapter: str
    results: list[ImageResult]
    unknown_threshold: float | None = Field(
        description="Of the images that show one of the labels and that it was fitted on, about one in twenty has an"
        " `unknown` above it. Null with it."
    )


class ImageInput(Body):
    """An image among the inputs of /v1/embeddings."""

    image: str = Field(description="An image file in base64, as in /classify.")


class EmbeddingsBody(Body):
    """As OpenAI's clients send it."""

    model: str = Field(description="An adapter's id or name, or 'base'.")
    input: Annotated[str, Field(description="A text.")] | FailFastList[str | ImageInput] = Field(
        description="A text, or a list of texts, of images, or of both. Texts are taken as they are, without template."
    )
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="base64: float32, little-endian, as OpenAI's clients ask for by themselves."
    )
    dimensions: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Numbers of one embedding: the model's own, or left out."
    )
    user: str | None = Field(None, max_length=1000, description="Not used.")


class Embedding(BaseModel):  # noqa: D101
    object: Literal["embedding"] = "embedding"
    index: int = Field(description="The input's place in the list, from 0.")
    embedding: list[float] | str = Field(description="Of unit length.")


class EmbeddingsUsage(BaseModel):  # noqa: D101
    prompt_tokens: int = Field(description="Tokens of the texts, those that mark a start and an end included.")
    total_tokens: int


class EmbeddingsView(BaseModel):
    """As OpenAI answers."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str = Field(description="The adapter's id, or 'base'.")
    usage: EmbeddingsUsage
