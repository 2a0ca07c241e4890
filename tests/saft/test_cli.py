from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from alembic.util import CommandError
from pydantic import SecretStr

from saft import cli
from saft_core.process import available_cpus
from saft_core.settings import Settings
from tests.fixtures.service import free_port


def saft(command: str, data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAFT_")}
    own = {"SAFT_PORT": str(free_port()), "SAFT_DATA_DIR": str(data_dir)} | environment
    return subprocess.run(
        [sys.executable, "-m", "saft", command],
        env=clean | own, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_port_that_is_taken_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = saft("serve", tmp_path / "data", SAFT_PORT=port)
    assert found.returncode == os.EX_CONFIG
    assert f"127.0.0.1:{port}" in found.stderr
    assert "SAFT_PORT" in found.stderr
    assert not (tmp_path / "data").exists()


def test_a_base_that_cannot_be_loaded_ends_the_service_with_its_message(tmp_path: Path) -> None:
    found = saft("serve", tmp_path, SAFT_BASE="no-such-model/no-such-tag")
    assert found.returncode == os.EX_CONFIG
    lines = found.stderr.splitlines()
    said = [line for line in lines if "no-such-model" in line and "SAFT_BASE" in line]
    assert 1 <= len(said) <= 2  # API and worker may find out at the same moment
    assert re.fullmatch("saft: stopped, because the (api|worker) process cannot run like this; see above", lines[-1])
    assert "next start" not in found.stderr
    assert not [process for process in psutil.process_iter(["cmdline"]) if uses(process, tmp_path)]


def uses(process: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in word for word in process.info["cmdline"] or [])


@pytest.mark.parametrize("key", ["", "sesame"])
def test_a_short_admin_key_is_one_line(key: str, tmp_path: Path) -> None:
    found = saft("serve", tmp_path, SAFT_ADMIN_KEY=key)
    assert found.returncode == os.EX_CONFIG
    assert f"SAFT_ADMIN_KEY has {len(key)} characters" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_setting_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    found = saft("serve", tmp_path, SAFT_PORT="no port")
    assert found.returncode == os.EX_CONFIG
    assert found.stderr.startswith("saft: SAFT_PORT: ")
    assert len(found.stderr.splitlines()) == 1


def test_a_database_that_does_not_answer_may_be_tried_again(tmp_path: Path) -> None:
    url = f"postgresql://saft@127.0.0.1:{free_port()}/saft"
    found = saft("serve", tmp_path, DATABASE_URL=url, REDIS_URL="redis://unused")
    assert found.returncode == os.EX_TEMPFAIL
    assert "DATABASE_URL" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_schema_of_another_version_is_nothing_that_a_restart_mends() -> None:
    message, status = cli.explained(CommandError("Can't locate revision identified by '9999'"))
    assert status == os.EX_CONFIG
    assert "9999" in (message or "")
    assert "update saft" in (message or "")


def test_a_defect_keeps_its_traceback() -> None:
    assert cli.explained(ZeroDivisionError()) == (None, os.EX_SOFTWARE)


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


@pytest.mark.parametrize("part", ["api", "worker"])
def test_what_computes_has_its_threads_limited_before_it_starts(part: str, tmp_path: Path) -> None:
    script = (
        "import os; from saft import cli; from saft_core.errors import Unavailable\n"
        f"try: cli.{part}()\n"
        "except Unavailable: print(os.environ.get('OMP_NUM_THREADS'))"
    )
    clean = {name: value for name, value in os.environ.items() if not name.endswith(("_NUM_THREADS", "_URL"))}
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=clean | {"SAFT_DATA_DIR": str(tmp_path)}, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == str(available_cpus())


def test_the_admin_key_is_rotated_by_a_command(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAFT_")}
    command = [sys.executable, "-m", "saft", "rotate-admin-key"]
    done = subprocess.run(
        command, env=clean | {"SAFT_DATA_DIR": str(tmp_path)}, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout == f"saft: admin key {(tmp_path / 'admin-key').read_text()}\n"
    given = clean | {"SAFT_DATA_DIR": str(tmp_path), "SAFT_ADMIN_KEY": "a long enough admin key"}
    refused = subprocess.run(command, env=given, capture_output=True, text=True, timeout=300, check=False)
    assert refused.returncode == os.EX_CONFIG
    assert refused.stderr.count("\n") == 1
