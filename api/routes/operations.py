"""/healthz, /readyz and /metrics, without a key. The metrics themselves are api/metrics.py."""

from __future__ import annotations

import logging
from typing import Literal

import anyio
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from api.deps import ServicesDep
from api.disk import check_free_space
from api.schemas.operations import Health, Readiness
from api.services import Services
from saft_core.errors import Unavailable

router = APIRouter(tags=["operations"])
logger = logging.getLogger(__name__)

BROKER_SECONDS = 0.8
"""Probes often wait one second only, and the broker does not decide readiness."""


@router.get("/healthz", response_model=Health)
async def healthz() -> Health:
    """The process answers. Waits for no thread, however busy the others are."""
    return Health(status="ok")


@router.get("/readyz", response_model=Readiness)
async def readyz(services: ServicesDep) -> Readiness:
    """Whether requests can be answered: database, engine and room on the disk; else an error naming the `part`.

    Without the `broker` jobs are taken and wait, and everything else is answered, so it is told but not required.
    """
    await services.watch_threads.run(_check_parts, services)
    return Readiness(status="ok", base=services.engine.base.name, broker=await _broker(services))


def _check_parts(services: Services) -> None:
    try:
        with services.sessions() as session:
            session.execute(text("SELECT 1"))
    except Exception as error:
        raise Unavailable("the database does not answer", part="database") from error
    if not services.engine.healthy:
        raise Unavailable("the engine does not answer", part="engine")
    check_free_space(services.settings)


async def _broker(services: Services) -> Literal["ok", "away"]:
    with anyio.move_on_after(BROKER_SECONDS):
        try:
            await services.broker_threads.run(services.ping_broker)
        except Exception:
            logger.warning("the broker does not answer", exc_info=True)
        else:
            return "ok"
    return "away"


@router.get("/metrics", response_class=Response)
async def metrics(services: ServicesDep) -> Response:
    """Prometheus text format."""
    told = await services.watch_threads.run(generate_latest, services.metrics.registry)
    return Response(told, media_type=CONTENT_TYPE_LATEST)
