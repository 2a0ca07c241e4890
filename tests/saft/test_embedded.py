from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from saft import embedded
from saft.child import running
from saft_core.errors import Unavailable

HOLD = (
    "import signal, sys, time; from pathlib import Path; from saft import embedded\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a run in the background has ignored
    "with embedded.servers(Path(sys.argv[1]), (None, None)) as urls:\n"
    "    print(urls.database_url, flush=True); time.sleep(600)"
)


@contextmanager
def hold(data_dir: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs the servers of a folder; killed if the test fails, else waited for."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)],
        env=os.environ | environment, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as owner:  # fmt: skip
        try:
            yield owner
        except BaseException:
            owner.kill()
            raise


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_one_serve_a_folder(tmp_path: Path) -> None:
    with embedded.exclusive(tmp_path), pytest.raises(Unavailable, match="SAFT_DATA_DIR"), embedded.exclusive(tmp_path):
        pytest.fail("two at once")
    with embedded.exclusive(tmp_path):  # free again after the first has ended
        pass


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder whose path is short: a socket's may have 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as somebody else
        yield Path(folder)


def test_given_servers_are_used_and_noted_while_they_run(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="saft serve"):
        embedded.noted(tmp_path)
    with embedded.servers(tmp_path, ("postgresql://db/x", "redis://broker")) as urls:
        assert urls == embedded.ServerUrls("postgresql://db/x", "redis://broker")
        assert embedded.noted(tmp_path) == urls
        assert stat.S_IMODE((tmp_path / "servers.json").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unavailable):
        embedded.noted(tmp_path)


def test_the_note_of_a_killed_service_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "servers.json").write_text('{"database_url": "post')
    with embedded.servers(tmp_path, ("postgresql://db/x", "redis://broker")):
        assert json.loads((tmp_path / "servers.json").read_text())["redis_url"] == "redis://broker"


def test_a_killed_owner_takes_its_servers_along_and_the_next_one_finds_the_data(
    tmp_path: Path, temporary: Path
) -> None:
    data = tmp_path / "my, data"  # a name that no URL and no socket takes as it is
    data.mkdir()
    with hold(data, TMPDIR=str(temporary)) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline()
        execute(url, "CREATE TABLE kept AS SELECT 1 AS one")
        family = psutil.Process(owner.pid).children(recursive=True)
        assert {"postgres", "valkey-server"} <= {process.name() for process in family}
        owner.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    with hold(data, TMPDIR=str(temporary)) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == url  # clients just connect again
        assert execute(url, "SELECT one FROM kept") == [(1,)]
        owner.send_signal(signal.SIGINT)
    assert list(temporary.iterdir()) == []


def test_a_crash_while_the_cluster_is_made_leaves_none(tmp_path: Path) -> None:
    with hold(tmp_path) as owner:
        wait_for(lambda: list(tmp_path.glob("*/PG_VERSION")))  # written early: there is no database yet
        os.killpg(owner.pid, signal.SIGKILL)
    with embedded.servers(tmp_path, (None, "redis://unused")) as urls:
        assert execute(urls.database_url, "SELECT 1") == [(1,)]


def test_a_lock_file_with_a_process_id_that_is_somebody_elses_by_now(tmp_path: Path) -> None:
    with embedded.server_children(tmp_path, (None, "redis://unused")) as (_, [postgres]):
        account = postgres.account
        user = account.user if account else None  # PostgreSQL respects only processes that it could signal
        with subprocess.Popen(["sleep", "600"], user=user) as stranger:
            lock = tmp_path / "postgres" / "postmaster.pid"
            lock.write_text(f"{stranger.pid}\n{lock.parent}\n1\n5432\n{lock.parent}\n\n  1  1\nready   \n")
            with running([postgres]):
                assert stranger.poll() is None
            stranger.kill()
