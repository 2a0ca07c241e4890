"""Two API processes on one database and broker: what one is told, the other knows.

SAFT_REPUBLISHES=1000 pytest -n 0 -s -o timeout=0 tests/flow/test_replicas.py    (prints how long it took)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from saft_core.clip.loading import load_base
from saft_core.delta import SparseDelta, encode
from tests.fixtures.rest import header
from tests.fixtures.samples import CLASSES, of_class
from tests.fixtures.service import NO_TLS, Service

REPUBLISHES = int(os.environ.get("SAFT_REPUBLISHES", "50"))
CLIENTS = 16
PICTURE = of_class("test", CLASSES[0])[0].read_bytes()


@pytest.fixture(scope="module")
def second(service: Service) -> Iterator[str]:
    """Where another API process of the same service listens."""
    with service.another_api() as url:
        yield url


def at(url: str, client: httpx.Client) -> httpx.Client:
    """The same tenant at another process."""
    return httpx.Client(base_url=url, headers=client.headers, timeout=120, verify=NO_TLS)


def add_versions(client: httpx.Client) -> list[str]:
    """The ids of two versions of "birds" that answer differently."""
    base, ids = load_base(""), []
    indices = np.arange(0, base.parameter_count, 1000)
    for value in (0.01, -0.01):
        delta = SparseDelta(indices, np.full(len(indices), value, dtype=np.float32))
        container = encode(delta, header(base, classes=("bird", "cat", "fish")))
        answer = client.post("/adapters/import", files={"file": ("a.saft", container)}, data={"name": "birds"})
        assert answer.status_code == 201, answer.text
        ids.append(str(answer.json()["id"]))
    return ids


def ask(client: httpx.Client, adapter: str) -> tuple[str, dict[str, float]]:
    """Which version answers, and what. Fails unless it is an answer."""
    answer = client.post("/classify", files={"files": PICTURE}, data={"adapter": adapter})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return str(said["adapter"]), {one["label"]: one["probability"] for one in said["results"][0]["predictions"]}


def until_answered(client: httpx.Client, version: str) -> int:
    """Ask by name until this version answers: how often another one did."""
    stale = 0
    while ask(client, "birds")[0] != version:
        stale += 1
        assert stale < 100, "the version does not answer"
    return stale


def test_republishing_fails_no_request_mixes_no_answer_and_is_seen_at_once(service: Service, second: str) -> None:
    first = service.new_tenant()
    clients = [first, at(second, first)]
    versions = add_versions(first)
    expected = {version: ask(first, version)[1] for version in versions}
    assert expected[versions[0]] != pytest.approx(expected[versions[1]], abs=0.01)
    for version in versions:
        assert ask(clients[1], version)[1] == pytest.approx(expected[version], abs=1e-4)
    done, answers = threading.Event(), []

    def keep_asking(number: int) -> None:
        while not done.is_set():
            answers.append(ask(clients[number % 2], "birds"))

    seen, waits, stale = [], [], 0
    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(keep_asking, number) for number in range(CLIENTS)]
        try:
            for turn in range(REPUBLISHES):
                assert first.post(f"/adapters/{versions[turn % 2]}/publish").status_code == 200
                published = time.monotonic()
                assert clients[1].get("/adapters/birds").json()["id"] == versions[turn % 2]
                seen.append(time.monotonic() - published)
                stale += until_answered(clients[1], versions[turn % 2])
                waits.append(time.monotonic() - published)
        finally:
            done.set()
    for future in asking:
        future.result()  # raises what a request that failed raised
    assert stale == 0  # each request that is sent after the answer to a publish, to whichever process
    assert {version for version, _ in answers} == set(versions)
    for version, said in answers:
        assert said == pytest.approx(expected[version], abs=1e-4)
    print(  # noqa: T201
        f"\n{len(waits)} publishes, {len(answers)} answers under them, each of one version. The other process: "
        + ", ".join(
            f"{what} after {np.median(seconds):.2f} s (median), {max(seconds):.2f} s (longest)"
            for what, seconds in (("says so", seen), ("has answered a picture", waits))
        )
    )


def test_a_revoked_key_opens_nothing_at_the_other_process_either(service: Service, second: str) -> None:
    tenant = service.new_tenant()
    made = tenant.post("/keys", json={"name": "lost"}).raise_for_status().json()
    lost = at(second, tenant)
    lost.headers["authorization"] = f"Bearer {made['api_key']}"
    assert lost.get("/keys").status_code == 200  # it is remembered now
    assert tenant.delete(f"/keys/{made['id']}").status_code == 204
    revoked = asked = last = time.monotonic()
    while lost.get("/keys").status_code == 200:
        last, asked = asked, time.monotonic()
        assert last < revoked + 10, "the key still opens the other process"
    assert lost.get("/keys").status_code == 401
    print(f"\na revoked key opened the other process for {last - revoked:.2f} s")  # noqa: T201
