"""The embedded servers of a data folder (PostgreSQL and Valkey), their URLs, and the lock of its one `saft serve`."""

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
    """The URLs of the database and of the broker."""

    database_url: str
    redis_url: str


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Lock `data_dir` for one `saft serve`. Raises Unavailable when another one has it."""
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
    """The URLs of both servers, and the child processes of those that are embedded, for the caller to start.

    given: the database URL and the broker URL from the settings; one that is None or empty gets an embedded server.

    The URLs are written to a file, for `saft api` and `saft worker`. A restarted server keeps its URL.
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
    """The URLs of both servers, with the embedded ones running within the context."""
    with server_children(data_dir, given) as (urls, children), running(children):
        yield urls


def noted(data_dir: Path) -> ServerUrls:
    """The URLs that the running `saft serve` of this folder has written. Raises Unavailable when there is none."""
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
