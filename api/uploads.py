"""The one way of image files into the service: checked, claimed and stored, and then kept by what refers to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastapi.responses import JSONResponse

from api.deps import Tenancy
from api.idempotency import TenantIdempotency
from saft_core.data.intake import Save
from saft_core.store import images
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.images import Upload
from saft_core.store.scope import Scope

Found = TypeVar("Found")


def create_from_files(
    tenancy: Tenancy,
    idempotency: TenantIdempotency,
    digest: bytes,
    check: Callable[[Scope], None],
    take: Callable[[Save], Found],
    write: Callable[[Scope, Upload, Found], StoredAnswer],
) -> JSONResponse:
    """Create something of image files, once.

    digest: of the request's body. check: raises what is known before the work that would be for nothing; what the
    tenant may have is decided at the end, when it is known what it has already. take: checks the files and saves those
    that can be used, before any transaction: that can take minutes. write: writes rows that refer to them, and keeps
    these; files that it does not keep are gone in the end, and so they are when anything raises.
    """
    services = tenancy.services
    before = idempotency.before(digest)
    if before is not None:
        return before.response()
    with tenancy.begin() as scope:
        check(scope)
    with images.uploading(services.sessions, services.blobs, tenancy.tenant_id) as upload:
        with upload.saving() as save:
            found = take(save)
        return idempotency.once(digest, lambda scope: write(scope, upload, found)).response()
