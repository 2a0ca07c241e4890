"""The `saft` command.

saft serve    everything on one machine: servers, API with the page, worker
saft api      the API and the page alone
saft worker   one worker alone
saft migrate  bring the database schema up to date
"""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import sys
import warnings
from typing import Any, NoReturn

import typer
from pydantic import ValidationError

from saft import embedded
from saft.addresses import http_url
from saft.supervisor import Child, Supervisor
from saft_core.errors import SaftError, Unavailable
from saft_core.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
warnings.filterwarnings("ignore", module="celery.platforms")  # root is fine in a container
logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)


@app.command()
def serve() -> None:
    """Run everything on this machine. Ctrl-C stops every part."""
    settings = Settings()
    given = settings.admin_key.get_secret_value() if settings.admin_key else None
    _refuse_taken_port(settings)
    with embedded.exclusive(settings.data_dir):
        key, is_new = embedded.admin_key(settings.data_dir, given, secrets.token_urlsafe(32))
        with embedded.servers(settings.data_dir, (settings.database_url, settings.redis_url)) as urls:
            _migrate(urls.database_url)
            supervisor = Supervisor(
                [_part("api", signal.SIGTERM), _part("worker", signal.SIGQUIT)],
                {"DATABASE_URL": urls.database_url, "REDIS_URL": urls.redis_url, "SAFT_ADMIN_KEY": key},
            )
            for ending in (signal.SIGINT, signal.SIGTERM):
                signal.signal(ending, lambda *_: supervisor.stop())
            _greet(settings, key if is_new else None)
            supervisor.run()
    print("saft: stopped")  # noqa: T201


@app.command()
def api() -> None:
    """Run the API and the page."""
    from saft.wiring import run_api  # noqa: PLC0415 (imports torch, which the other commands do not need)

    settings = _attached(Settings())
    _migrate(settings.database_url)
    run_api(settings)


@app.command()
def worker() -> None:
    """Run one worker: it trains one job at a time."""
    from worker.app import run_worker  # noqa: PLC0415

    settings = _attached(Settings())
    _migrate(settings.database_url)
    run_worker(settings)


@app.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    _migrate(_attached(Settings()).database_url)


def _part(name: str, stop_signal: signal.Signals) -> Child:
    return Child(name, [sys.executable, "-m", "saft", name], stop_signal)


def _migrate(database_url: str | None) -> None:
    from migrations.upgrade import upgrade  # noqa: PLC0415

    upgrade(database_url or "")


def _attached(settings: Settings) -> Settings:
    """Settings with both server URLs: those given, else those of the `saft serve` on the same data folder."""
    if settings.database_url and settings.redis_url:
        return settings
    urls = embedded.running(settings.data_dir)
    changes: dict[str, Any] = {
        "database_url": settings.database_url or urls.database_url,
        "redis_url": settings.redis_url or urls.redis_url,
    }
    return settings.model_copy(update=changes)


def _refuse_taken_port(settings: Settings) -> None:
    """Raise Unavailable if another process listens there: the API would be started again and again, for nothing."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {http_url(settings.host, settings.port)} ({error.strerror});"
                " set SAFT_PORT or SAFT_HOST to another one"
            ) from error


def _greet(settings: Settings, new_key: str | None) -> None:
    print(f"saft: starting on {http_url(settings.host, settings.port)} (Ctrl-C stops)")  # noqa: T201
    if new_key:
        print(f"saft: admin key {new_key} (kept in {settings.data_dir / 'admin-key'})")  # noqa: T201
    else:
        place = "SAFT_ADMIN_KEY" if settings.admin_key else f"in {settings.data_dir / 'admin-key'}"
        print(f"saft: the admin key is {place}")  # noqa: T201
    sys.stdout.flush()


def main() -> NoReturn:
    """Entry point: an error of ours is one line on stderr and exit status 1."""
    try:
        app()
    except (SaftError, ValidationError) as error:
        sys.exit(f"saft: {error}")
    sys.exit(0)
