from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from saft.supervisor import Child, Supervisor

WRITE_PID = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"


def pids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_that_dies_is_started_again_and_all_end_together(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    children = [Child(file.name, [sys.executable, "-c", WRITE_PID, str(file)]) for file in (first, second)]
    supervisor = Supervisor(children, {})
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_for(lambda: bool(pids(first) and pids(second)))
    os.kill(pids(first)[0], signal.SIGKILL)
    wait_for(lambda: len(pids(first)) == 2)
    supervisor.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert len(pids(second)) == 1
    assert not any(is_alive(pid) for pid in pids(first) + pids(second))


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    program = (
        "import sys; from saft.supervisor import Child, Supervisor;"
        f"Supervisor([Child('c', [sys.executable, '-c', {WRITE_PID!r}, {str(file)!r}])], {{}}).run()"
    )
    parent = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", program])
    wait_for(lambda: bool(pids(file)))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_for(lambda: not is_alive(pids(file)[0]))
