from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.concurrency.gate import Gate
from api.metrics import Metrics
from saft_core.errors import Unavailable
from saft_core.serving.adapters import StoredAdapter, read_adapter
from saft_core.serving.engine import Engine, EngineLimits
from saft_core.store import deltas
from saft_core.store.models import Adapter
from tests.fixtures.models import make_base
from tests.fixtures.rest import Site, new_collection, ok, png, problem


def probabilities(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(found["label"], found["probability"]) for found in answer["results"][0]["predictions"]]


def classify(client: TestClient, adapter: str, **fields: Any) -> dict[str, Any]:
    data = {"adapter": adapter, "labels": ["cat", "dog"]} | fields
    return ok(client.post("/classify", data=data, files={"files": png(1)}))


def replica(site: Site, limits: EngineLimits | None = None, **settings: Any) -> Site:
    """Another API process on the same database, with memory of its own."""
    services = site.services

    def load(adapter_id: str) -> StoredAdapter:
        return read_adapter(*deltas.load(services.sessions, adapter_id), max_bytes=1 << 30)

    changed = services.settings.model_copy(update=settings)
    engine = Engine(make_base("vit"), load, limits)
    return Site(replace(services, engine=engine, settings=changed, metrics=Metrics()))


def test_strength_0_is_the_base_1_the_adapter_and_between_is_neither(site: Site, client: TestClient) -> None:
    site.new_adapter(client, values=0.02)
    base, adapter = classify(client, "base"), classify(client, "icons")
    assert probabilities(classify(client, "icons", strength="0")) == probabilities(base)
    assert probabilities(classify(client, "icons", strength="1")) == probabilities(adapter)
    between = probabilities(classify(client, "icons", strength="0.5"))
    assert between not in (probabilities(base), probabilities(adapter))


def test_left_out_it_is_the_adapters_own(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client, values=0.02)
    collection, _ = new_collection(client)
    with site.services.sessions.begin() as session:
        session.execute(update(Adapter).where(Adapter.id == adapter["id"]).values(strength=0.5))
    assert ok(client.get("/adapters/icons"))["strength"] == 0.5
    half = probabilities(classify(client, "icons", strength="0.5"))
    assert probabilities(classify(client, "icons")) == half != probabilities(classify(client, "icons", strength="1"))
    json = {"adapter": "icons", "labels": ["cat", "dog"], "images": [base64.b64encode(png(1)).decode()]}
    assert probabilities(ok(client.post("/classify", json=json))) == half

    def scores(**body: float) -> list[float]:
        asked = {"collection_id": collection, "text": "a cat", "adapter": "icons"} | body
        return [match["score"] for match in ok(client.post("/retrieve", json=asked))["results"]]

    assert scores() == scores(strength=0.5) != scores(strength=1)


@pytest.mark.parametrize("value", ["-0.1", "1.5", "nan", "much"])
def test_a_strength_out_of_range_is_an_error_that_names_it(client: TestClient, value: str) -> None:
    answer = client.post("/classify", data={"labels": "a", "strength": value}, files={"files": png()})
    assert "strength" in problem(answer, 422, "invalid_input")["detail"]


def test_a_strength_out_of_range_in_json_is_an_error_that_names_it(client: TestClient) -> None:
    for path, body in (("/classify", {"images": ["x"]}), ("/retrieve", {"collection_id": "c", "text": "t"})):
        answer = client.post(path, json=body | {"strength": 2})
        assert "strength" in problem(answer, 422, "invalid_request")["detail"]


def test_retrieval_at_a_strength_has_its_own_bounded_embeddings(site: Site, client: TestClient) -> None:
    site.new_adapter(client, values=0.02)
    collection, _ = new_collection(client)
    body = {"collection_id": collection, "text": "a cat"}

    def scores(adapter: str, strength: float) -> list[float]:
        found = ok(client.post("/retrieve", json=body | {"adapter": adapter, "strength": strength}))
        return [match["score"] for match in found["results"]]

    assert scores("icons", 0) == scores("base", 1)
    seen = {strength: scores("icons", strength) for strength in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1)}
    assert len({tuple(found) for found in seen.values()}) == len(seen)
    assert scores("icons", 0.1) == pytest.approx(seen[0.1], abs=1e-5)  # dropped in the meantime, and made again


def test_the_adapters_own_strength_keeps_its_embeddings_whatever_others_are_asked_for(
    site: Site, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = site.new_adapter(client, values=0.02)
    collection, _ = new_collection(client)
    with site.services.sessions.begin() as session:
        session.execute(update(Adapter).where(Adapter.id == adapter["id"]).values(strength=0.75))
    asked: dict[str, Any] = {"collection_id": collection, "text": "a cat", "adapter": "icons"}
    for strength in (None, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        ok(client.post("/retrieve", json=asked | ({} if strength is None else {"strength": strength})))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr(site.services.engine, "embed_images", refuse)
    ok(client.post("/retrieve", json=asked))


def test_a_deletion_and_a_new_version_show_on_every_replica_at_once(site: Site, client: TestClient) -> None:
    other = replica(site)
    site.new_adapter(client, values=0.02)
    elsewhere = TestClient(other.app, headers=dict(client.headers), raise_server_exceptions=False)
    first = classify(client, "icons")
    assert dict(probabilities(classify(elsewhere, "icons"))) == pytest.approx(dict(probabilities(first)), abs=1e-5)
    assert client.delete("/adapters/icons").status_code == 204
    asked = {"adapter": first["adapter"], "labels": ["cat", "dog"]}
    for name in ("icons", first["adapter"]):
        problem(elsewhere.post("/classify", data=asked | {"adapter": name}, files={"files": png(1)}), 404, "not_found")
    site.new_adapter(client, values=-0.05)
    second = classify(elsewhere, "icons")
    assert second["adapter"] != first["adapter"]
    here = dict(probabilities(classify(client, "icons")))
    assert dict(probabilities(second)) == pytest.approx(here, abs=1e-5) != dict(probabilities(first))


def test_too_late_is_504_and_too_much_is_429_with_a_time_to_come_back(site: Site, client: TestClient) -> None:
    headers = dict(client.headers)
    late = TestClient(replica(site, request_deadline_seconds=1e-9).app, headers=headers)
    answer = late.post("/classify", data={"labels": "a"}, files={"files": png()})
    problem(answer, 504, "deadline_passed")
    full = replica(site)
    entered, gate = threading.Event(), threading.Event()

    def held(*_: Any) -> Any:
        entered.set()
        gate.wait(30)
        raise Unavailable

    full.services.engine.passes.batcher._run = held
    full.services.__dict__["gate"] = Gate("inference_requests", 1, turns=1)
    busy = TestClient(full.app, headers=headers)
    with busy, ThreadPoolExecutor(1) as pool:
        first = pool.submit(busy.post, "/classify", data={"labels": "a"}, files={"files": png()})
        assert entered.wait(30)
        refused = busy.post("/classify", data={"labels": "a"}, files={"files": png()})
        gate.set()
        problem(refused, 429, "busy")
        assert int(refused.headers["retry-after"]) > 0
        problem(first.result(30), 503, "unavailable")
