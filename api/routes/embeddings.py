"""POST /v1/embeddings: embeddings of texts and images in the shape of OpenAI's API, so that its clients work."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence

import numpy as np
from fastapi import APIRouter, Request

from api.authenticated import TenantRoute, check_json
from api.deps import Tenancy, TenancyDep
from api.forms import body_docs
from api.images import ImageSource, in_batches, sent_as_text
from api.resolve import Model, resolve
from api.schemas.inference import Embedding, EmbeddingsBody, EmbeddingsUsage, EmbeddingsView, ImageInput
from saft_core.clip.labels import check_texts
from saft_core.errors import DeadlinePassed, InvalidInput
from saft_core.serving.engine import FloatArray
from saft_core.settings import Limits

MAX_TEXT_CHARACTERS = 1_000
"""Far more than a context of 77 tokens holds: what is longer is not even split into tokens."""

router = APIRouter(tags=["inference"], route_class=TenantRoute)


@router.post("/v1/embeddings", response_model=EmbeddingsView, openapi_extra=body_docs("EmbeddingsBody"))
async def embeddings(request: Request, tenancy: TenancyDep) -> EmbeddingsView:
    """Embeddings of texts and images by a model, of unit length, in the order of the inputs.

    What OpenAI's clients send and read, with `base_url` set to this service and `/v1`. Texts are taken as they stand,
    and one that is longer than the model reads is an error; images are read as in /classify. An adapter answers at its
    own strength.
    """
    check_json(request.headers.get("content-type", ""))
    content = await request.body()
    return await tenancy.infer(lambda: _answer(tenancy, EmbeddingsBody.of_json(content)))


def _answer(tenancy: Tenancy, body: EmbeddingsBody) -> EmbeddingsView:
    services = tenancy.services
    deadline = services.deadline()
    model = resolve(tenancy, body.model)
    inputs = [body.input] if isinstance(body.input, str) else body.input
    texts = {place: text for place, text in enumerate(inputs) if isinstance(text, str)}
    images = {
        place: sent_as_text(f"input[{place}].image", image.image, services.limits)
        for place, image in enumerate(inputs)
        if isinstance(image, ImageInput)
    }
    _check_counts(len(texts), len(images), services.limits)
    tokens = sum(_tokens(tenancy, f"input[{place}]", text, deadline) for place, text in texts.items())
    _check_dimensions(body.dimensions, tenancy)
    vectors: dict[int, FloatArray] = {}
    if texts:
        found = services.engine.embed_texts(
            model.adapter_id, list(texts.values()), strength=model.strength, deadline=deadline
        )
        vectors |= dict(zip(texts, found, strict=True))
    vectors |= zip(images, _of_images(tenancy, model, list(images.values()), deadline), strict=True)
    data = [
        Embedding(index=place, embedding=_packed(vectors[place], body.encoding_format)) for place in sorted(vectors)
    ]
    usage = EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens)
    return EmbeddingsView(data=data, model=model.shown_as, usage=usage)


def _check_counts(texts: int, images: int, limits: Limits) -> None:
    """Raise InvalidInput if there is nothing, or too much of one kind."""
    if not texts + images:
        raise InvalidInput("input: give a text or an image at least")
    if texts > limits.max_classify_labels:
        raise InvalidInput(f"input: give at most {limits.max_classify_labels} texts (max_classify_labels), got {texts}")
    if images > limits.max_classify_images:
        most = limits.max_classify_images
        raise InvalidInput(f"input: give at most {most} images (max_classify_images), got {images}")


def _tokens(tenancy: Tenancy, field: str, text: str, deadline: float) -> int:
    """How many tokens a text has. One by one, since a text at the limit takes a while.

    Raises InvalidInput for one that the base cannot read whole, or that is blank, and DeadlinePassed.
    """
    if not text.strip():
        raise InvalidInput(f"{field}: the text is empty", code="empty_text")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidInput(
            f"{field}: the text has {len(text):,} characters; at most {MAX_TEXT_CHARACTERS:,} are taken. Shorten it.",
            code="text_too_long",
        )
    if time.monotonic() > deadline:
        raise DeadlinePassed
    return len(check_texts(tenancy.services.engine.base, [text], field)[0])


def _check_dimensions(asked: int | None, tenancy: Tenancy) -> None:
    own = tenancy.services.engine.base.embed_dim
    if asked not in (None, own):
        raise InvalidInput(f"dimensions: the model's embeddings have {own} numbers; give {own} or leave it out")


def _of_images(tenancy: Tenancy, model: Model, images: Sequence[ImageSource], deadline: float) -> Iterator[FloatArray]:
    """The embeddings of the images in their order."""
    services, reader = tenancy.services, tenancy.services.image_reader
    for batch in in_batches(images):
        with reader.fetched(batch, deadline) as files, reader.slots(len(files)):
            prepared = [reader.prepare(file, deadline) for file in files]
            found = services.engine.embed_images(model.adapter_id, prepared, strength=model.strength, deadline=deadline)
        yield from found


def _packed(vector: FloatArray, encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    return [float(number) for number in np.asarray(vector)]
