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
        print(f"\nThe page: {service.url}  (admin key: {service.admin_key})")
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
    """Tenant one adapts to all classes; tenant two, who sees nothing of it, to every other class."""
    classes = sorted(folder.name for folder in (SAMPLES / "train").iterdir() if folder.is_dir())
    first = Tenant.create(service.url, service.admin_key, "aurora", SAMPLES, classes)
    second = Tenant.create(service.url, service.admin_key, "borealis", SAMPLES, classes[::2])
    adapters = [first.fine_tune(seed) for seed in range(seeds)]
    others = [second.fine_tune(seed=0)]
    outcomes = [tenant.measure(adapter) for tenant, found in ((first, adapters), (second, others)) for adapter in found]
    second.check_cannot_see(adapters[0])
    return outcomes


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
