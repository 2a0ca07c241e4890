"""The composition root of the API process: it makes the store, the engine, the API and the page from the settings."""

from __future__ import annotations

import logging
import math
import socket
from contextlib import suppress
from threading import Thread

import torch
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.protocol import EdgeProtocol
from api.rate_limit import RateLimiter
from api.services import Services
from saft.addresses import bind, http_url, local_url
from saft.admin_key import current_admin_key
from saft.own_key import KeyFile
from saft_core.clip.loading import load_base
from saft_core.data.probe_set import PICTURES, load_probe
from saft_core.errors import SaftError, Unavailable
from saft_core.process import freeze_objects, keep_memory
from saft_core.serving.adapters import StoredAdapter, read_adapter
from saft_core.serving.batcher import BatchLimits
from saft_core.serving.engine import Engine, EngineLimits
from saft_core.settings import Settings
from saft_core.store import deltas
from saft_core.store.broker import Broker
from saft_core.store.database import create_sessions
from saft_core.store.messages import Message, queue_name
from saft_core.store.stores import blob_store
from ui.app import mount

logger = logging.getLogger(__name__)


def create_services(settings: Settings) -> Services:
    """What the API needs, made from `settings`. Raises Unavailable without both server URLs."""
    if settings.database_url is None or settings.redis_url is None:
        raise Unavailable("the API needs DATABASE_URL and REDIS_URL")
    keep_memory()
    sessions = create_sessions(settings.database_url)

    def load(adapter_id: str) -> StoredAdapter:
        return read_adapter(*deltas.load(sessions, adapter_id), max_bytes=settings.limits.max_delta_bytes)

    key = current_admin_key(settings)
    base = load_base(settings.base, settings.device)
    broker, queue = Broker(settings.redis_url), queue_name(base.fingerprint)
    return Services(
        settings=settings,
        sessions=sessions,
        blobs=blob_store(settings),
        engine=Engine(base, load, engine_limits(settings)),
        publish=lambda job_id: broker.send(Message(job_id, queue)),
        ping_broker=broker.ping,
        admin_key=key,
        probe=load_probe(settings.probe or PICTURES),
        rate_limiter=_rates(settings.redis_url),
    )


def _rates(redis_url: str) -> RateLimiter | None:
    """The counter of requests a minute; None for a broker that is no Redis."""
    try:
        return RateLimiter(redis_url)
    except ValueError as error:
        logger.warning("the quota requests_per_minute holds nobody, for it is counted in Redis or Valkey: %s", error)
        return None


def engine_limits(settings: Settings) -> EngineLimits:
    """The settings of the engine."""
    return EngineLimits(
        cache_bytes=settings.adapter_cache_bytes,
        deadline_seconds=settings.request_deadline_seconds,
        threads=settings.serving_threads,
        compiled_bytes=settings.compiled_bytes,
        compiled_precision=settings.compiled_precision,
        batch=BatchLimits(settings.batch_images, settings.batch_wait_ms / 1000, settings.queue_images),
    )


def create_site(settings: Settings) -> FastAPI:
    """The API with the page at `/`, behind all API routes.

    What a first answer does not need comes when the site runs: the page is loaded, then the engine measures its routes.
    """
    services = create_services(settings)
    services.engine.warm_up()

    def complete() -> None:
        freeze_objects()
        services.engine.calibrate().add_done_callback(lambda _: Thread(target=warm_up_detector, daemon=True).start())

    def warm_up_detector() -> None:
        with suppress(SaftError):  # the service stops; or else the first request that asks has to wait
            services.unknown_detector.warm_up()

    app = create_app(services)
    own = (services.admin_key, KeyFile(settings.data_dir / "own-key")) if settings.signs_in_by_itself else None
    mount(app, local_url(settings.host, settings.port), own=own, then=complete)
    return app


def create_server(settings: Settings) -> Server:
    """The site behind a server that has its address already. Raises Unavailable when another process has it."""
    # Only the engine computes. Beside the threads that torch keeps for another one, a lone image took a third longer:
    # OpenMP likely lets all of them sleep after every operation once there are more than cores.
    torch.set_num_threads(1)
    taken = bind(settings.host, settings.port)  # before the base is loaded, which may take minutes
    config = uvicorn.Config(
        create_site(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        http=EdgeProtocol,
        ws="none",
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )
    return Server(config, taken)


class Server(uvicorn.Server):
    """Serves HTTP on a socket until the process is told to stop; requests under way get `drain_seconds` to end.

    It says when it answers: loading the base takes a while, and nobody should have to guess how long.
    """

    def __init__(self, config: uvicorn.Config, taken: socket.socket) -> None:
        super().__init__(config)
        self._taken = taken

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Until the end; `sockets` takes the place of its own."""
        super().run(sockets or [self._taken])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, and say so."""
        await super().startup(sockets)
        if self.started:
            print(f"saft: ready on {http_url(self.config.host, self.config.port)}", flush=True)  # noqa: T201
