"""Kill any process at any moment: acknowledged work survives, and a job runs to one result."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

import httpx

from tests.fixtures.service import Service, finished
from tests.flow.test_main_job import start_job, upload


def processes_of(service: Service, part: str) -> list[int]:
    """Process ids of the children of `saft serve` that run `part`, and of their children."""
    children = _children(service.pid)
    roots = [pid for pid in children if part in _command(pid)]
    return [pid for root in roots for pid in (root, *_children(root))]


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode()


def until_training(client: httpx.Client, job: dict[str, Any]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        state = client.get(f"/jobs/{job['id']}").json()
        if state["phase"] == "training" and state["step"] > 0:
            return
        assert state["status"] in ("queued", "running"), state
        time.sleep(0.05)
    raise TimeoutError(state)


def test_a_worker_killed_in_mid_training_leaves_exactly_one_adapter(own_service: Service) -> None:
    own_service.start()
    client = own_service.new_tenant()
    job = start_job(client, "survivor", epochs=60)
    until_training(client, job)
    killed = processes_of(own_service, "worker")
    assert len(killed) >= 2  # the worker and its training child
    os.kill(killed[0], signal.SIGKILL)
    ended = finished(client, job)
    assert ended["status"] == "succeeded", ended["error"]
    assert ended["attempt"] == 2
    adapters = client.get("/adapters").json()["items"]
    assert [adapter["id"] for adapter in adapters] == [ended["adapter_id"]]
    for pid in killed:
        assert not os.path.exists(f"/proc/{pid}") or "Z" in _state(pid)


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_a_restart_loses_nothing_and_goes_on_with_the_job(own_service: Service) -> None:
    own_service.start()
    client = own_service.new_tenant()
    done = finished(client, start_job(client, "before", epochs=1))
    job = start_job(client, "during", epochs=60)
    until_training(client, job)
    held = {path: client.get(path).json()["items"] for path in ("/datasets", "/adapters")}
    children = _children(own_service.pid)
    own_service.stop()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)  # Ctrl-C stops every child
    own_service.start()
    for path, items in held.items():
        assert client.get(path).json()["items"][-len(items) :] == items
    assert client.get(f"/jobs/{done['id']}").json() == done
    ended = finished(client, job)
    assert ended["status"] == "succeeded", ended["error"]
    assert {a["name"] for a in client.get("/adapters").json()["items"]} == {"before", "during"}


def test_a_killed_service_loses_nothing_it_acknowledged(own_service: Service) -> None:
    own_service.start()
    client = own_service.new_tenant()
    dataset = upload(client, "train")
    job = start_job(client, "during", epochs=60)
    until_training(client, job)
    own_service.stop(signal.SIGKILL)
    own_service.start()
    assert client.get(f"/datasets/{dataset['id']}").json() == dataset
    assert finished(client, job)["status"] == "succeeded"
    assert len(client.get("/adapters").json()["items"]) == 1
