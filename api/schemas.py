"""The JSON that goes in and out. Field names are the contract that clients rely on; OpenAPI is made from here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from api.many import Many
from api.metadata import Filter
from api.search_cursor import MAX_CURSOR_CHARACTERS
from saft_core.training_options import Augment, Encoders, Evaluate, Selection

Publish = Literal["auto", "if_better", "manual"]
OnError = Literal["fail", "skip"]
Item = TypeVar("Item")
Templates = str | Many[str]
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
PUBLISH: Any = Field("auto", description="Whether the new version answers its name, once it is trained.")

BASE64_IMAGES = (
    "Image files in base64 with + and / and padding; line breaks and blanks do not count. `data:image/png;base64,` may"
    " stand before it. Where the service is set up for it (`SAFT_IMAGE_URLS`), also https addresses of images on the"
    " hosts that it allows."
)
ON_ERROR = (
    "What an image that cannot be read does: `fail` (the default) fails the request with an error that names it,"
    " `skip` leaves the others as they are and answers `error` in its place."
)


MAX_MEMBERS = 100
"""Of one object in a request: more than any has, so that a hundred thousand slips are one error."""


class Body(BaseModel):
    """A request body: an unknown field is an error, since it is most likely a typing slip."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_number(cls, given: Any) -> Any:
        """Each unknown field is an error of its own, which a million of them must not be."""
        if isinstance(given, dict) and len(given) > MAX_MEMBERS:
            raise PydanticCustomError("too_many_fields", f"{len(given):,} fields; at most {MAX_MEMBERS} are taken")
        return given

    @classmethod
    def of_json(cls, content: bytes) -> Self:
        """What was sent, for routes that read it in a thread. Raises RequestValidationError, as FastAPI does."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error


class View(BaseModel):
    """An answer, read off a row."""

    model_config = ConfigDict(from_attributes=True)


class Page(BaseModel, Generic[Item]):
    """One page of a list, newest first."""

    items: list[Item]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last one.")


MAX_ID_CHARACTERS = 64
"""No id has more, so nothing longer can be found."""
MAX_NAME_CHARACTERS = 1_000
"""What is longer is not looked for as an adapter's name."""
Id = Annotated[str, StringConstraints(max_length=MAX_ID_CHARACTERS)]


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
    remove: Many[Position] = Field([], max_length=MAX_CHANGES, description="Positions of images to leave out.")
    relabel: Many[Relabelling] = Field(
        [], max_length=MAX_CHANGES, description="Positions of images of another class, which may be a new one."
    )


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


SUMMARY: Any = Field(
    validation_alias="summary", description="The figures of the metrics; matrices and curves are left out of lists."
)


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


class ClassifyBody(Body):  # noqa: D101
    adapter: str = Field("base", description="An adapter's id or name, or 'base'.")
    images: Many[str] = Field(min_length=1, description=BASE64_IMAGES)
    labels: Many[str] | None = None
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


class ImageInput(Body):
    """An image among the inputs of /v1/embeddings."""

    image: str = Field(description="An image file in base64, as in /classify.")


class EmbeddingsBody(Body):
    """As OpenAI's clients send it."""

    model: str = Field(description="An adapter's id or name, or 'base'.")
    input: Annotated[str, Field(description="A text.")] | Many[str | ImageInput] = Field(
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
