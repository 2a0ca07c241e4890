"""Kill any process at any moment: acknowledged work survives, and a job runs to one result."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.fixtures.browser import TRAINING_MS, needs_chromium, signed_in
from tests.fixtures.page import key_of
from tests.fixtures.samples import CLASSES, of_class
from tests.fixtures.service import ONE_THREAD, Service, finished
from tests.flow.test_main_job import classify, start_job

BACK_SECONDS = 180
"""After which what was killed is not coming back."""
RECOVERED_MS = 10_000
"""Within which a page left open knows that the service is back."""
POLL_SECONDS = 0.2
EPOCHS = 60
"""Of a training that is interrupted."""
A_CLASS = 2
"""Pictures that it learns from: its steps are short, and a test waits for its end."""


def processes_of(service: Service, part: str) -> list[int]:
    """Process ids of the child of `saft serve` whose command names `part`, and of its children."""
    roots = [process for process in psutil.Process(service.pid).children() if part in _command(process)]
    return [process.pid for root in roots for process in (root, *_children(root))]


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(process.children())
    return []


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def start_training(client: httpx.Client, name: str) -> dict[str, Any]:
    """A job that trains for a while."""
    return start_job(client, name, A_CLASS, epochs=EPOCHS, encoders="both", evaluate="none")


def until_training(client: httpx.Client, jobs: list[dict[str, Any]], after: int = 0) -> int:
    """Wait until the last of the jobs is trained, by a later attempt than `after`; the attempt's number.

    If it has ended another one takes its place: training goes on for as long as a test needs it, on any machine.
    """
    deadline = time.monotonic() + 2 * BACK_SECONDS
    while time.monotonic() < deadline:
        answer = client.get(f"/jobs/{jobs[-1]['id']}")
        state = answer.json()
        if answer.is_success:  # the database may be away for a moment
            if state["phase"] == "training" and state["step"] > 0 and state["attempt"] > after:
                return int(state["attempt"])
            if state["status"] == "succeeded":
                jobs.append(start_training(client, f"survivor {len(jobs)}"))
                after = 0
            else:
                assert state["status"] in ("queued", "running"), state
        time.sleep(POLL_SECONDS)
    raise TimeoutError(state)


@pytest.fixture(scope="module")
def hardy_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A product that notices quickly what is dead or hangs; a job may lose more workers than usual.

    One for all tests here, each with a tenant of its own: they strike it and leave it running.
    """
    folder = tmp_path_factory.mktemp("hardy")
    (folder / "tmp").mkdir()
    mine = Service(
        folder / "data",
        **ONE_THREAD,
        TMPDIR=str(folder / "tmp"),
        SAFT_JOB_LEASE_SECONDS="3",
        SAFT_SWEEP_INTERVAL_SECONDS="0.5",
        SAFT_CHECKPOINT_INTERVAL_SECONDS="1",
        SAFT_JOB_ATTEMPTS="9",
        SAFT_HEALTH_CHECK_SECONDS="2",
    )
    mine.start()
    yield mine
    mine.stop(signal.SIGTERM)


def test_every_part_that_is_killed_or_hangs_comes_back_and_nothing_is_lost(hardy_service: Service) -> None:
    client = hardy_service.new_tenant()
    collection = client.post("/collections", json={"name": "pictures"}).json()["id"]
    paths = of_class("test", CLASSES[0])[:3]
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    assert client.post(f"/collections/{collection}/images", files=files).status_code == 201
    jobs = [start_training(client, "survivor")]
    acknowledged = ("/datasets", f"/collections/{collection}/images")
    held = {path: client.get(path).json()["items"] for path in acknowledged}

    until_training(client, jobs)
    back_after(hardy_service, signal.SIGKILL, "bin/postgres")
    back_after(hardy_service, signal.SIGKILL, "valkey-server")
    for depth in (1, 0):  # the training child, then the worker itself
        attempt = until_training(client, jobs)
        back_after(hardy_service, signal.SIGKILL, "saft worker", depth=depth)
        until_training(client, jobs, after=attempt)
    attempt = until_training(client, jobs)
    (broker,) = processes_of(hardy_service, "valkey-server")
    os.kill(broker, signal.SIGKILL)
    jobs.insert(0, start_job(client, "answered while the broker is away", A_CLASS, epochs=1))
    back_after(hardy_service, signal.SIGSTOP, "bin/postgres", "valkey-server", "saft worker")
    until_training(client, jobs, after=attempt)  # so that the API starts beside a training
    back_after(hardy_service, signal.SIGKILL, "saft api")
    assert len(classify(client, "base", paths, labels=CLASSES)) == len(paths)

    all_succeed(client, jobs)
    nothing_is_lost(client, held)
    for image, path in zip(reversed(held[acknowledged[1]]), paths, strict=True):
        assert client.get(f"{acknowledged[1]}/{image['id']}").content == path.read_bytes()


@needs_chromium
def test_a_page_left_open_goes_on_by_itself(hardy_service: Service, context: BrowserContext) -> None:
    client = hardy_service.new_tenant()
    visit = signed_in(context, hardy_service, key=key_of(client))
    jobs = [start_training(client, "watched")]
    visit.reload()
    bar = visit.page.get_by_role("progressbar", name="Teaching watched")
    expect(bar).to_be_visible()
    visit.page.get_by_label("Name of class 1").fill("typed meanwhile")
    for part in ("saft api", "bin/postgres"):
        until_training(client, jobs)
        back_after(hardy_service, signal.SIGKILL, part)
        expect(visit.page.locator(".banner")).to_be_hidden(timeout=RECOVERED_MS)
        assert visit.api("GET", "/usage")["name"] == "tests"
        expect(visit.page.get_by_label("Name of class 1")).to_have_value("typed meanwhile")
    finished(client, jobs[-1])
    expect(visit.page.locator(".taught")).to_be_visible(timeout=TRAINING_MS)
    visit.open("Try")
    visit.sees("Show it a picture")
    assert visit.errors == []


def all_succeed(client: httpx.Client, jobs: list[dict[str, Any]]) -> None:
    """Wait for the ends of the jobs, which must be all that the tenant has; each has one adapter."""
    for job in jobs:
        ended = finished(client, job)
        assert ended["status"] == "succeeded", ended["error"]
    adapters = client.get("/adapters").json()["items"]
    assert sorted(adapter["job_id"] for adapter in adapters) == sorted(job["id"] for job in jobs)


def nothing_is_lost(client: httpx.Client, held: dict[str, list[dict[str, Any]]]) -> None:
    """What was in these lists still is, as it was; there may be newer things before it."""
    for path, items in held.items():
        assert client.get(path).json()["items"][-len(items) :] == items


def back_after(service: Service, how: signal.Signals, *parts: str, depth: int = 0) -> None:
    """Send a signal to the `depth`-th process of each part, and wait until others do its work and all answers.

    How soon that is depends on what else the machine runs: 11 s for the API, and 38 s beside another test process.
    """
    deadline = time.monotonic() + BACK_SECONDS
    while not (_in_place(service, parts, depth) and _is_ready(service)):
        assert time.monotonic() < deadline, f"{parts} are not there"
        time.sleep(POLL_SECONDS)
    struck = [processes_of(service, part)[depth] for part in parts]
    for pid in struck:
        os.kill(pid, how)
    while any(_is_running(pid) for pid in struck) or not (_in_place(service, parts, depth) and _is_ready(service)):
        assert time.monotonic() < deadline, f"{parts} did not come back"
        time.sleep(POLL_SECONDS)


def _in_place(service: Service, parts: tuple[str, ...], depth: int) -> bool:
    return all(len(processes_of(service, part)) > depth for part in parts)


def _is_ready(service: Service) -> bool:
    try:
        answer = httpx.get(f"{service.url}/readyz", timeout=10)
        return answer.is_success and bool(answer.json()["broker"] == "ok")
    except httpx.TransportError:
        return False


def _is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def test_a_service_that_is_stopped_or_killed_leaves_nothing_behind_and_loses_nothing(hardy_service: Service) -> None:
    client = hardy_service.new_tenant()
    done = finished(client, start_job(client, "before", A_CLASS, epochs=1))
    jobs = [done, start_training(client, "during")]
    held = {path: client.get(path).json()["items"] for path in ("/datasets", "/adapters")}
    until_training(client, jobs)

    family = psutil.Process(hardy_service.pid).children(recursive=True)
    hardy_service.stop()
    assert not any(process.is_running() for process in family)  # Ctrl-C stops every child
    hardy_service.start()
    nothing_is_lost(client, held)
    assert client.get(f"/jobs/{done['id']}").json() == done
    until_training(client, jobs)

    family = psutil.Process(hardy_service.pid).children(recursive=True)
    hardy_service.stop(signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    assert not list((hardy_service.data_dir.parent / "tmp").glob("saft-*"))  # nothing outside of its data folder
    hardy_service.start()
    nothing_is_lost(client, held)
    all_succeed(client, jobs)
