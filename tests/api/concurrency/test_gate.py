"""One tenant floods, another is quiet: through a real server, by counting passes and refusals."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import numpy as np
import pytest

from api.metrics import Metrics
from saft_core.delta import SparseDelta
from saft_core.serving.adapters import StoredAdapter
from saft_core.serving.batcher import BatchLimits, Work
from saft_core.serving.costs import Costs
from saft_core.serving.encoder import IMAGE, TEXT
from saft_core.serving.engine import Engine, EngineLimits
from saft_core.serving.forward import KINDS
from tests.fixtures.models import make_base
from tests.fixtures.rest import Site, png
from tests.fixtures.server import Server

FLOOD, ROWS = 64, 3
THREE_ROWS_ARE_SHORT = Costs(forward=((1, 1.0), (ROWS, 1.4), (32, 200.0)))
IMAGES = [base64.b64encode(png(seed)).decode() for seed in range(4)]
LABELS = ["cat", "dog", "owl"]
Ask = Callable[..., httpx.Response]


@dataclass
class Neighbours:
    """Two tenants of one server. `passes` lists the kind and the rows by share of each pass; `gate` holds them."""

    site: Site
    server: Server
    passes: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        batcher = self.site.services.engine.passes.batcher
        run = batcher._run

        def watched(batch: list[Work[Any, Any]]) -> list[Any]:
            self.entered.release()
            assert self.gate.wait(60)
            rows: dict[str, int] = {}
            for work in batch:
                rows[work.share] = rows.get(work.share, 0) + work.rows
            self.passes.append((batch[0].kind, rows))
            return run(batch)

        batcher._run = watched

    def tenant(self) -> tuple[str, Ask]:
        """A new one's id, and what it asks by."""
        client = self.site.new_tenant()
        headers = {"Authorization": client.headers["authorization"]}

        def ask(path: str = "/classify", **body: Any) -> httpx.Response:
            asked = body or {"images": IMAGES[:1], "labels": LABELS}
            return httpx.post(f"{self.server.url}{path}", headers=headers, json=asked, timeout=60)

        return self.site.tenant_id(client), ask

    def image_passes(self) -> list[dict[str, int]]:
        return [rows for kind, rows in self.passes if kind == IMAGE]

    def until(self, waiting: int) -> None:
        """Wait until so many rows stand in the engine's queue."""
        while self.site.services.engine.passes.batcher.waiting_rows < waiting:
            threading.Event().wait(0.005)


@contextlib.contextmanager
def neighbours(site: Site, **settings: Any) -> Iterator[Neighbours]:
    limits = EngineLimits(threads=1, batch=BatchLimits(queue_rows=settings.get("queue_images", 1024)))
    nothing = StoredAdapter(SparseDelta(np.zeros(0, np.int64), np.zeros(0, np.float32)))
    engine = Engine(make_base("vit"), lambda _: nothing, limits)
    engine.passes.forward.costs = dict.fromkeys(KINDS, THREE_ROWS_ARE_SHORT)
    changed = site.services.settings.model_copy(update=settings)
    served = Site(replace(site.services, engine=engine, settings=changed, metrics=Metrics()))
    with Server(served.app) as server:
        made = Neighbours(served, server)
        try:
            yield made
        finally:
            made.gate.set()


def warmed(two: Neighbours, *asks: Ask) -> dict[str, float]:
    """The class prompts of LABELS are in memory, and the server knows whoever asks; gives the answer."""
    two.gate.set()
    answers = [ask() for ask in asks]
    assert {answer.status_code for answer in answers} == {200}
    two.gate.clear()
    two.passes.clear()
    return told(answers[0])


def told(answer: httpx.Response) -> dict[str, float]:
    """The probabilities by label of one picture."""
    (result,) = answer.json()["results"]
    return {found["label"]: found["probability"] for found in result["predictions"]}


def test_a_quiet_tenant_waits_for_the_pass_under_way_and_its_own(site: Site) -> None:
    with neighbours(site) as two, ThreadPoolExecutor(FLOOD + 1) as pool:
        noisy_id, noisy = two.tenant()
        quiet_id, quiet = two.tenant()
        alone = warmed(two, noisy, quiet)
        flood = [pool.submit(noisy) for _ in range(FLOOD)]
        two.until(FLOOD - 32)
        answer = pool.submit(quiet)
        held = two.site.services.engine.passes.batcher
        while not held._queue.line(quiet_id):
            threading.Event().wait(0.005)
        two.gate.set()
        assert told(answer.result(60)) == pytest.approx(alone, abs=1e-5)
        assert {one.result(60).status_code for one in flood} == {200}
        passes = two.image_passes()
    own = next(number for number, rows in enumerate(passes) if quiet_id in rows)
    assert own == 1
    assert all(sum(rows.values()) <= ROWS for rows in passes[1:])
    assert sum(rows.get(noisy_id, 0) for rows in passes) == FLOOD


def test_many_tenants_that_ask_for_little_share_a_pass(site: Site) -> None:
    count = 4 * ROWS
    with neighbours(site) as many, ThreadPoolExecutor(count + 1) as pool:
        tenants = [many.tenant() for _ in range(count)]
        warmed(many, *(ask for _, ask in tenants))
        while many.entered.acquire(blocking=False):
            pass
        first = pool.submit(tenants[0][1])
        assert many.entered.acquire(timeout=60)
        answers = [pool.submit(ask) for _, ask in tenants]
        many.until(count)
        many.gate.set()
        assert {answer.result(60).status_code for answer in (first, *answers)} == {200}
        passes = many.image_passes()
    assert passes[1] == {tenant_id: 1 for tenant_id, _ in tenants}


def test_a_flood_is_refused_beyond_its_share_and_nobody_else(site: Site) -> None:
    with neighbours(site, inference_requests=16) as two, ThreadPoolExecutor(FLOOD + 1) as pool:
        (_, noisy), (_, quiet) = two.tenant(), two.tenant()
        warmed(two, noisy, quiet)
        flood = [pool.submit(noisy) for _ in range(FLOOD)]
        refused = FLOOD - 8
        while sum(one.done() for one in flood) < refused:
            threading.Event().wait(0.005)
        answer = pool.submit(quiet)
        two.gate.set()
        assert answer.result(60).status_code == 200
        answers = [one.result(60) for one in flood]
    busy = [one for one in answers if one.status_code == 429]
    assert len(busy) == refused
    assert {one.status_code for one in answers} == {200, 429}
    for one in busy:
        assert one.json()["code"] == "busy"
        assert "inference_requests" in one.json()["detail"]
        assert int(one.headers["retry-after"]) > 0


def test_prompts_by_the_hundred_do_not_hold_up_another_tenant(site: Site) -> None:
    with neighbours(site) as two, ThreadPoolExecutor(2) as pool:
        noisy_id, noisy = two.tenant()
        quiet_id, quiet = two.tenant()
        warmed(two, quiet)
        many = [f"label {number}" for number in range(600)]
        heavy = pool.submit(noisy, images=IMAGES[:1], labels=many)
        two.until(64)
        light = pool.submit(quiet, images=IMAGES[:1], labels=["ant", "bee"])
        while not two.site.services.engine.passes.batcher._queue.line(quiet_id):
            threading.Event().wait(0.005)
        two.gate.set()
        assert light.result(60).status_code == 200
        assert heavy.result(60).status_code == 200
        passes = two.passes
    first = next(number for number, (_, rows) in enumerate(passes) if quiet_id in rows)
    assert first == 1
    texts = [rows for kind, rows in passes if kind == TEXT]
    assert sum(rows.get(noisy_id, 0) for rows in texts) >= 600
    assert sum(rows.get(quiet_id, 0) for rows in texts) >= 2


def test_who_goes_away_while_waiting_leaves_the_line(site: Site) -> None:
    with neighbours(site) as two:
        gate = two.site.services.gate
        held = [gate.turns.enqueue("somebody") for _ in range(gate.turns._count)]
        key = two.site.new_tenant().headers["authorization"]
        body = json.dumps({"images": IMAGES[:1], "labels": LABELS})
        host = two.server.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("POST", "/classify", body, {"Authorization": key, "Content-Type": "application/json"})
        while not gate.turns.waiting:
            threading.Event().wait(0.005)
        assert gate.slots.taken == 1
        assert isinstance(connection.sock, socket.socket)
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        two.server.until_idle()
        assert (gate.turns.waiting, gate.slots.taken) == (0, 0)
        for wait in held:
            gate.turns.leave(wait)
        assert gate.turns.held == 0


def test_every_request_of_many_tenants_is_answered_right(site: Site) -> None:
    with neighbours(site) as two, ThreadPoolExecutor(32) as pool:
        asks = [two.tenant()[1] for _ in range(4)]
        two.gate.set()
        alone = [told(asks[0](images=[image], labels=LABELS)) for image in IMAGES]

        def ask(number: int) -> tuple[int, httpx.Response]:
            image = number % len(IMAGES)
            return image, asks[number % len(asks)](images=[IMAGES[image]], labels=LABELS)

        answers = list(pool.map(ask, range(400)))
        gate = two.site.services.gate
        two.server.until_idle()
        assert (gate.turns.held, gate.turns.waiting, gate.slots.taken) == (0, 0, 0)
    assert {answer.status_code for _, answer in answers} == {200}
    for image, answer in answers:
        assert told(answer) == pytest.approx(alone[image], abs=1e-5)


def test_a_request_of_many_pictures_lets_others_come_between_them(site: Site) -> None:
    with neighbours(site) as two, ThreadPoolExecutor(2) as pool:
        (_, noisy), (quiet_id, quiet) = two.tenant(), two.tenant()
        warmed(two, noisy, quiet)
        many: Future[httpx.Response] = pool.submit(noisy, images=IMAGES * 16, labels=LABELS)
        two.until(60)
        answer = pool.submit(quiet)
        while not two.site.services.engine.passes.batcher._queue.line(quiet_id):
            threading.Event().wait(0.005)
        two.gate.set()
        assert answer.result(60).status_code == 200
        assert len(many.result(60).json()["results"]) == 64
        passes = two.image_passes()
    assert quiet_id in passes[1]
    assert all(sum(rows.values()) <= ROWS for rows in passes[1:])


def test_what_waits_is_told_without_naming_anybody(site: Site) -> None:
    with neighbours(site) as two:
        wait = two.site.services.gate.turns.enqueue("somebody")
        page = httpx.get(f"{two.server.url}/metrics").text
        two.site.services.gate.turns.leave(wait)
    assert 'saft_requests{state="inference_computing"} 1.0' in page
    assert 'saft_requests{state="inference_waiting"} 0.0' in page
    assert "somebody" not in page
