"""What one data folder runs: its embedded servers, where they listen, and that only one `saft serve` owns it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from saft.child import Child, running
from saft.files import written_aside
from saft.postgres import embedded_postgres
from saft.valkey import embedded_valkey
from saft_core.errors import Unavailable


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
def server_children(data_dir: Path, given: tuple[str | None, str | None]) -> Iterator[tuple[ServerUrls, list[Child]]]:
    """What is not `given` as (database URL, broker URL), to be started by the caller, and the URLs of both.

    Notes the URLs, for `saft api` and `saft worker`. A server that is started again keeps its URL.
    """
    with ExitStack() as stack:
        children = []
        database_url, redis_url = given
        if not database_url:
            child, database_url = stack.enter_context(embedded_postgres(data_dir / "postgres"))
            children.append(child)
        if not redis_url:
            child, redis_url = stack.enter_context(embedded_valkey(data_dir / "valkey"))
            children.append(child)
        urls = ServerUrls(database_url, redis_url)
        stack.enter_context(_noted(data_dir, urls))
        yield urls, children


@contextmanager
def servers(data_dir: Path, given: tuple[str | None, str | None]) -> Iterator[ServerUrls]:
    """The same servers, running for the time of the block."""
    with server_children(data_dir, given) as (urls, children), running(children):
        yield urls


def noted(data_dir: Path) -> ServerUrls:
    """The servers of the `saft serve` that runs on this folder. Raises Unavailable when there is none."""
    try:
        return ServerUrls(**json.loads(_note(data_dir).read_text()))
    except FileNotFoundError as error:
        raise Unavailable(
            f"no 'saft serve' runs on the folder {data_dir}; start it, or set DATABASE_URL and REDIS_URL"
        ) from error


@contextmanager
def _noted(data_dir: Path, urls: ServerUrls) -> Iterator[None]:
    note = _note(data_dir)
    with written_aside(note, json.dumps(asdict(urls))) as aside:
        aside.replace(note)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _note(data_dir: Path) -> Path:
    return data_dir / "servers.json"
