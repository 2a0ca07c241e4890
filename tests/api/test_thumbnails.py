"""Thumbnails: of every format, upright and small, and at nobody else's cost."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pillow_heif
import pytest
from fastapi.testclient import TestClient
from PIL import Image, JpegImagePlugin

from saft_core.store.local_blobs import LocalBlobStore
from tests.fixtures.rest import Site, new_collection, new_dataset, ok, png, problem, stored_files
from tests.fixtures.server import Server
from tests.saft_core.data.uploads import encoded

pillow_heif.register_heif_opener()  # of the tests alone: they write such files
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF")
WIDTH, HEIGHT = 600, 400


def halves(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), (200, 0, 0))
    image.paste((0, 0, 200), (width // 2, 0, width, height))
    return image


def opened(answer: Any) -> Image.Image:
    """The WebP of an answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    image = Image.open(io.BytesIO(answer.content))
    assert image.format == "WEBP"
    return image.convert("RGB")


def near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.asarray(image)[place[1], place[0]].astype(int) - colour).max() < 30)


def sent(client: TestClient, data: bytes, name: str = "a.heic", **params: Any) -> Any:
    return client.post("/thumbnails", files={"file": (name, data)}, params=params)


# --- what they show --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_that_uploads_take_has_thumbnails(client: TestClient, form: str) -> None:
    data = encoded(halves(), form)
    collection, images = new_collection(client, {"a.bin": data})
    kept = opened(client.get(f"/collections/{collection}/images/{images['a.bin']}/thumbnail"))
    assert kept.size == (192, 128)
    assert near(kept, (40, 64), (200, 0, 0))
    assert near(kept, (150, 64), (0, 0, 200))
    assert opened(sent(client, data)).tobytes() == kept.tobytes()


def test_a_dataset_has_them_by_position(client: TestClient) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    files = [
        ("files", (f"{'ab'[number // 2]}/{number}.png", encoded(Image.new("RGB", (80, 80), colour))))
        for number, colour in enumerate(colours)
    ]
    dataset = ok(client.post("/datasets", data={"name": "x"}, files=files), 201)["id"]
    for position, colour in enumerate(colours):
        small = opened(client.get(f"/datasets/{dataset}/images/{position}/thumbnail", params={"size": 32}))
        assert small.size == (32, 32)
        assert near(small, (16, 16), colour)


@pytest.mark.parametrize(("size", "shape"), [(32, (32, 21)), (192, (192, 128)), (512, (512, 341))])
def test_the_longer_side_is_as_long_as_asked_for(client: TestClient, size: int, shape: tuple[int, int]) -> None:
    assert opened(sent(client, encoded(halves(), "PNG"), size=size)).size == shape


def test_a_small_picture_is_not_enlarged(client: TestClient) -> None:
    assert opened(sent(client, encoded(halves(60, 40), "PNG"))).size == (60, 40)


@pytest.mark.parametrize("size", ["31", "513", "x", "-1", ""])
def test_other_sizes_are_refused(client: TestClient, size: str) -> None:
    dataset = new_dataset(client)["id"]
    for answer in (
        client.get(f"/datasets/{dataset}/images/0/thumbnail", params={"size": size}),
        sent(client, png(), size=size),
    ):
        assert "size" in problem(answer, 422, "invalid_request")["detail"]


def test_they_are_upright_and_say_nothing_of_the_camera(client: TestClient) -> None:
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn to the right
    exif[271] = "the maker of the camera"
    answer = sent(client, encoded(halves(), "JPEG", exif=exif))
    image = opened(answer)
    assert image.size == (128, 192)
    assert near(image, (64, 40), (200, 0, 0))
    assert near(image, (64, 150), (0, 0, 200))
    assert b"the maker" not in answer.content


def test_a_large_jpeg_is_decoded_small(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    load = JpegImagePlugin.JpegImageFile.load

    def watched(image: JpegImagePlugin.JpegImageFile) -> Any:
        decoded.append(image.size)
        return load(image)

    data = encoded(halves(4000, 3000), "JPEG")
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", watched)
    assert opened(sent(client, data)).size == (192, 144)
    assert set(decoded) == {(1000, 750)}


# --- what a browser keeps --------------------------------------------------------------------------------------------


def both(client: TestClient) -> list[str]:
    """A stored picture of each kind."""
    collection, images = new_collection(client, {"a.png": png(5)})
    return [
        f"/datasets/{new_dataset(client)['id']}/images/0/thumbnail",
        f"/collections/{collection}/images/{images['a.png']}/thumbnail",
    ]


def test_who_has_it_is_told_so_without_a_look_at_the_file(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in both(client):
        first = client.get(path)
        assert first.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert first.headers["x-content-type-options"] == "nosniff"
        tag = first.headers["etag"]
        assert tag.startswith('"')
        assert client.get(path, params={"size": 64}).headers["etag"] != tag
        opened(client.get(path, headers={"If-None-Match": '"other"'}))

        def touched(*_: Any) -> Any:
            raise AssertionError("the file was looked at")

        with monkeypatch.context() as patch:
            for name in ("get", "size"):
                patch.setattr(LocalBlobStore, name, touched)
            again = client.get(path, headers={"If-None-Match": f'W/"x", {tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert (again.headers["etag"], again.headers["cache-control"]) == (tag, first.headers["cache-control"])


def test_the_same_picture_has_the_same_tag_wherever_it_is(client: TestClient) -> None:
    tags = set()
    for _ in range(2):
        collection, images = new_collection(client, {"a.png": png(5)})
        path = f"/collections/{collection}/images/{images['a.png']}/thumbnail"
        tags.add(client.get(path).headers["etag"])
    assert len(tags) == 1


def test_a_picture_whose_file_is_gone_has_none(site: Site, client: TestClient) -> None:
    path = both(client)[1]
    for sha256 in stored_files(site):
        site.services.blobs.delete(site.tenant_id(client), sha256)
    problem(client.get(path), 404, "not_found")


# --- pictures that are sent ------------------------------------------------------------------------------------------


def test_a_picture_that_is_sent_is_kept_nowhere(site: Site, client: TestClient) -> None:
    answer = sent(client, encoded(halves(), "HEIF"))
    opened(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert stored_files(site) == set()
    usage = ok(client.get("/usage"))["usage"]
    assert (usage["images"], usage["storage_bytes"]) == (0, 0)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"no picture", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (png()[:200], "damaged_image"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_name(client: TestClient, data: bytes, code: str) -> None:
    found = problem(sent(client, data, "holiday.heic"), 422, code)
    assert found["detail"].startswith("holiday.heic: ")
    assert found["where"] == "holiday.heic"


def test_a_picture_above_the_limits_is_refused_by_its_name(site: Site) -> None:
    client = site.with_limits(max_image_pixels=1000, max_image_bytes=3000).new_tenant()
    problem(sent(client, encoded(halves(), "PNG")), 422, "too_many_pixels")
    problem(sent(client, png(size=100)), 422, "image_too_large")


def test_one_picture_is_sent_at_a_time(client: TestClient) -> None:
    files = [("file", ("a.png", png(1))), ("file", ("b.png", png(2)))]
    for wrong in (files, {"files": ("a.png", png())}):
        assert "file: " in problem(client.post("/thumbnails", files=wrong), 422, "invalid_input")["detail"]
    problem(client.post("/thumbnails", json={}), 415, "unsupported_media_type")


# --- at nobody's cost ------------------------------------------------------------------------------------------------


def asks(server: Server, site: Site) -> Callable[..., httpx.Response]:
    """What a new tenant asks by."""
    key = site.new_tenant().headers["authorization"]

    def ask(method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, server.url + path, headers={"Authorization": key}, timeout=60, **options)

    return ask


def test_a_page_full_of_thumbnails_takes_no_turn_from_inference(site: Site) -> None:
    """All turns of thumbnails are held, and a hundred and sixty wait, six at a time: another tenant is answered."""
    gate, reader = site.services.thumbnail_gate, site.services.image_reader
    with Server(site.app) as server, ThreadPoolExecutor(6) as browser:
        noisy, quiet = asks(server, site), asks(server, site)
        held = [gate.turns.enqueue("somebody") for _ in range(gate.turns._count)]
        files = {"file": ("a.png", png())}
        page = [browser.submit(noisy, "POST", "/thumbnails", files=files) for _ in range(160)]
        while gate.turns.waiting < 6:
            threading.Event().wait(0.005)
        form = {"labels": ["cat", "dog"]}
        for _ in range(3):
            assert quiet("POST", "/classify", data=form, files={"files": ("a.png", png())}).status_code == 200
        assert not any(one.done() for one in page)
        assert 'saft_requests{state="thumbnails"} 6.0' in quiet("GET", "/metrics").text
        for wait in held:
            gate.turns.leave(wait)
        assert {one.result(60).status_code for one in page} == {200}
        server.until_idle()
    assert (gate.turns.held, gate.turns.waiting, gate.slots.taken) == (0, 0, 0)
    assert all(budget.free == budget.units for budget in (reader.files, reader.pixels))


def test_there_are_fewer_at_once_than_the_setting_says(site: Site) -> None:
    site = site.with_settings(thumbnail_threads=2, thumbnail_requests=8)
    gate = site.services.thumbnail_gate
    assert gate.turns._count == 2
    with Server(site.app) as server, ThreadPoolExecutor(8) as pool:
        noisy, quiet = asks(server, site), asks(server, site)
        held = [gate.turns.enqueue("somebody") for _ in range(2)]
        files = {"file": ("a.png", png())}
        flood = [pool.submit(noisy, "POST", "/thumbnails", files=files) for _ in range(8)]
        while sum(one.done() for one in flood) < 4:
            threading.Event().wait(0.005)
        waiting = pool.submit(quiet, "POST", "/thumbnails", files=files)
        while gate.turns.waiting < 5:
            threading.Event().wait(0.005)
        for wait in held:
            gate.turns.leave(wait)
        answers = [one.result(60) for one in flood]
        assert waiting.result(60).status_code == 200
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 4
    assert "thumbnail_requests" in refused[0].json()["detail"]
