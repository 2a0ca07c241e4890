"""The `saft` command.

saft serve    everything on one machine: servers, API with the page, worker
saft api      the API and the page alone
saft worker   one worker alone
saft migrate  bring the database schema up to date
saft rotate-admin-key  put a new admin key in the place of the old one
saft evaluate  SAFT and its rivals by the paper's protocols, on data sets on disk or the pictures that come along
saft evaluate-language  the same of a language model, on BOSS's tasks

Exit status: 78 (EX_CONFIG) when it cannot run as it is set up, and starting it again would not help; 75 (EX_TEMPFAIL)
when the database does not answer.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from saft import embedded, heartbeat, probes
from saft.addresses import bind, http_url, local_url
from saft.admin_key import admin_key, key_file, rotate
from saft.child import Child
from saft.evaluate import evaluate, evaluate_language
from saft.restart import FAILURE_THRESHOLD, ChildFailed
from saft.supervisor import Supervisor
from saft_core.errors import SaftError
from saft_core.process import limit_threads, uncollected
from saft_core.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.command()(evaluate)
app.command()(evaluate_language)
warnings.filterwarnings("ignore", module="celery.platforms")  # root is fine in a container
logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
logging.getLogger("saft_core.clip").setLevel(logging.INFO)  # which base runs, and how it is fed


@app.command()
def serve() -> None:
    """Run everything on this machine. Ctrl-C stops every part."""
    settings = Settings()
    bind(settings.host, settings.port).close()  # taken: say so before anything starts
    given = (settings.database_url, settings.redis_url)
    with embedded.exclusive(settings.data_dir):
        key, is_new = admin_key(settings)
        with embedded.server_children(settings.data_dir, given) as (urls, servers):
            environment = {"DATABASE_URL": urls.database_url, "REDIS_URL": urls.redis_url}
            supervisor = Supervisor(
                servers,
                [_api(settings, environment), _worker(settings, environment)],
                prepare=partial(_migrate, urls.database_url),
                check_seconds=settings.health_check_seconds,
            )
            for ending in (signal.SIGINT, signal.SIGTERM):
                signal.signal(ending, lambda *_: supervisor.stop())
            _greet(settings, key if is_new else None)
            supervisor.run()
    print("saft: stopped")  # noqa: T201


@app.command()
def api() -> None:
    """Run the API and the page."""
    limit_threads()
    with uncollected():
        from saft.wiring import create_server  # noqa: PLC0415 (imports torch, which the other commands do not need)

        settings = _attached(Settings())
        _migrate(settings.database_url)
        server = create_server(settings)
    server.run()


@app.command()
def worker(
    heartbeats: Annotated[
        Path | None, typer.Option(help="A folder in which each process of the worker touches a file every second.")
    ] = None,
) -> None:
    """Run one worker: it trains one job at a time."""
    limit_threads()
    from celery.signals import worker_process_init  # noqa: PLC0415

    from worker.app import run_worker  # noqa: PLC0415

    settings = _attached(Settings())
    _migrate(settings.database_url)
    if heartbeats:
        heartbeat.beat(heartbeats)
        worker_process_init.connect(lambda **_: heartbeat.beat(heartbeats), weak=False)  # threads do not survive a fork
    run_worker(settings)


@app.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    _migrate(_attached(Settings()).database_url)


@app.command()
def rotate_admin_key() -> None:
    """Make a new admin key: the old one opens nothing any more, within a second, without a restart."""
    print(f"saft: admin key {rotate(Settings())}")  # noqa: T201


def _api(settings: Settings, environment: dict[str, str]) -> Child:
    url = f"{local_url(settings.host, settings.port)}/healthz"
    return Child("api", [sys.executable, "-m", "saft", "api"], partial(probes.http, url), environment)


def _worker(settings: Settings, environment: dict[str, str]) -> Child:
    folder = settings.data_dir.resolve() / "heartbeats"
    return Child(
        "worker",
        [sys.executable, "-m", "saft", "worker", "--heartbeats", str(folder)],
        partial(heartbeat.probe, folder, FAILURE_THRESHOLD * settings.health_check_seconds),
        environment,
        before=partial(heartbeat.clear, folder),
    )


def _migrate(database_url: str | None) -> None:
    from migrations.upgrade import upgrade  # noqa: PLC0415

    upgrade(database_url or "")


def _attached(settings: Settings) -> Settings:
    """The settings with both server URLs: the given ones, else those of the `saft serve` on the same data folder."""
    if settings.database_url and settings.redis_url:
        return settings
    urls = embedded.noted(settings.data_dir)
    changes: dict[str, Any] = {
        "database_url": settings.database_url or urls.database_url,
        "redis_url": settings.redis_url or urls.redis_url,
    }
    return settings.model_copy(update=changes)


def _greet(settings: Settings, new_key: str | None) -> None:
    print(f"saft: starting on {http_url(settings.host, settings.port)} (Ctrl-C stops)")  # noqa: T201
    if new_key:
        print(f"saft: admin key {new_key} (kept in {key_file(settings)})")  # noqa: T201
    else:
        place = "SAFT_ADMIN_KEY" if settings.admin_key else f"in {key_file(settings)}"
        print(f"saft: the admin key is {place}")  # noqa: T201
    sys.stdout.flush()


def main() -> NoReturn:
    """Entry point: an error that the operator can mend is one line on stderr and an exit status for its kind."""
    try:
        app()
    except Exception as error:
        message, status = explained(error)
        if message is None:
            raise
        print(f"saft: {message}", file=sys.stderr)  # noqa: T201
        sys.exit(status)
    sys.exit(0)


def explained(error: Exception) -> tuple[str | None, int]:
    """The message and exit status for an error; the message is None for a defect of the program itself."""
    from alembic.util import CommandError  # noqa: PLC0415 (only after an error)
    from sqlalchemy.exc import ArgumentError, OperationalError  # noqa: PLC0415

    message: str | None = None
    status = os.EX_CONFIG
    match error:
        case ChildFailed():
            message, status = str(error), error.status
        case SaftError():
            message = str(error)
        case ValidationError():
            message = "; ".join(f"{_variable(item['loc'])}: {item['msg']}" for item in error.errors())
        case CommandError():
            message = f"the database's schema is not one that this version knows ({error}); update saft"
        case ArgumentError():
            message = f"DATABASE_URL cannot be used: {error}"
        case OperationalError():
            reason = " ".join(str(error.orig).split())
            message = f"the database does not answer ({reason}); start it, or change DATABASE_URL"
            status = os.EX_TEMPFAIL
        case _:
            status = os.EX_SOFTWARE
    return message, status


def _variable(location: tuple[int | str, ...]) -> str:
    """The environment variable of a setting that pydantic names."""
    name = str(location[-1]) if location else ""
    return name if name.isupper() else f"SAFT_{name.upper()}"
