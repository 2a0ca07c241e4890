from __future__ import annotations

import io

from saft_client import Job
from saft_client._progress import ProgressBar, left, line
from tests.client.test_reading import JOB


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_has_phase_percent_loss_and_time_left() -> None:
    job = Job.read(JOB | {"progress": 0.5, "loss": 0.1234, "eta_seconds": 83})
    assert line(job) == "icons: training   [############------------]  50%  loss 0.123  1 min 23 s left"
    assert line(Job.read(JOB | {"status": "succeeded", "eta_seconds": 3})).startswith("icons: succeeded  [####")


def test_a_terminal_sees_one_line_drawn_anew() -> None:
    terminal = Terminal()
    with ProgressBar(True, terminal) as bar:
        bar.show(Job.read(JOB | {"phase": "selecting_something_long"}))
        bar.show(Job.read(JOB))
    first, second = terminal.getvalue().removeprefix("\r").removesuffix("\n").split("\r")
    assert "selecting" in first
    assert len(second) >= len(first)


def test_no_name_commands_the_terminal() -> None:
    assert line(Job.read(JOB | {"name": "\x1b[2J", "phase": "\r\x07"})).startswith(r"\x1b[2J: \r\x07 ")


def test_who_is_no_terminal_or_did_not_ask_sees_nothing() -> None:
    for shown, stream in ((True, io.StringIO()), (False, Terminal())):
        with ProgressBar(shown, stream) as bar:
            bar.show(Job.read(JOB))
        assert stream.getvalue() == ""


def test_time_left_in_the_unit_that_fits() -> None:
    assert [left(seconds) for seconds in (0.2, 59, 200, 3900)] == ["0 s", "59 s", "3 min 20 s", "1 h 05 min"]
