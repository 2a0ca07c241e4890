"""`python -m tools.demo`: start `saft serve`, let two tenants do the main job over HTTP, print what they got.

--exit       stop after the table instead of serving on
--seeds N    fine-tune the first tenant's task with N seeds and print the spread
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

import saft_client
from saft_core.process import die_with_parent
from tools.demo.report import print_table
from tools.demo.tenant import Outcome, Tenant

SAMPLES = Path("samples/photos")
START_SECONDS = 120


@dataclass(frozen=True)
class Service:
    """A running `saft serve`."""

    url: str
    admin_key: str
    process: subprocess.Popen[bytes]


def main() -> None:
    """Run the demo with the command line's options."""
    options = _options()
    with running_service(Path(options.data_dir)) as service:
        outcomes = _run(service, options.seeds)
        print_table(outcomes)
        print(f"\nThe page: {service.url}  (opened on this computer, it is the first tenant's)")
        if not options.exit:
            print("Still serving; Ctrl-C stops.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                service.process.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo ARGS=...", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="stop after the table")
    parser.add_argument("--seeds", type=int, default=1, help="fine-tunes of the first tenant (default 1)")
    parser.add_argument("--data-dir", default="saft-data", help="folder of the service's data")
    return parser.parse_args()


def _run(service: Service, seeds: int) -> list[Outcome]:
    """Tenant one adapts to all classes; tenant two, who sees nothing of it, to every other class.

    The first is whom the page signs in on this computer, so that what it made can be looked at.
    """
    classes = sorted(folder.name for folder in (SAMPLES / "train").iterdir() if folder.is_dir())
    print("Uploading the sample photographs for two tenants.", flush=True)
    first = Tenant(saft_client.Client(service.url, own_key(service)), "aurora", SAMPLES, classes)
    second = Tenant(saft_client.Client(service.url, new_key(service, "borealis")), "borealis", SAMPLES, classes[::2])
    adapters = [first.fine_tune(seed) for seed in range(seeds)]
    others = [second.fine_tune(seed=0)]
    outcomes = [tenant.measure(adapter) for tenant, found in ((first, adapters), (second, others)) for adapter in found]
    second.check_cannot_see(adapters[0])
    return outcomes


def own_key(service: Service) -> str:
    """The key of whom the page signs in by itself; of a new tenant where it signs nobody in."""
    answer = httpx.post(f"{service.url}/page/session", json={}, headers={"Origin": service.url})
    if not answer.is_success:
        return new_key(service, "aurora")
    (key,) = answer.cookies.values()
    return key


def new_key(service: Service, name: str) -> str:
    """The key of a new tenant."""
    with saft_client.Client(service.url, service.admin_key) as admin:
        return admin.tenants.create(name).api_key


@contextlib.contextmanager
def running_service(data_dir: Path) -> Iterator[Service]:
    """`saft serve` on a free port, or on SAFT_PORT when that is set; stopped with Ctrl-C's signal at the end."""
    port = int(os.environ.get("SAFT_PORT", "0")) or _free_port()
    environment = os.environ | {"SAFT_PORT": str(port), "SAFT_DATA_DIR": str(data_dir)}
    process = subprocess.Popen(
        [sys.executable, "-m", "saft", "serve"],
        env=environment,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 (no threads here; a killed demo leaves no servers behind)
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process)
        key = os.environ.get("SAFT_ADMIN_KEY") or (data_dir / "admin-key").read_text().strip()
        yield Service(url, key, process)
    finally:
        process.terminate()
        process.wait()


def _free_port(preferred: int = 8000) -> int:
    """The usual port if nobody has it, else any."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no free port")


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"saft serve ended with status {process.returncode}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == httpx.codes.OK:
                return
        time.sleep(0.2)
    sys.exit(f"saft serve was not ready within {START_SECONDS} seconds")


main()
