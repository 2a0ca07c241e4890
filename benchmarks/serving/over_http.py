"""bench=http: `/classify` of a real `saft api` process against its engine called directly, and the bare forward.

via=http     `saft api` in a process of its own; callers keep their connection and send a JPEG of 320 x 240 as base64
via=engine   the product's engine in this process, called with pictures already decoded
via=forward  the base's forward on one image, prepared beforehand, in a process of its own: what nothing can beat
via=open_clip  the same by open_clip's own `encode_image`, which computes the last block for every token

The same requests, for TENANTS adapters in turn, by the one and by the other, round after round. The callers take their
share of the machine's cores in both cases.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Row, machine
from benchmarks.models import TEMPLATE, labels, make_base
from benchmarks.serving.deltas import CLASSES
from benchmarks.serving.load import Window, closed_loop, figures
from benchmarks.serving.pictures import jpeg, picture
from benchmarks.serving.registry import Registry, registry
from saft.wiring import create_services
from saft_core.clip.backbone import Base
from saft_core.process import die_with_parent, freeze_objects
from saft_core.serving.engine import Engine
from saft_core.settings import Settings

TENANTS = 8
PICTURES = 16
LONE_REQUESTS = 10
START_SECONDS = 180
BARE = ("forward", "open_clip")
Ask = Callable[[int], object]


def rows(task: Row) -> list[Row]:
    """The rows of one model on one device; `task` has model, device, concurrency (a list), rounds and repeats."""
    machine_in_words = machine(task["device"])
    torch.set_num_threads(1)  # as create_server does: the engine's thread has its own
    with registry(task["model"], task["device"], TENANTS) as filled:
        engine = create_services(filled.settings).engine
        engine.warm_up()
        engine.calibrate().result()
        freeze_objects()  # as the server's process does, too
        with api(filled.settings) as port, _bare(task["model"], task["device"]) as bare:
            ways = {"http": _over_http(port, filled), "engine": _directly(engine, filled)} | bare
            found = _windows(ways, task)
        engine.close()
    common = {name: task[name] for name in ("model", "device")} | {"bench": "http", "machine": machine_in_words}
    return [
        common
        | {"mode": "base" if via in BARE else "mixed", "via": via, "concurrency": concurrency}
        | ({} if via in BARE else {"adapters": TENANTS})
        | figures(windows)
        for (via, concurrency), windows in found.items()
    ]


def _windows(ways: dict[str, Ask], task: Row) -> dict[tuple[str, int], list[Window]]:
    """Round after round, each way at each concurrency; every caller asks `rounds` times.

    A lone one asks ten times that, ten requests one way and then ten the next: a shared machine's pace changes within
    seconds, and a difference of milliseconds needs both ways at one pace.
    """
    for via, way in ways.items():
        closed_loop(way, range(2 * TENANTS), 1 if via in BARE else TENANTS)
    found: dict[tuple[str, int], list[Window]] = {}
    rounds = task["rounds"]
    turns = [
        (concurrency, requests)
        for concurrency in task["concurrency"]
        for requests in ([LONE_REQUESTS] * rounds if concurrency == 1 else [concurrency * rounds])
    ]
    for concurrency, requests in turns * task["repeats"]:
        for via, way in ways.items():
            if via not in BARE or concurrency == 1:
                found.setdefault((via, concurrency), []).append(closed_loop(way, range(requests), concurrency))
    return found


def _directly(engine: Engine, filled: Registry) -> Ask:
    pictures = [picture(seed) for seed in range(PICTURES)]
    classes = labels(CLASSES)

    def ask(number: int) -> object:
        adapter_id = filled.adapter_ids[number % TENANTS]
        return engine.classify(adapter_id, [pictures[number % PICTURES]], classes, TEMPLATE).probabilities

    return ask


@contextmanager
def _bare(model: str, device: str) -> Iterator[dict[str, Ask]]:
    """The forward in a process with nothing else in it: torch's threads of one engine slow down those of another."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, _prepare, (model, device)) as process:

        def asking(via: str) -> Ask:
            return lambda _: process.submit(_forward, via).result()

        yield {via: asking(via) for via in BARE}


_prepared: list[tuple[Base, torch.Tensor]] = []


def _prepare(model: str, device: str) -> None:
    base = make_base(model, device)
    _prepared.append((base, base.pixels([picture(0)])))


@torch.inference_mode()
def _forward(via: str) -> None:
    base, pixels = _prepared[0]
    model: Any = base.model
    (base.encode_pixels(pixels) if via == "forward" else model.encode_image(pixels, normalize=True)).cpu()


def _over_http(port: int, filled: Registry) -> Ask:
    images = [base64.b64encode(jpeg(picture(seed))).decode() for seed in range(PICTURES)]
    headers = {"Authorization": f"Bearer {filled.key}", "Content-Type": "application/json"}
    kept = threading.local()

    def ask(number: int) -> object:
        if not hasattr(kept, "connection"):
            kept.connection = http.client.HTTPConnection("127.0.0.1", port)
        body = {"adapter": filled.adapter_ids[number % TENANTS], "images": [images[number % PICTURES]]}
        kept.connection.request("POST", "/classify", json.dumps(body), headers)
        answer = kept.connection.getresponse()
        content = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"/classify answered {answer.status}: {content[:200]!r}")
        return content

    return ask


@contextmanager
def api(settings: Settings, checkout: str = ".") -> Iterator[int]:
    """`saft api` of a checkout as it is started, ready; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAFT_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "saft", "api"],
        env=clean | {
            "SAFT_PORT": str(port), "SAFT_DATA_DIR": str(settings.data_dir), "SAFT_BASE": settings.base,
            "SAFT_DEVICE": settings.device, "DATABASE_URL": settings.database_url or "",
            "REDIS_URL": settings.redis_url or "", "PYTHONPATH": str(Path(checkout).resolve()),
        },
        cwd=checkout,
        stdout=sys.stderr,
        preexec_fn=die_with_parent,  # noqa: PLW1509 (a benchmark that is killed must not leave a server behind)
    )  # fmt: skip
    try:
        _until_ready(process, port)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"saft api ended with {process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        connection.close()
        time.sleep(0.2)
    raise TimeoutError(f"saft api was not ready within {START_SECONDS} s")
