"""The JSON that goes in and out. Field names are the contract that clients rely on; OpenAPI is made from here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Encoders = Literal["both", "image", "text"]
Selection = Literal["mean_gradient", "fisher", "random", "smallest_magnitude"]
Evaluate = Literal["refit", "holdout", "none"]
Augment = Literal["none", "crop", "crop_flip"]
OnError = Literal["fail", "skip"]
Item = TypeVar("Item")
Templates = str | list[str]
TEMPLATE: Any = Field(
    None,
    description="The prompt; {} in it stands for the class name. Of a list, each class has the mean of its prompts'"
    " embeddings.",
)
STRENGTH: Any = Field(
    None,
    ge=0,
    le=1,
    description="How much of the adapter: 0 is the base, 1 all of it, between their interpolation. Left out: the"
    " adapter's own, which was learned on images held out from its training.",
)

BASE64_IMAGES = (
    "Image files in base64 with + and / and padding; line breaks and blanks do not count. `data:image/png;base64,` may"
    " stand before it. Where the service is set up for it (`SAFT_IMAGE_URLS`), also https addresses of images on the"
    " hosts that it allows."
)
ON_ERROR = (
    "What an image that cannot be read does: `fail` (the default) fails the request with an error that names it,"
    " `skip` leaves the others as they are and answers `error` in its place."
)


class Body(BaseModel):
    """A request body: an unknown field is an error, since it is most likely a typing slip."""

    model_config = ConfigDict(extra="forbid")


class View(BaseModel):
    """An answer, read off a row."""

    model_config = ConfigDict(from_attributes=True)


class Page(BaseModel, Generic[Item]):
    """One page of a list, newest first."""

    items: list[Item]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last one.")


MAX_ID_CHARACTERS = 64
"""No id has more, so nothing longer can be found."""
Id = Annotated[str, StringConstraints(max_length=MAX_ID_CHARACTERS)]


class TenantBody(Body):  # noqa: D101
    name: str


class NewTenant(BaseModel):  # noqa: D101
    id: str
    name: str
    api_key: str = Field(description="Shown this once; only its hash is stored.")


class ClassCount(BaseModel):  # noqa: D101
    name: str
    count: int


class Rejected(BaseModel):  # noqa: D101
    path: str
    code: str
    reason: str


class DatasetView(View):  # noqa: D101
    id: str
    name: str
    classes: list[ClassCount]
    image_count: int
    rejected: list[Rejected]
    created_at: datetime


class DatasetImageView(View):  # noqa: D101
    position: int
    label: str
    path: str


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


class JobView(View):  # noqa: D101
    id: str
    name: str
    dataset_id: str | None
    test_dataset_id: str | None
    config: dict[str, Any]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    phase: str
    progress: float = Field(ge=0, le=1)
    step: int
    steps: int
    loss: float | None
    losses: list[tuple[int, float]] = Field(description="(step, loss) pairs of the curve so far.")
    eta_seconds: float | None
    metrics: dict[str, Any] | None
    adapter_id: str | None
    error: dict[str, Any] | None
    cancel_requested: bool
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class BlockCount(BaseModel):  # noqa: D101
    block: str
    parameters: int
    selected: int


class AdapterView(View):  # noqa: D101
    id: str
    name: str
    job_id: str | None
    classes: list[str]
    template: Templates
    density: float
    nnz: int
    delta_bytes: int
    strength: float = Field(description="How much of the adapter answers where a request names no strength.")
    base: str
    base_fingerprint: str
    metrics: dict[str, Any]
    blocks: list[BlockCount]
    created_at: datetime


class MistakeView(View):  # noqa: D101
    dataset_id: str
    position: int
    path: str
    label: str
    prediction: str
    split: Literal["test", "held-out", "training"]


class ClassifyBody(Body):  # noqa: D101
    adapter: str = Field("base", description="An adapter's id or name, or 'base'.")
    images: list[str] = Field(min_length=1, description=BASE64_IMAGES)
    labels: list[str] | None = None
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
        description="Of images that show one of the labels about one in twenty has an `unknown` above it. Null with it."
    )


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
    created_at: datetime


class AddedImages(BaseModel):  # noqa: D101
    images: list[CollectionImageView]
    rejected: list[Rejected]


class RetrieveBody(Body):  # noqa: D101
    adapter: str = "base"
    collection_id: Id
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)] | None = None
    image: str | None = Field(None, description="An image file in base64, as in /classify.")
    top_k: int = Field(10, ge=1)
    strength: float | None = STRENGTH


class Match(BaseModel):  # noqa: D101
    image_id: str
    filename: str
    score: float


class RetrieveView(BaseModel):  # noqa: D101
    results: list[Match]


class ImageInput(Body):
    """An image among the inputs of /v1/embeddings."""

    image: str = Field(description="An image file in base64, as in /classify.")


class EmbeddingsBody(Body):
    """As OpenAI's clients send it."""

    model: str = Field(description="An adapter's id or name, or 'base'.")
    input: Annotated[str, Field(description="A text.")] | list[str | ImageInput] = Field(
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


class Health(BaseModel):  # noqa: D101
    status: Literal["ok"]


class Readiness(BaseModel):  # noqa: D101
    status: Literal["ok"]
    base: str
    broker: Literal["ok", "away"] = Field(description="Away: jobs are taken and wait; all else is answered.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
