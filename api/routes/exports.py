"""GET /adapters/{adapter_id}/export; the file is made by api/exports.py."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import IO, Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.authenticated import TenantRoute
from api.checks import BASE_NAME
from api.deps import Tenancy, TenancyDep
from api.etags import NOT_MODIFIED, IfNoneMatch, is_current, not_modified
from api.exports import Download, ExportRequest, Exports, Form, etag
from api.resolve import model_of
from saft_core.delta import SparseDelta, decode
from saft_core.errors import NotFound
from saft_core.export.description import Description
from saft_core.store import adapters, deltas

router = APIRouter(prefix="/adapters", tags=["adapters"], route_class=TenantRoute)

LOOK_SECONDS = 0.5


@router.get("/{adapter_id}/export", response_class=Response, responses=NOT_MODIFIED)
async def export_adapter(
    adapter_id: str,
    request: Request,
    tenancy: TenancyDep,
    form: Annotated[
        Form,
        Query(
            alias="format",
            description="`open_clip`: a zip file of a folder for open_clip's `local-dir:`. `onnx`: image tower and"
            " classes in one file.",
        ),
    ],
    strength: Annotated[
        float | None,
        Query(ge=0, le=1, allow_inf_nan=False, description="How much of the adapter; its own strength if left out."),
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The base with the adapter's weights merged in, as a file that other tools load; docs/export.md describes it.

    One is made at a time: the answer begins after seconds, for ONNX after up to a minute, and others wait.
    """
    export, tag = await run_in_threadpool(_export_request, tenancy, adapter_id, form, strength)
    headers = {"ETag": tag}
    if is_current(if_none_match, tag):
        return not_modified(headers)
    exports = tenancy.services.exports
    async with exports.slot(tenancy.tenant_id) as leave:
        file = await _made(exports, export, request)
        return Download(file, export, headers, leave)


async def _made(exports: Exports, export: ExportRequest, request: Request) -> IO[bytes]:
    """The file; its making is given up if the client does not wait for it."""
    gone = threading.Event()
    making = asyncio.ensure_future(exports.made(export, gone.is_set))
    try:
        while not making.done():
            await asyncio.wait({making}, timeout=LOOK_SECONDS)
            if not gone.is_set() and await request.is_disconnected():
                gone.set()
    finally:
        gone.set()
    return making.result()


def _export_request(tenancy: Tenancy, name: str, form: Form, strength: float | None) -> tuple[ExportRequest, str]:
    """The export and its ETag. Raises NotFound and BaseMismatch."""
    services, base = tenancy.services, tenancy.services.engine.base
    if name == BASE_NAME:
        raise NotFound("the base is no adapter; GET /adapters lists yours")
    texts_per_pass, threads = services.engine.limits.batch.max_rows, services.engine.threads
    with tenancy.begin() as scope:
        adapter = adapters.find(scope, name, report=False)
        container = deltas.container(scope, adapter.id)
    model = model_of(adapter, services)
    wanted = model.strength_for(strength) + 0.0  # no negative zero

    def describe() -> Description:
        detector, asked = services.unknown_detector, (model.classes, model.template)
        calibration = model.calibration_for(*asked, wanted, detector)
        words = detector.others(*asked) if calibration.unknown else np.empty((0, base.embed_dim), np.float32)
        return Description(adapter.name, *asked, wanted, calibration, words, texts_per_pass, threads)

    def load() -> SparseDelta:
        with tenancy.begin() as scope:
            return decode(deltas.container(scope, adapter.id), max_bytes=services.limits.max_delta_bytes)[0]

    known = {
        "format": form,
        "strength": wanted,
        "own_strength": model.strength,
        "name": adapter.name,
        "classes": adapter.classes,
        "template": adapter.template,
        "calibration": adapter.calibration,
        "base": [base.name, base.fingerprint],
        "probe": services.probe is not None,
        "passes": [texts_per_pass, threads],
    }
    deadline = time.monotonic() + services.settings.export_seconds
    return ExportRequest(form, adapter.id, load, describe, wanted, deadline), etag(container, known)
