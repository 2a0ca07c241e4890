"""Addresses: TCP sockets, URLs, and folders for Unix sockets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saft.child import Account
from saft_core.errors import Unavailable

MAX_SOCKET_PATH_BYTES = 100
"""The systems allow 108 on Linux and 104 on macOS."""


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to the address, not listening yet. Raises Unavailable if another process has it."""
    # With its protocol by name: asyncio turns off Nagle's algorithm (RFC 896) only where it reads TCP, and with it on,
    # each answer on a kept connection waits 40 ms for an acknowledgement.
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise Unavailable(
            f"cannot listen on {http_url(host, port)} ({error.strerror}); set SAFT_PORT or SAFT_HOST to another one"
        ) from error
    return bound


def http_url(host: str, port: int) -> str:
    """The HTTP URL of a host name or address; an IPv6 address gets brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_url(host: str, port: int) -> str:
    """The URL by which this machine reaches a server on `host`; on all interfaces means the loopback address."""
    return http_url({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104 (compared, not bound)


@contextmanager
def socket_folder(folder: Path, socket_name: str, account: Account | None) -> Iterator[Path]:
    """A folder for a Unix socket: `folder`, or a private one with a short path.

    The latter where the socket's path would be longer than MAX_SOCKET_PATH_BYTES or needs quoting in a URL. It is the
    same for the same `folder`, so that a restart after a crash finds it. Raises Unavailable when another user owns it.
    """
    path = str(folder / socket_name)
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES and re.fullmatch(r"[\w./-]+", path, re.ASCII):
        yield folder
        return
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()
    short = Path(tempfile.gettempdir()) / f"saft-{digest[:16]}"
    short.mkdir(mode=0o700, exist_ok=True)
    _refuse_foreign(short, account)
    if account:
        os.chown(short, account.user, account.group)
    try:
        yield short
    finally:
        for file in short.glob("*"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            short.rmdir()


def _refuse_foreign(folder: Path, account: Account | None) -> None:
    found = folder.lstat()
    owners = {os.geteuid(), account.user} if account else {os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o077:
        raise Unavailable(f"{folder} is not ours alone; remove it, or set TMPDIR or SAFT_DATA_DIR to another folder")
