"""The one way of uploaded image files into the store: checked, stored, then referred to by rows. Forms: forms.py."""

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
    """The response of a POST that creates rows of uploaded image files, once for each Idempotency-Key.

    digest: of the request's body. check: raises early what would make the work useless; quotas are decided in `write`,
    when it is known how much is new. take: validates the files and saves those that can be used, outside of any
    transaction, for minutes if need be. write: adds the rows that refer to them and marks these files as kept; files
    that are not kept are removed, and so are all when anything raises.
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
