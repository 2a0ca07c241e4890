"""Sixty-four clients at once, fifty adapters that are deleted and imported again under the same names."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from saft_core.clip.backbone import Base
from saft_core.data.images import decode_image
from saft_core.delta import encode
from saft_core.serving.adapters import read_adapter
from saft_core.serving.engine import Engine
from tests.fixtures.models import at_rest, random_delta
from tests.fixtures.rest import TEMPLATE, Site, header, ok, png

CLIENTS, ADAPTERS, REQUESTS = 64, 50, 960
IMAGES = [png(seed) for seed in range(4)]
LABELS = ["cat", "dog", "owl"]


def container(base: Base, seed: int) -> bytes:
    """Differences at random, as a file."""
    return encode(random_delta(base, seed), header(base))


class Versions:
    """Adapters `a0`, `a1`, ... of one tenant, each deleted and imported anew now and then."""

    def __init__(self, site: Site, client: TestClient) -> None:
        self._base, self._client = site.services.engine.base, client
        self.seeds: dict[str, int] = {}
        self.ids = [self._upload(place, place) for place in range(ADAPTERS)]

    def replace(self, place: int, seed: int) -> None:
        """Another under the same name; nothing happens where somebody else is just doing this."""
        made = container(self._base, seed)
        if self._client.delete(f"/adapters/{self.ids[place]}").status_code == 204:
            self.ids[place] = self._upload(place, seed, made)

    def _upload(self, place: int, seed: int, made: bytes | None = None) -> str:
        files = {"file": ("a.saft", made or container(self._base, seed))}
        adapter_id = str(ok(self._client.post("/adapters/import", data={"name": f"a{place}"}, files=files), 201)["id"])
        self.seeds[adapter_id] = seed
        return adapter_id

    def alone(self) -> Engine:
        """An engine that knows all of them, deleted ones too."""
        return Engine(
            self._base, lambda key: read_adapter(container(self._base, self.seeds[key]), None, max_bytes=1 << 20)
        )


def test_every_answer_is_that_of_the_adapter_it_names(site: Site, client: TestClient) -> None:
    before = site.services.engine.base.flat.sha256()
    versions = Versions(site, client)
    answers: list[tuple[int, Any]] = []

    def ask(number: int) -> None:
        place, image = number * 7 % ADAPTERS, number % len(IMAGES)
        if number % 8 == 0:
            versions.replace(place, ADAPTERS + number)
            return
        body = {"adapter": f"a{place}", "images": [base64.b64encode(IMAGES[image]).decode()], "labels": LABELS}
        answers.append((image, client.post("/classify", json=body)))

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, range(REQUESTS)))
    assert len(versions.seeds) > ADAPTERS + REQUESTS / 16
    answered = [(image, ok(answer)) for image, answer in answers if answer.status_code != 404]
    assert len(answered) > len(answers) / 2  # the rest met a name between its deletion and its import
    assert at_rest(site.services.engine).sha256() == before
    engine = versions.alone()
    pictures = [decode_image(image, site.services.data_limits) for image in IMAGES]
    for image, answer in answered:
        row = engine.classify(answer["adapter"], [pictures[image]], tuple(LABELS), TEMPLATE).probabilities[0]
        given = {p["label"]: p["probability"] for p in answer["results"][0]["predictions"]}
        np.testing.assert_allclose([given[label] for label in LABELS], row, atol=1e-4)
