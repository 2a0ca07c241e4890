"""The REST interface as a FastAPI application: routers, error handlers, middleware. A new router is listed here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool

from api import docs, errors, metrics, openapi
from api.body_limits import BodyGuard
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

DESCRIPTION = (
    "Upload a few labelled images, get a CLIP model adapted to them, call it over REST. Authenticate with "
    "`Authorization: Bearer <key>`. Errors are RFC 9457 problem details with a stable `code`."
)

ROUTES = APIRouter()
"""The routes of all resources, of which FastAPI reads the signatures once for all applications of a process."""
for _module in (
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
    ROUTES.include_router(_module.router)


def create_app(services: Services) -> FastAPI:
    """The application that serves all routes with `services`, and closes the engine and exports when it stops."""

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
        routes=ROUTES.routes,
    )
    app.state.services = services
    errors.install(app)
    openapi.install(app, services.settings)
    docs.install(app)
    app.add_middleware(BodyGuard, settings=services.settings)
    metrics.install(app, services)
    return app
