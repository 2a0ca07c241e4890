"""The one way of image files into the service: checked, claimed and stored, and then kept by what refers to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastapi.responses import JSONResponse

from api.creation import already_done, once, respond
from api.deps import Tenancy
from saft_core.data.intake import Save
from saft_core.store import images
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.images import Upload
from saft_core.store.scope import Scope

Found = TypeVar("Found")


def receive(
    tenancy: Tenancy,
    idempotency_key: str | None,
    request_sha256: str,
    check: Callable[[Scope], None],
    take: Callable[[Save], Found],
    write: Callable[[Scope, Upload, Found], StoredAnswer],
) -> JSONResponse:
    """Create something of image files, once.

    check: raises what is known before the work that would be for nothing; what the tenant may have is decided at the
    end, when it is known what it has already. take: checks the files and saves those that
    can be used, before any transaction: that can take minutes. write: writes rows that refer to them, and keeps these;
    files that it does not keep are gone in the end, and so they are when anything raises.
    """
    services = tenancy.services
    before = already_done(services.sessions, tenancy.tenant_id, idempotency_key, request_sha256)
    if before is not None:
        return respond(before, replayed=True)
    with tenancy.begin() as scope:
        check(scope)
    with images.uploading(services.sessions, services.blobs, tenancy.tenant_id) as upload:
        with upload.saving() as save:
            found = take(save)
        answer, replayed = once(
            services.sessions,
            tenancy.tenant_id,
            idempotency_key,
            request_sha256,
            lambda session: write(tenancy.scope(session), upload, found),
        )
    return respond(answer, replayed)
