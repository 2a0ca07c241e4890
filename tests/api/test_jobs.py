from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from saft_core.store import leases
from tests.fixtures.rest import Site, new_dataset, ok, problem
from tests.fixtures.server import Server


def queued(client: TestClient, name: str = "icons") -> dict[str, Any]:
    return ok(client.post("/adapters", json={"name": name, "dataset_id": new_dataset(client)["id"]}), 202)


def report(site: Site, job_id: str, **progress: Any) -> None:
    with site.services.sessions.begin() as session:
        assert leases.renew(session, job_id, "worker", 60, **progress).held


def claim(site: Site, job_id: str) -> None:
    with site.services.sessions.begin() as session:
        assert leases.claim(session, job_id, "worker", 60, 3) is not None


def test_a_job_shows_how_it_goes(site: Site, client: TestClient) -> None:
    job = queued(client)
    claim(site, job["id"])
    report(
        site, job["id"], phase="training", progress=0.5, step=2, steps=4, loss=1.5, losses=[(2, 1.5)], eta_seconds=3.0
    )
    shown = ok(client.get(f"/jobs/{job['id']}"))
    assert (shown["status"], shown["phase"], shown["progress"]) == ("running", "training", 0.5)
    assert (shown["step"], shown["steps"], shown["loss"], shown["losses"]) == (2, 4, 1.5, [[2, 1.5]])
    assert (shown["eta_seconds"], shown["attempt"], shown["error"]) == (3.0, 1, None)
    assert (shown["elapsed_seconds"], shown["queue_position"]) == (None, None)
    report(site, job["id"], seconds={"preparation": 1.0, "training": 2.5})
    assert ok(client.get(f"/jobs/{job['id']}"))["elapsed_seconds"] == 3.5
    adapter = ok(client.get(f"/adapters/{site.work(queued(client, 'second')['id'])}"))
    done = ok(client.get(f"/jobs/{adapter['job_id']}"))
    assert (done["status"], done["progress"], done["adapter_id"]) == ("succeeded", 1.0, adapter["id"])
    assert done["metrics"] == adapter["metrics"]


def test_a_running_job_tells_what_the_base_knows(site: Site, client: TestClient) -> None:
    job = queued(client)
    claim(site, job["id"])
    assert ok(client.get(f"/jobs/{job['id']}"))["metrics"] is None
    known = {"zero_shot_accuracy": 0.75, "zero_shot_right": 6, "test_images": 8, "base_fit": "good"}
    report(site, job["id"], phase="training", metrics=known | {"zero_shot_per_class": []})
    shown = ok(client.get(f"/jobs/{job['id']}"))
    assert (shown["status"], shown["metrics"]) == ("running", known | {"zero_shot_per_class": []})
    assert ok(client.get("/jobs"))["items"][0]["metrics"] == known


def test_a_waiting_job_has_a_place_among_all_tenants_and_tells_nothing_else_of_them(
    site: Site, client: TestClient
) -> None:
    other = site.new_tenant()
    first, second = queued(client, "first"), queued(client, "second")
    between = queued(other, "between")
    assert [job["queue_position"] for job in (first, second, between)] == [1, 2, 2]

    def places() -> list[int | None]:
        asked = ((client, first), (client, second), (other, between))
        return [ok(http.get(f"/jobs/{job['id']}"))["queue_position"] for http, job in asked]

    assert places() == [1, 3, 2]
    claim(site, first["id"])
    assert places() == [None, 2, 1]
    assert ok(other.post(f"/jobs/{between['id']}/cancel"), 202)["queue_position"] is None
    assert places() == [None, 1, None]


def test_jobs_are_listed_newest_first(client: TestClient) -> None:
    made = [queued(client, name)["id"] for name in ("a", "b", "c")]
    page = ok(client.get("/jobs", params={"limit": 2}))
    assert [job["id"] for job in page["items"]] == made[:0:-1]
    rest = ok(client.get("/jobs", params={"cursor": page["next_cursor"]}))
    assert [job["id"] for job in rest["items"]] == made[:1]


def test_a_waiting_job_is_cancelled_and_stays_so(client: TestClient) -> None:
    job = queued(client)
    for _ in range(2):
        assert ok(client.post(f"/jobs/{job['id']}/cancel"), 202)["status"] == "cancelled"


def test_a_running_job_is_asked_to_stop(site: Site, client: TestClient) -> None:
    job = queued(client)
    claim(site, job["id"])
    shown = ok(client.post(f"/jobs/{job['id']}/cancel"), 202)
    assert (shown["status"], shown["cancel_requested"]) == ("running", True)


def test_an_ended_job_cannot_be_cancelled(site: Site, client: TestClient) -> None:
    job = queued(client)
    site.work(job["id"])
    problem(client.post(f"/jobs/{job['id']}/cancel"), 409, "job_finished")


# --- events ----------------------------------------------------------------------------------------------------------


def events(lines: Any) -> Any:
    """The jobs in a stream of events."""
    name = None
    for line in lines:
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        if line.startswith("data:"):
            assert name == "job"
            yield json.loads(line.removeprefix("data:"))


def test_the_events_of_an_ended_job_are_its_state_and_the_end(site: Site, client: TestClient) -> None:
    job = queued(client)
    site.work(job["id"])
    with client.stream("GET", f"/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert list(events(stream.iter_lines())) == [ok(client.get(f"/jobs/{job['id']}"))]


@pytest.mark.parametrize("act", ["revoke the key", "delete the tenant"])
def test_the_events_end_when_their_key_opens_nothing_any_more(
    site: Site, client: TestClient, server: Server, act: str
) -> None:
    job, tenant_id = queued(client), site.tenant_id(client)
    with watcher(server, client) as http, http.stream("GET", f"/jobs/{job['id']}/events") as stream:
        told = events(stream.iter_lines())
        assert next(told)["status"] == "queued"
        if act == "revoke the key":
            (key,) = ok(site.admin.get(f"/tenants/{tenant_id}/keys"))["items"]
            assert site.admin.delete(f"/tenants/{tenant_id}/keys/{key['id']}").status_code == 204
        else:
            ok(site.admin.delete(f"/tenants/{tenant_id}"), 202)
        assert [job["status"] for job in told] in ([], ["cancelled"])


def test_a_job_that_is_not_there_has_no_events(client: TestClient) -> None:
    problem(client.get("/jobs/job_unknown/events"), 404, "not_found")


@pytest.fixture
def server(site: Site) -> Any:
    with Server(site.app) as running:
        yield running


def watcher(server: Server, client: TestClient) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"Authorization": client.headers["authorization"]}, timeout=30)


def test_the_events_follow_a_job_to_its_end(site: Site, client: TestClient, server: Server) -> None:
    job = queued(client)
    with watcher(server, client) as http, http.stream("GET", f"/jobs/{job['id']}/events") as stream:
        seen = events(stream.iter_lines())
        assert next(seen) == ok(client.get(f"/jobs/{job['id']}"))
        claim(site, job["id"])
        assert next(seen)["status"] == "running"
        report(site, job["id"], phase="training", progress=0.5)
        assert (shown := next(seen))["phase"] == "training"
        assert shown["progress"] == 0.5
        ok(client.post(f"/jobs/{job['id']}/cancel"), 202)
        assert next(seen)["cancel_requested"] is True
        with site.services.sessions.begin() as session:
            leases.cancel(session, job["id"], "worker")
        assert next(seen)["status"] == "cancelled"
        assert list(seen) == []


def test_a_watcher_that_went_away_is_no_longer_served(site: Site, client: TestClient, server: Server) -> None:
    job, looks = queued(client), []
    engine = site.services.sessions.kw["bind"]

    def note(*_: object) -> None:
        looks.append(1)

    with watcher(server, client) as http, http.stream("GET", f"/jobs/{job['id']}/events") as stream:
        next(events(stream.iter_lines()))
    server.until_idle()
    event.listen(engine, "before_cursor_execute", note)
    try:
        assert server.request_count_after(seconds=1.2) == 0
        assert looks == []
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_watchers_hold_no_connection(site: Site, client: TestClient, server: Server) -> None:
    job = queued(client)
    with ExitStack() as stack:
        http = stack.enter_context(watcher(server, client))
        for _ in range(5):
            stream = stack.enter_context(http.stream("GET", f"/jobs/{job['id']}/events"))
            next(events(stream.iter_lines()))
        pool = site.services.sessions.kw["bind"].pool
        assert min(pool.checkedout() for _ in range(50)) == 0


def test_a_server_that_stops_ends_its_streams(site: Site, client: TestClient) -> None:
    job = queued(client)
    path = f"/jobs/{job['id']}/events"
    with Server(site.app) as server, watcher(server, client) as http, http.stream("GET", path) as stream:
        seen = events(stream.iter_lines())
        next(seen)
        server.ask_to_stop()
        assert list(seen) == []
