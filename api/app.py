"""The API as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from api import docs, errors, openapi
from api.body_limit import BodyLimit
from api.metrics import GaugesOf, RequestMetrics
from api.routes import adapters, classify, collections, datasets, jobs, operations, retrieve, tenants
from api.services import Services
from saft_core.store.jobs import count_by_status

DESCRIPTION = (
    "Upload a few labelled images, get a CLIP model adapted to them, call it over REST. Authenticate with "
    "`Authorization: Bearer <key>`. Errors are RFC 9457 problem details with a stable `code`."
)


def create_app(services: Services) -> FastAPI:
    """The whole REST interface over `services`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(services.engine.close, services.settings.drain_seconds)

    app = FastAPI(
        title="SAFT",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    for module in (tenants, datasets, adapters, jobs, classify, collections, retrieve, operations):
        app.include_router(module.router)
    errors.install(app)
    openapi.install(app)
    docs.install(app)
    app.add_middleware(BodyLimit, max_upload_bytes=services.limits.max_upload_bytes)
    _install_metrics(app, services)
    return app


def _install_metrics(app: FastAPI, services: Services) -> None:
    def jobs_now() -> dict[str, int]:
        with services.sessions() as session:
            return count_by_status(session)

    services.engine.observe = services.metrics.batches.observe
    registry = services.metrics.registry
    registry.register(
        GaugesOf(
            "saft_engine", "Counters of the engine's caches, routes and queue.", "counter", services.engine.counters
        )
    )
    registry.register(GaugesOf("saft_jobs", "Jobs by status.", "status", jobs_now))
    app.add_middleware(RequestMetrics, metrics=services.metrics)
