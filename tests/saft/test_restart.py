from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from saft import heartbeat, restart
from saft.restart import FAILURE_THRESHOLD, START_ATTEMPTS, ChildFailed
from saft.supervisor import Supervisor
from tests.fixtures.children import BEAT, LIVE, WRITE_PID, child, is_alive, never, pids, running, wait_for


def test_a_child_that_hangs_is_killed_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "CHECK_INTERVAL_SECONDS", 0.1)
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
    monkeypatch.setattr(restart, "CHECK_INTERVAL_SECONDS", 0.0)
    asked = []

    async def loading() -> None:
        asked.append(1)
        raise ConnectionRefusedError

    file = tmp_path / "child"
    with running([], [child(file, probe=loading)]):
        wait_for(lambda: len(asked) > 3 * FAILURE_THRESHOLD)
        assert len(pids(file)) == 1
        assert is_alive(pids(file)[0])


def test_a_child_that_hangs_before_its_first_answer_is_killed_and_in_the_end_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "FIRST_START_SECONDS", 0.5)
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


def test_a_child_that_never_answers_and_keeps_dying_ends_everything(tmp_path: Path) -> None:
    file = tmp_path / "child"
    with pytest.raises(ChildFailed, match="ended 3 times") as failure:
        Supervisor([child(file, WRITE_PID + "sys.exit(5)", never)], []).run()
    assert failure.value.status not in (0, os.EX_CONFIG)
    assert len(pids(file)) == START_ATTEMPTS
