"""Callers in a process of their own, made to take little of the machine: bodies are made before, connections stay open.

`python -m benchmarks.serving.callers` reads a `Load` as JSON from its standard input, and writes what came of it as
JSON on its standard output. It imports nothing but the standard library: what it takes is missing where it measures.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import count

_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Load:
    """`concurrency` callers who ask for `path` with `bodies` in turn, each again when answered.

    pause_seconds: the mean of a caller's pause after an answer, at random from 0 to twice that.
    nice:          what is added to the process's niceness.
    """

    port: int
    path: str
    key: str
    bodies: list[str]
    seconds: float
    concurrency: int = 1
    pause_seconds: float = 0.0
    nice: int = 0


@dataclass(frozen=True)
class Outcome:
    """Of the requests that were answered 200 within the load's time: their seconds; of all of them: the status."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)


def start(load: Load) -> subprocess.Popen[str]:
    """Start the callers; `ended` gives what came of them."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None  # noqa: S101 (for the type checker)
    process.stdin.write(json.dumps(asdict(load)))
    process.stdin.close()
    process.stdin = None
    return process


def ended(process: subprocess.Popen[str]) -> Outcome:
    """What came of the callers, waited for. Raises RuntimeError if they failed."""
    told, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the callers ended with {process.returncode}")
    return Outcome(**json.loads(told))


async def run(load: Load) -> Outcome:
    """Ask until the time is over; what is asked then is waited for, and not counted."""
    latencies: list[float] = []
    statuses: Counter[str] = Counter()
    requests, numbers, end = _requests(load), count(), time.perf_counter() + load.seconds

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
        while time.perf_counter() < end:
            started = time.perf_counter()
            writer.write(requests[next(numbers) % len(requests)])
            status = await _answer(reader)
            answered = time.perf_counter()
            statuses[status] += 1
            if status == "200" and answered <= end:
                latencies.append(answered - started)
            await asyncio.sleep(random.uniform(0, 2 * load.pause_seconds))  # noqa: S311
        writer.close()

    await asyncio.gather(*(caller() for _ in range(load.concurrency)))
    return Outcome(load.seconds, latencies, dict(statuses))


def _requests(load: Load) -> list[bytes]:
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {load.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    return [f"{head}{len(body)}\r\n\r\n{body}".encode() for body in load.bodies]


async def _answer(reader: asyncio.StreamReader) -> str:
    """The status of the next answer, read to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line[len(_LENGTH) :] for line in head.lower().split(b"\r\n") if line.startswith(_LENGTH)]
    await reader.readexactly(int(lengths[0]))
    return head[9:12].decode()


if __name__ == "__main__":
    given = Load(**json.load(sys.stdin))
    os.nice(given.nice)
    print(json.dumps(asdict(asyncio.run(run(given)))))
