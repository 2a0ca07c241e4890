from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from saft_core.store.database import create_sessions
from tests.fixtures.rest import Site, new_dataset, ok, png, problem


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


def test_health_and_readiness_take_no_key(site: Site) -> None:
    nobody = site.client(None)
    assert ok(nobody.get("/healthz")) == {"status": "ok"}
    assert ok(nobody.get("/readyz")) == {"status": "ok", "base": site.services.engine.base.name}


def test_a_part_that_is_away_is_named(site: Site) -> None:
    def refuse() -> None:
        raise ConnectionError("connection refused")

    object.__setattr__(site.services, "ping_broker", refuse)
    assert problem(site.client(None).get("/readyz"), 503, "unavailable")["part"] == "broker"
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
    assert found["saft_engine", (("counter", "delta_loads"),)] == 1
    assert found["saft_engine", (("counter", "delta_hits"),)] >= 1
    assert found["saft_http_request_seconds_count", (("method", "POST"), ("route", "/classify"))] == 2


def test_metrics_are_told_without_the_database(site: Site) -> None:
    object.__setattr__(site.services, "sessions", create_sessions("postgresql://127.0.0.1:1/none?connect_timeout=2"))
    found = metrics(site)
    assert ("saft_engine", (("counter", "delta_loads"),)) in found
    assert not any(name == "saft_jobs" for name, _ in found)


def test_two_apps_count_for_themselves(site: Site) -> None:
    other = site.with_limits()
    other.client(None).get("/healthz")
    assert ("GET", "/healthz", "200") in requests(metrics(other))
    assert ("GET", "/healthz", "200") not in requests(metrics(site))
