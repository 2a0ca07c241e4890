from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saft.heartbeat import beat, clear, probe

PROGRAM = "import sys, time; from pathlib import Path; from saft.heartbeat import beat; beat(Path(sys.argv[1]));"


def test_whoever_beats_is_alive_and_whoever_is_stopped_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM + "print(flush=True); time.sleep(600)", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        asyncio.run(probe(tmp_path, 60))
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        with pytest.raises(TimeoutError):
            asyncio.run(probe(tmp_path, 0.1))
        process.kill()
    with pytest.raises(TimeoutError):  # the dead count neither for nor against
        asyncio.run(probe(tmp_path, 60))
    assert list(tmp_path.iterdir()) == []  # and are forgotten: their numbers are given to others


def test_one_silent_process_among_others_is_noticed(tmp_path: Path) -> None:
    beat(tmp_path)
    asyncio.run(probe(tmp_path, 60))
    silent = tmp_path / str(os.getppid())
    silent.touch()
    os.utime(silent, (0, 0))
    with pytest.raises(TimeoutError):
        asyncio.run(probe(tmp_path, 60))
    clear(tmp_path)
    assert not silent.exists()


def test_nobody_is_no_sign_of_life(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(probe(tmp_path / "missing", 60))
