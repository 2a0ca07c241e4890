from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api.routes import datasets
from saft_core.store.database import create_sessions
from tests.fixtures.rest import Site, new_dataset, ok, png, problem
from tests.fixtures.server import Server


def metrics(site: Site) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    answer = site.client(None).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def requests(found: dict[Any, float]) -> dict[tuple[str, str, str], float]:
    """Requests by method, route and status."""
    return {
        (labels["method"], labels["route"], labels["status"]): value
        for (name, pairs), value in found.items()
        for labels in [dict(pairs)]
        if name == "saft_http_requests_total"
    }


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_health_and_readiness_take_no_key(site: Site) -> None:
    nobody = site.client(None)
    assert ok(nobody.get("/healthz")) == {"status": "ok"}
    assert ok(nobody.get("/readyz")) == {"status": "ok", "base": site.services.engine.base.name, "broker": "ok"}


def test_answers_need_no_broker(site: Site) -> None:
    def refuse() -> None:
        raise ConnectionError("connection refused")

    object.__setattr__(site.services, "ping_broker", refuse)
    assert ok(site.client(None).get("/readyz"))["broker"] == "away"


def test_a_broker_that_hangs_does_not_hang_readiness(site: Site) -> None:
    released = threading.Event()
    object.__setattr__(site.services, "ping_broker", lambda: released.wait(60))
    try:
        assert ok(site.client(None).get("/readyz"))["broker"] == "away"
        assert not released.is_set()
    finally:
        released.set()


def test_a_disk_without_room_is_red_and_takes_no_uploads(site: Site) -> None:
    full = site.with_settings(min_free_disk_bytes=1 << 60)
    found = problem(full.client(None).get("/readyz"), 507, "disk_full")
    assert found["part"] == "disk"
    assert "min_free_disk_bytes" in found["detail"]
    client = full.new_tenant()
    problem(client.post("/datasets", data={"name": "x"}, files={"archive": b"x"}), 507, "disk_full")
    ok(client.get("/datasets"))


def test_many_uploads_at_once_starve_nobody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither health nor an answer waits for uploads that are being checked, forty of them and more."""
    released, count = threading.Event(), 50
    monkeypatch.setattr(datasets, "_create", lambda *_: (released.wait(60), JSONResponse({}, 201))[1])
    key = site.new_tenant().headers["authorization"]
    with Server(site.app) as server, ThreadPoolExecutor(count) as pool:
        client = httpx.Client(base_url=server.url, headers={"Authorization": key}, timeout=60, limits=httpx.Limits())
        files = {"archive": ("a.zip", b"x")}
        uploads = [pool.submit(client.post, "/datasets", data={"name": "x"}, files=files) for _ in range(count)]
        try:
            until(lambda: site.services.uploads.taken == count)
            assert ok(client.get("/healthz")) == {"status": "ok"}
            ok(client.get("/readyz"))
            ok(client.get("/datasets"))
            assert not any(upload.done() for upload in uploads)
        finally:
            released.set()
        assert {upload.result().status_code for upload in uploads} == {201}


def test_an_upload_beyond_the_limit_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site = site.with_settings(upload_requests=1)
    released = threading.Event()
    monkeypatch.setattr(datasets, "_create", lambda *_: (released.wait(60), JSONResponse({}, 201))[1])
    key = site.new_tenant().headers["authorization"]
    with Server(site.app) as server, ThreadPoolExecutor(1) as pool:
        client = httpx.Client(base_url=server.url, headers={"Authorization": key}, timeout=60)
        files = {"archive": ("a.zip", b"x")}
        first = pool.submit(client.post, "/datasets", data={"name": "x"}, files=files)
        try:
            until(lambda: site.services.uploads.taken == 1)
            found = problem(client.post("/datasets", data={"name": "x"}, files=files), 429, "busy")
            assert "upload_requests" in found["detail"]
        finally:
            released.set()
        assert first.result().status_code == 201


def test_a_part_that_is_away_is_named(site: Site) -> None:
    object.__setattr__(site.services, "sessions", create_sessions("postgresql://127.0.0.1:1/none?connect_timeout=2"))
    assert problem(site.client(None).get("/readyz"), 503, "unavailable")["part"] == "database"
    assert ok(site.client(None).get("/healthz")) == {"status": "ok"}


def test_requests_are_counted_by_route_not_by_path(site: Site, client: TestClient) -> None:
    dataset = new_dataset(client)["id"]
    for thing in (dataset, dataset, "unknown"):
        client.get(f"/datasets/{thing}")
    client.get("/nothing/here")
    client.put("/datasets")
    counted = requests(metrics(site))
    assert counted["GET", "/datasets/{dataset_id}", "200"] == 2
    assert counted["GET", "/datasets/{dataset_id}", "404"] == 1
    assert counted["POST", "/datasets", "201"] == 1
    assert counted["GET", "other", "404"] == 1
    assert not any(dataset in route or "nothing" in route for _, route, _ in counted)


def test_refused_bodies_and_bugs_are_counted_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    small = site.with_limits(max_upload_bytes=100)
    client = small.new_tenant()
    problem(client.post("/datasets", content=b"x" * 101), 413, "too_large")

    def crash(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("saft_core.store.scope.Scope.page", crash)
    problem(client.get("/datasets"), 500, "internal")
    counted = requests(metrics(small))
    assert sum(value for (_, _, status), value in counted.items() if status == "413") == 1
    assert counted["GET", "/datasets", "500"] == 1


def test_times_images_caches_and_jobs_are_told(site: Site, client: TestClient) -> None:
    site.new_adapter(client)
    ok(client.post("/adapters", json={"name": "second", "dataset_id": new_dataset(client)["id"]}), 202)
    files = [("files", (f"{n}.png", png(n))) for n in range(3)]
    for _ in range(2):
        ok(client.post("/classify", files=files, data={"adapter": "icons"}))
    found = metrics(site)
    assert found["saft_images_classified_total", ()] == 6
    assert found["saft_jobs", (("status", "queued"),)] == 1
    assert found["saft_jobs", (("status", "succeeded"),)] == 1
    assert found["saft_engine_events_total", (("event", "delta_loads"),)] == 1
    assert found["saft_engine_events_total", (("event", "delta_hits"),)] >= 1
    assert found["saft_engine_state", (("quantity", "delta_bytes"),)] > 0
    assert found["saft_http_request_seconds_count", (("method", "POST"), ("route", "/classify"))] == 2


def test_what_only_grows_is_a_counter_and_the_rest_a_gauge(site: Site) -> None:
    told = site.client(None).get("/metrics").text
    kinds = {family.name: family for family in text_string_to_metric_families(told)}
    events, state = kinds["saft_engine_events"], kinds["saft_engine_state"]
    assert (events.type, state.type, kinds["saft_jobs"].type) == ("counter", "gauge", "gauge")
    assert {sample.name for sample in events.samples} == {"saft_engine_events_total"}
    quantities = {sample.labels["quantity"] for sample in state.samples}
    assert quantities == {"delta_bytes", "class_weights_bytes", "compiled_bytes", "waiting_rows"}
    everything = {sample.labels["event"] for sample in events.samples} | quantities
    assert everything == set(site.services.engine.counters())


def test_metrics_are_told_without_the_database(site: Site) -> None:
    object.__setattr__(site.services, "sessions", create_sessions("postgresql://127.0.0.1:1/none?connect_timeout=2"))
    found = metrics(site)
    assert ("saft_engine_events_total", (("event", "delta_loads"),)) in found
    assert not any(name == "saft_jobs" for name, _ in found)


def test_two_apps_count_for_themselves(site: Site) -> None:
    other = site.with_limits()
    other.client(None).get("/healthz")
    assert ("GET", "/healthz", "200") in requests(metrics(other))
    assert ("GET", "/healthz", "200") not in requests(metrics(site))
