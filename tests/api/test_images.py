from __future__ import annotations

import base64
import io
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from api.images import ImageReader, ImageSource, from_base64, sent_as_text
from saft_core.clip.loading import load_base
from saft_core.data.images import decode_image
from saft_core.data.samples import Sample
from saft_core.errors import Busy, InvalidImage, SaftError
from saft_core.tuning.loaders import PixelLoader
from tests.fixtures.models import at_rest
from tests.fixtures.rest import Site, new_collection, ok, png, problem, stored_files

LABELS = ["cat", "dog"]
MANY = 1 << 20


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def source(data: bytes, name: str = "x.png") -> ImageSource:
    return ImageSource(name, len(data), lambda: data)


def later(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def photo(width: int = 1200, height: int = 900) -> bytes:
    """A JPEG with coarse and fine structure, as photographs have it."""
    generator = np.random.default_rng(0)
    values: npt.NDArray[Any] = np.full((1, 1, 3), 128, np.float32)
    for side in (4, 16, 64, 256):
        values = resized(values, side, side) + 60 / side**0.3 * generator.normal(size=(side, side, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(resized(values, width, height), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def resized(values: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    """(height, width, 3) of (rows, columns, 3)."""
    channels = (Image.fromarray(values[..., number].astype(np.float32)) for number in range(3))
    scaled = (channel.resize((width, height), Image.Resampling.BICUBIC) for channel in channels)
    return np.stack([np.asarray(channel) for channel in scaled], axis=-1)


def whole(reader: ImageReader) -> bool:
    """Whether nobody holds anything of the budget."""
    return all(budget.free == budget.units for budget in (reader.files, reader.pixels, reader.prepared))


# --- base64 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(textwrap.wrap(b64(png()), 76)) + "\n",
        "\r\n".join(textwrap.wrap(b64(png()), 64)),
        f" \t{b64(png())} ",
        "data:image/png;base64," + b64(png()),
        "DATA:image/png;charset=utf-8;name=a.png;BASE64,\n" + b64(png()),
        "data:;base64," + b64(png()),
    ],
    ids=["MIME", "PEM", "blanks", "data", "data with parameters", "data without a type"],
)
def test_base64_as_mail_certificates_and_pages_have_it(client: TestClient, text: str) -> None:
    assert from_base64(text, MANY) == png()
    ok(client.post("/classify", json={"images": [text], "labels": LABELS}))


@pytest.mark.parametrize(
    "text",
    [
        "???",
        "eA",
        "eA=",
        "eA===",
        "e A==x",
        "-_-_",
        "éééé",
        "eA==\0",
        "data:image/png,eA==",
        "data:image/png;base64",
        "\u2003eA==",
    ],
)
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        from_base64(text, MANY)
    assert caught.value.error_code == "not_base64"


def test_a_text_that_is_too_long_is_not_even_decoded() -> None:
    assert from_base64(b64(bytes(1000)), 1000) == bytes(1000)
    with pytest.raises(InvalidImage, match="1,001 bytes") as caught:
        from_base64(b64(bytes(1001)), 1000)
    assert caught.value.error_code == "image_too_large"


# --- one way to read a picture ---------------------------------------------------------------------------------------


def test_serving_and_training_prepare_a_picture_alike(site: Site) -> None:
    """A picture that is decoded smaller for the one and whole for the other would be another picture to the model."""
    base, limits = site.services.engine.base, site.services.data_limits
    data = photo()
    served = site.services.image_reader.prepare(source(data), later())
    loader = PixelLoader([Sample(0, "x", lambda: data)], base.pixels, limits, side=base.image_side)
    assert torch.equal(served, loader.batch([0])[0][0])
    assert decode_image(data, limits, base.image_side).size == (300, 225)
    assert not torch.equal(served, base.preprocess(decode_image(data, limits)))


@pytest.mark.parametrize("sides", [(8, 8), (16, 12), (20, 15), (32, 32)])
def test_a_jpeg_decoded_smaller_is_the_same_to_the_embedded_base(site: Site, sides: tuple[int, int]) -> None:
    base, limits = load_base(""), site.services.data_limits
    data = photo(*(side * base.image_side for side in sides))
    full, reduced = decode_image(data, limits), decode_image(data, limits, base.image_side)
    assert min(reduced.size) >= 4 * base.image_side
    assert reduced.width < full.width
    with torch.inference_mode():
        embeddings = base.encode_pixels(base.pixels([full, reduced]))
    assert float(embeddings[0] @ embeddings[1]) > 0.9995


def test_what_is_not_far_larger_than_needed_is_decoded_whole(site: Site) -> None:
    limits, side = site.services.data_limits, 64
    data = photo(500, 375)
    assert decode_image(data, limits, side).tobytes() == decode_image(data, limits).tobytes()


# --- the budget ------------------------------------------------------------------------------------------------------


def test_a_picture_waits_for_room_and_then_the_service_is_busy(site: Site, client: TestClient) -> None:
    reader = site.services.image_reader
    body = {"images": [b64(png())], "labels": LABELS}
    with ThreadPoolExecutor(1) as pool:
        with reader.pixels.reserved(reader.pixels.units, later()):
            with pytest.raises(Busy, match="picture_memory_bytes"):
                reader.prepare(source(png()), later(0.01))
            waiting = pool.submit(client.post, "/classify", json=body)
            time.sleep(0.1)
            assert not waiting.done()
        assert waiting.result(60).status_code == 200
    assert whole(reader)


def test_without_places_for_prepared_pictures_it_is_busy_at_once(site: Site, client: TestClient) -> None:
    reader = site.services.image_reader
    body = {"images": [b64(png())], "labels": LABELS}
    with reader.slots(reader.prepared.units):
        refused = client.post("/classify", json=body)
        assert "queue_images" in problem(refused, 429, "busy")["detail"]
        assert int(refused.headers["retry-after"]) > 0
    ok(client.post("/classify", json=body))


def test_uploads_take_turns_too_and_leave_nothing_behind_when_there_is_no_room(site: Site, tmp_path: Any) -> None:
    site = site.with_settings(request_deadline_seconds=0.05)
    client = site.new_tenant()
    collection, _ = new_collection(client, {})
    reader = site.services.image_reader
    original, seen = reader.check, []

    def full_at_the_second(data: bytes) -> str:
        seen.append(data)
        if len(seen) % 2:
            return original(data)
        with reader.pixels.reserved(reader.pixels.units, later()):
            return original(data)

    reader.check = full_at_the_second  # type: ignore[method-assign]
    parts = [("files", ("a.png", png(1))), ("files", ("b.png", png(2)))]
    problem(client.post(f"/collections/{collection}/images", files=parts), 429, "busy")
    assert stored_files(site) == set()
    named = [("files", ("cat/a.png", png(1))), ("files", ("dog/b.png", png(2)))]
    problem(client.post("/datasets", data={"name": "x"}, files=named), 429, "busy")
    assert ok(client.get("/datasets"))["items"] == []
    assert whole(reader)


def test_the_budget_is_whole_after_a_thousand_good_and_bad_requests(site: Site, client: TestClient) -> None:
    settings = site.services.settings.model_copy(
        update={"picture_memory_bytes": 400_000, "request_deadline_seconds": 30}
    )
    reader = ImageReader(site.services.engine, settings)
    good = [png(seed, form=form) for seed, form in enumerate(("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"))]
    bad = [b"", b"text", good[0][:-200], good[1][:300], good[2][:-30], b"\x89PNG\r\n\x1a\n" + bytes(50)]
    deadlines = [later(600), later(600), 0.0]
    outcomes = []

    def request(number: int) -> None:
        data = (good + bad)[number % 12]
        sent = (
            source(data)
            if number % 5
            else sent_as_text("x", b64(data) + ("?" if number % 7 == 0 else ""), settings.limits)
        )
        try:
            with reader.slots(1 + number % 3):
                reader.prepare(sent, deadlines[number % 13 % 3])
                reader.check(data)
            outcomes.append("read")
        except SaftError as error:
            outcomes.append(error.error_code)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(request, range(1000)))
    assert {"read", "busy", "damaged_image", "not_base64", "empty_file"} <= set(outcomes)
    assert len(outcomes) == 1000
    assert whole(reader)


def test_a_bad_picture_fails_its_own_request_only(site: Site, client: TestClient) -> None:
    images = [png(seed) for seed in range(6)]
    alone = [ok(client.post("/classify", json={"images": [b64(image)], "labels": LABELS})) for image in images]

    def request(number: int) -> Any:
        sent = [images[number % 6]] if number % 3 else [images[0], b"text"]
        return client.post("/classify", json={"images": [b64(image) for image in sent], "labels": LABELS})

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(request, range(60)))
    for number, answer in enumerate(answers):
        if number % 3 == 0:
            assert problem(answer, 422, "not_an_image")["where"] == "images[1]"
        else:
            found = {p["label"]: p["probability"] for p in ok(answer)["results"][0]["predictions"]}
            known = {p["label"]: p["probability"] for p in alone[number % 6]["results"][0]["predictions"]}
            assert found == pytest.approx(known, abs=1e-5)
    at_rest(site.services.engine)
    assert whole(site.services.image_reader)


def test_a_collection_without_one_readable_file_is_searched(site: Site, client: TestClient) -> None:
    collection, _ = new_collection(client, {"a.png": png()})
    for sha256 in stored_files(site):
        site.services.blobs.delete(site.tenant_id(client), sha256)
    assert ok(client.post("/retrieve", json={"collection_id": collection, "text": "owl"}))["results"] == []
