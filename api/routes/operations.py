"""Health and metrics: for machines that watch, without a key."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from api.deps import ServicesDep
from saft_core.errors import Unavailable

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers. In the event loop: uploads may hold all threads, and that is no reason for a restart."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(services: ServicesDep) -> dict[str, str]:
    """Database, broker and engine are there; 503 naming the part that is not."""
    try:
        with services.sessions() as session:
            session.execute(text("SELECT 1"))
    except Exception as error:
        raise Unavailable("the database does not answer", part="database") from error
    try:
        services.ping_broker()
    except Exception as error:
        raise Unavailable("the broker does not answer", part="broker") from error
    if not services.engine.healthy:
        raise Unavailable("the engine does not answer", part="engine")
    return {"status": "ok", "base": services.engine.base.name}


@router.get("/metrics", response_class=Response)
def metrics(services: ServicesDep) -> Response:
    """Prometheus text format."""
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
