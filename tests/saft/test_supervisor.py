from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from saft import heartbeat, supervisor
from saft.child import Child
from saft.supervisor import MISSES, START_ATTEMPTS, ChildFailed, Supervisor

WRITE_PID = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); "
LIVE = WRITE_PID + "time.sleep(600)"
BEAT = "import sys; from pathlib import Path; from saft.heartbeat import beat; beat(Path(sys.argv[1] + '.beats')); "


async def always() -> None:
    """The probe of a child that answers from the first moment."""


async def never() -> None:
    raise ConnectionError


def child(file: Path, program: str = LIVE, probe: Callable[[], object] = always) -> Child:
    """A child that adds its process id to `file`."""
    return Child(file.name, [sys.executable, "-c", program, str(file)], probe)  # type: ignore[arg-type]


def pids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def running(servers: Sequence[Child], parts: Sequence[Child], **options: Callable[[], None]) -> Iterator[None]:
    supervised = Supervisor(servers, parts, **options)  # type: ignore[arg-type]
    thread = threading.Thread(target=supervised.run)
    thread.start()
    try:
        yield
    finally:
        supervised.stop()
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_a_child_that_dies_is_started_again_and_all_end_together(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with running([], [child(first), child(second)]):
        wait_for(lambda: bool(pids(first) and pids(second)))
        os.kill(pids(first)[0], signal.SIGKILL)
        wait_for(lambda: len(pids(first)) == 2)
    assert len(pids(second)) == 1
    assert not any(is_alive(pid) for pid in pids(first) + pids(second))


def test_a_child_that_hangs_is_killed_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "CHECK_INTERVAL_SECONDS", 0.1)
    file = tmp_path / "child"
    answers = []

    async def beats() -> None:
        await heartbeat.probe(tmp_path / "child.beats", within_seconds=5)
        answers.append(1)

    with running([], [child(file, BEAT + LIVE, beats)]):
        wait_for(lambda: bool(pids(file) and len(answers) > 1))
        os.kill(hung := pids(file)[0], signal.SIGSTOP)
        wait_for(lambda: len(pids(file)) == 2)
        assert not is_alive(hung)


def test_a_child_that_has_not_answered_yet_may_take_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "CHECK_INTERVAL_SECONDS", 0.0)
    asked = []

    async def loading() -> None:
        asked.append(1)
        raise ConnectionRefusedError

    file = tmp_path / "child"
    with running([], [child(file, probe=loading)]):
        wait_for(lambda: len(asked) > 3 * MISSES)
        assert len(pids(file)) == 1
        assert is_alive(pids(file)[0])


def test_a_child_that_hangs_before_its_first_answer_is_killed_and_in_the_end_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_START_SECONDS", 0.5)
    file = tmp_path / "child"
    with pytest.raises(ChildFailed, match="ended 3 times before it first answered"):
        Supervisor([child(file, probe=never)], []).run()
    assert not any(is_alive(pid) for pid in pids(file))


def test_a_child_that_has_answered_and_hangs_when_it_is_started_again_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "child"
    answers = []

    async def all_but_the_second_answer() -> None:
        if len(pids(file)) in (0, 2):
            raise ConnectionRefusedError
        answers.append(1)

    with running([], [replace(child(file, probe=all_but_the_second_answer), restart_seconds=0.5)]):
        wait_for(lambda: bool(answers))
        os.kill(pids(file)[0], signal.SIGKILL)
        wait_for(lambda: len(pids(file)) == 3)
        assert not is_alive(pids(file)[1])


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


def test_a_child_that_never_answers_and_keeps_dying_ends_everything(tmp_path: Path) -> None:
    file = tmp_path / "child"
    with pytest.raises(ChildFailed, match="ended 3 times") as failure:
        Supervisor([child(file, WRITE_PID + "sys.exit(5)", never)], []).run()
    assert failure.value.status not in (0, os.EX_CONFIG)
    assert len(pids(file)) == START_ATTEMPTS


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    program = (
        "import sys; from pathlib import Path; from tests.saft.test_supervisor import child, Supervisor;"
        f"Supervisor([], [child(Path({str(file)!r}))]).run()"
    )
    parent = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", program])
    wait_for(lambda: bool(pids(file)))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_for(lambda: not is_alive(pids(file)[0]))
