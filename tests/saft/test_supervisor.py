from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from saft.restart import ChildFailed
from saft.supervisor import Supervisor
from tests.fixtures.children import WRITE_PID, child, is_alive, pids, running, wait_for


def test_a_child_that_dies_is_started_again_and_all_end_together(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with running([], [child(first), child(second)]):
        wait_for(lambda: bool(pids(first) and pids(second)))
        os.kill(pids(first)[0], signal.SIGKILL)
        wait_for(lambda: len(pids(first)) == 2)
    assert len(pids(second)) == 1
    assert not any(is_alive(pid) for pid in pids(first) + pids(second))


def test_parts_start_when_the_servers_have_answered_and_all_is_prepared(tmp_path: Path) -> None:
    server, part = tmp_path / "server", tmp_path / "part"
    prepared = []

    async def server_is_up() -> None:
        if not pids(server):
            raise ConnectionRefusedError

    def prepare() -> None:
        prepared.append((len(pids(server)), len(pids(part))))

    with running([child(server, probe=server_is_up)], [child(part)], prepare=prepare):
        wait_for(lambda: bool(pids(part)))
    assert prepared == [(1, 0)]


def test_a_child_that_cannot_run_as_configured_ends_everything(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    supervised = Supervisor([child(good)], [child(bad, WRITE_PID + f"sys.exit({os.EX_CONFIG})")])
    with pytest.raises(ChildFailed, match="bad") as failure:
        supervised.run()
    assert failure.value.status == os.EX_CONFIG
    assert len(pids(bad)) == 1
    assert not is_alive(pids(good)[0])


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    program = (
        "from pathlib import Path; from saft.supervisor import Supervisor; from tests.fixtures.children import child;"
        f"Supervisor([], [child(Path({str(file)!r}))]).run()"
    )
    parent = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", program])
    wait_for(lambda: bool(pids(file)))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_for(lambda: not is_alive(pids(file)[0]))
