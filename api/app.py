"""The API as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from api import docs, errors, openapi
from api.body_limits import BodyGuard
from api.metrics import NumbersOf, RequestMetrics
from api.routes import (
    account,
    adapters,
    base,
    classify,
    collections,
    comparisons,
    datasets,
    embeddings,
    example,
    exports,
    imports,
    jobs,
    operations,
    retrieve,
    revisions,
    tenants,
    thumbnails,
    training,
)
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
        services.exports.close()
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
    for module in (
        tenants,
        account,
        base,
        datasets,
        revisions,
        training,
        imports,
        example,
        adapters,
        comparisons,
        exports,
        jobs,
        classify,
        embeddings,
        collections,
        retrieve,
        thumbnails,
        operations,
    ):
        app.include_router(module.router)
    errors.install(app)
    openapi.install(app, services.settings)
    docs.install(app)
    app.add_middleware(BodyGuard, settings=services.settings)
    _install_metrics(app, services)
    return app


def _install_metrics(app: FastAPI, services: Services) -> None:
    def jobs_now() -> dict[str, int]:
        with services.sessions() as session:
            return count_by_status(session)

    def events() -> dict[str, int]:
        return {name: count for name, count in services.engine.counters().items() if not _is_level(name)}

    def levels() -> dict[str, int]:
        return {name: number for name, number in services.engine.counters().items() if _is_level(name)}

    def gates() -> dict[str, int]:
        gate = services.gate
        under_way = {"inference": gate.places.taken, "uploads": services.uploads.taken}
        under_way["thumbnails"] = services.thumbnail_gate.places.taken
        return under_way | {"inference_waiting": gate.turns.waiting, "inference_computing": gate.turns.held}

    services.engine.observe = services.metrics.batches.observe
    registry = services.metrics.registry
    for numbers in (
        NumbersOf(
            CounterMetricFamily, "saft_engine_events", "What the engine's caches, routes and loop did.", "event", events
        ),
        NumbersOf(GaugeMetricFamily, "saft_engine_state", "What the engine holds and has waiting.", "quantity", levels),
        NumbersOf(GaugeMetricFamily, "saft_requests", "Requests under way, by what they are at.", "state", gates),
        NumbersOf(GaugeMetricFamily, "saft_jobs", "Jobs by status.", "status", jobs_now),
    ):
        registry.register(numbers)
    app.add_middleware(RequestMetrics, metrics=services.metrics)


def _is_level(name: str) -> bool:
    """Whether a number of the engine goes up and down; the others only grow."""
    return name.startswith("waiting_") or name.endswith("_bytes")
