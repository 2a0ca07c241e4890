from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from saft import cli
from saft_core.settings import Settings
from tests.fixtures.service import free_port


def test_a_port_that_is_taken_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = subprocess.run(
            [sys.executable, "-m", "saft", "serve"],
            env=os.environ | {"SAFT_PORT": port, "SAFT_DATA_DIR": str(tmp_path / "data")},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert found.returncode == 1
    assert f"127.0.0.1:{port}" in found.stderr
    assert "SAFT_PORT" in found.stderr
    assert not (tmp_path / "data").exists()


def test_a_free_port_is_left_free() -> None:
    port = free_port()
    cli._refuse_taken_port(Settings(port=port))
    socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize(
    ("new_key", "is_given", "said"),
    [
        ("sesame", False, "admin key sesame (kept in"),
        (None, False, "in saft-data/admin-key"),
        (None, True, "SAFT_ADMIN_KEY"),
    ],
)
def test_the_greeting_says_where_the_admin_key_is(
    new_key: str | None, is_given: bool, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = SecretStr("sesame") if is_given else None
    cli._greet(Settings(data_dir=Path("saft-data"), admin_key=given), new_key)
    lines = capsys.readouterr().out
    assert said in lines
    assert ("SAFT_ADMIN_KEY" in lines) == is_given


def test_the_log_says_which_base_runs() -> None:
    assert logging.getLogger("saft_core.clip.loading").isEnabledFor(logging.INFO)
    assert not logging.getLogger("saft_core.serving").isEnabledFor(logging.INFO)
