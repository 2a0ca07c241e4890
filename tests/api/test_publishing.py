"""Versions are published and rolled back while everybody asks."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from tests.fixtures.models import make_base
from tests.fixtures.rest import Site, make_site, ok, png

REPUBLISHES = 50
"""A thousand take minutes; they were run too."""
CLIENTS = 16


def ask(client: TestClient, adapter: str) -> tuple[str, dict[str, float]]:
    """Which version answers, and what."""
    body = {"adapter": adapter, "images": [base64.b64encode(png()).decode()]}
    answer = ok(client.post("/classify", json=body))
    return str(answer["adapter"]), {one["label"]: one["probability"] for one in answer["results"][0]["predictions"]}


def test_republishing_fails_no_request_and_mixes_no_answer(
    site: Site, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    """Sixteen clients ask two APIs, each with an engine of its own, while the name goes to and fro between versions."""
    second = make_site(sessions, make_base("vit"), tmp_path / "second")
    key = str(ok(site.admin.post("/tenants", json={"name": "tenant"}), 201)["api_key"])
    client, elsewhere = site.client(key), second.client(key)
    versions = [site.new_adapter(client, values=value)["id"] for value in (0.5, -0.5)]
    expected = {version: ask(client, version)[1] for version in versions}
    assert expected[versions[0]] != pytest.approx(expected[versions[1]], abs=0.01)
    done, answers = threading.Event(), []

    def keep_asking(number: int) -> None:
        asker = (site if number % 2 else second).client(key)
        while not done.is_set():
            answers.append(ask(asker, "icons"))

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(keep_asking, number) for number in range(CLIENTS)]
        try:
            for turn in range(REPUBLISHES):
                ok(client.post(f"/adapters/{versions[turn % 2]}/publish"))
                assert ok(elsewhere.get("/adapters/icons"))["id"] == versions[turn % 2]
        finally:
            done.set()
    for future in asking:
        future.result()  # raises what a request that failed raised
    assert {version for version, _ in answers} == set(versions)
    for version, said in answers:
        assert said == pytest.approx(expected[version], abs=1e-4)
