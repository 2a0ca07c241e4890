from __future__ import annotations

import pytest

from saft_client import ApiError, Client, ConnectionFailed, Job, JobFailed, SaftError
from tests.client.test_reading import JOB


@pytest.mark.parametrize(
    "error",
    [
        ApiError("code", "é \x1b[2J\n\x9b\u202e\ud800", 400),
        ConnectionFailed("no_connection", "é", "\x1b[2J\n\x9b\u202e\ud800"),
        JobFailed(Job.read(JOB | {"error": {"code": "code", "detail": "é \x1b[2J\n\x9b\u202e\ud800"}})),
    ],
)
def test_no_error_commands_the_terminal_that_shows_it(error: SaftError) -> None:
    assert str(error).isprintable()
    assert r"\x1b[2J\n\x9b\u202e\ud800" in str(error)
    assert "é" in str(error)


def test_the_detail_is_for_programs_as_it_came() -> None:
    assert ApiError("code", "\x1b[2J").detail == "\x1b[2J"


def test_an_error_of_a_job_that_is_no_text_is_said_in_other_words() -> None:
    error = JobFailed(Job.read(JOB | {"status": "failed", "error": {"code": 5, "detail": ["x"]}}))
    assert (error.code, error.detail) == ("failed", "job job_1 ended as failed")


def test_a_client_that_was_not_made_has_a_repr() -> None:
    assert repr(Client.__new__(Client)) == "Client()"
