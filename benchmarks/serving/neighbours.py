"""bench=neighbours: how long a quiet tenant waits beside a noisy one, over HTTP.

mode=alone   the quiet tenant asks for one picture after the other, with pauses, and nobody else asks for anything
mode=noisy   another tenant has NOISY requests under way all the time, and the quiet one is away
mode=beside  both

p50_ms and p95_ms are the quiet tenant's, images_per_second the noisy one's, ratio the p95 beside over the p95 alone.
The server is `saft api` in a process of its own, and so are the callers of each tenant, on the same machine: the noisy
one's at the lowest priority. Windows of the three modes follow each other, round after round, and with them those of
other checkouts of this repository:

    python -m benchmarks.serving.neighbours --seconds 5 --rounds 2 --checkouts . ../before
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.measure import Row, machine, table
from benchmarks.models import EMBEDDED
from benchmarks.serving.callers import Load, Outcome, ended, start
from benchmarks.serving.over_http import api
from benchmarks.serving.pictures import jpeg, picture
from benchmarks.serving.registry import Registry, neighbour_of, registry
from saft_core.serving.shares import LATELY_SECONDS

NOISY, ADAPTERS, PICTURES = 64, 8, 16
QUIET_PAUSE_SECONDS = 0.05
LOWEST_PRIORITY = 19
WARM_UP_SECONDS = 2.0
COLUMNS = ("checkout", "mode", "p50_ms", "p95_ms", "ratio", "images_per_second", "statuses", "repeats")


@dataclass
class Server:
    """A server under load, and what came of it: for each mode the outcomes of the quiet and the noisy tenant."""

    quiet: Load
    noisy: Load
    outcomes: dict[str, list[dict[str, Outcome]]] = field(default_factory=dict)

    def round(self, seconds: float) -> None:
        """One window of each mode."""
        quiet, noisy = replace(self.quiet, seconds=seconds), replace(self.noisy, seconds=seconds)
        modes: dict[str, dict[str, Load]] = {
            "alone": {"quiet": quiet},
            "noisy": {"noisy": noisy},
            "beside": {"quiet": quiet, "noisy": noisy},
        }
        for mode, loads in modes.items():
            if mode == "noisy":
                time.sleep(LATELY_SECONDS + 0.5)  # until then the quiet tenant is expected to come again
            under_way = {name: start(load) for name, load in loads.items()}
            outcome = {name: ended(process) for name, process in under_way.items()}
            self.outcomes.setdefault(mode, []).append(outcome)


def rows(task: Row) -> list[Row]:
    """The rows of one model; `task` has model, device, the seconds of a window, rounds and perhaps checkouts."""
    checkouts: Sequence[str] = task.get("checkouts") or ["."]
    common = {name: task[name] for name in ("model", "device")} | {"bench": "neighbours", "concurrency": NOISY}
    with registry(task["model"], task["device"], ADAPTERS) as filled, ExitStack() as stack:
        neighbour = neighbour_of(filled, ADAPTERS)
        ports = [stack.enter_context(api(filled.settings, checkout)) for checkout in checkouts]
        servers = [Server(_load(port, filled), _noisy(_load(port, neighbour))) for port in ports]
        for server in servers:
            server.round(WARM_UP_SECONDS)
            server.outcomes.clear()
        for _ in range(task["rounds"]):
            for server in servers:
                server.round(task["seconds"])
    machine_in_words = machine(task["device"])
    return [
        common | {"checkout": checkout, "machine": machine_in_words} | row
        for checkout, server in zip(checkouts, servers, strict=True)
        for row in _rows(server)
    ]


def _load(port: int, tenant: Registry) -> Load:
    """The quiet tenant's."""
    images = [base64.b64encode(jpeg(picture(seed))).decode() for seed in range(PICTURES)]
    asked = [{"adapter": tenant.adapter_ids[n % ADAPTERS], "images": [image]} for n, image in enumerate(images)]
    bodies = [json.dumps(body) for body in asked]
    return Load(port, "/classify", tenant.key, bodies, seconds=0, pause_seconds=QUIET_PAUSE_SECONDS)


def _noisy(load: Load) -> Load:
    return replace(load, concurrency=NOISY, pause_seconds=0, nice=LOWEST_PRIORITY)


def _rows(server: Server) -> Iterator[Row]:
    alone = _percentiles([one["quiet"] for one in server.outcomes["alone"]])
    for mode, outcomes in server.outcomes.items():
        row: Row = {"mode": mode}
        if mode != "noisy":
            row |= _percentiles([one["quiet"] for one in outcomes])
            row["ratio"] = round(row["p95_ms"] / alone["p95_ms"], 2)
        if mode != "alone":
            rates = [len(one["noisy"].latencies) / one["noisy"].seconds for one in outcomes]
            row |= {"images_per_second": round(statistics.median(rates), 1), "repeats": [round(r, 1) for r in rates]}
        row["statuses"] = _statuses(outcomes)
        yield row


def _percentiles(outcomes: Sequence[Outcome]) -> Row:
    """Of the requests of all windows, in ms."""
    latencies = [1000 * latency for outcome in outcomes for latency in outcome.latencies]
    p50, p95 = np.percentile(latencies, [50, 95])
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2), "requests": len(latencies)}


def _statuses(outcomes: Sequence[dict[str, Outcome]]) -> dict[str, int]:
    """How many requests of all tenants were answered with which status."""
    counts: dict[str, int] = {}
    for outcome in (tenant for window in outcomes for tenant in window.values()):
        for status, count in outcome.statuses.items():
            counts[status] = counts.get(status, 0) + count
    return counts


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.neighbours", description=__doc__)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=5, help="of each window")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--checkouts", nargs="+", help="folders whose servers are measured side by side")
    print(table(rows(vars(parser.parse_args())), COLUMNS))


if __name__ == "__main__":
    main()
