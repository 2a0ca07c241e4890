"""Adapters that are there: list, get, publish, delete, download, and any new endpoint on one, such as renaming.

Training one is training.py, importing imports.py, exporting exports.py, comparing comparisons.py; all rows are read and
written in saft_core/store/adapters.py.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.authenticated import TenantRoute
from api.deps import PagingDep, TenancyDep
from api.etags import NOT_MODIFIED, IfNoneMatch, is_current, not_modified
from api.resolve import check_base
from api.schemas.adapters import AdapterItem, AdapterView, MistakeView
from api.schemas.common import MAX_NAME_CHARACTERS, Page
from saft_core.store import adapters, deltas

router = APIRouter(prefix="/adapters", tags=["adapters"], route_class=TenantRoute)


@router.get("", response_model=Page[AdapterItem])
def list_adapters(
    tenancy: TenancyDep,
    paging: PagingDep,
    name: Annotated[
        str | None, Query(max_length=MAX_NAME_CHARACTERS, description="Only versions of this name.")
    ] = None,
    published: Annotated[bool | None, Query(description="Only versions that answer their name, or the others.")] = None,
) -> object:
    """Your adapters, each of their versions, newest first; what they say in full, `GET /adapters/{adapter_id}` does."""
    with tenancy.begin() as scope:
        return adapters.page(scope, paging.limit, paging.cursor, name, published)


@router.get("/{adapter_id}", response_model=AdapterView)
def get_adapter(adapter_id: str, tenancy: TenancyDep) -> object:
    """One version: by its id, as name@version, or by its name the one that is published."""
    with tenancy.begin() as scope:
        return adapters.find(scope, adapter_id)


@router.get("/{adapter_id}/mistakes", response_model=Page[MistakeView])
def list_mistakes(adapter_id: str, tenancy: TenancyDep, paging: PagingDep) -> object:
    """Images that the adapter gets wrong: of the test dataset, of those held out from training, and trained ones.

    An image held out is answered by the training that did not see it. `GET /datasets/{dataset_id}/images/{position}` is
    the image. The images of a dataset that was deleted are gone from the list; an imported adapter has none.
    """
    with tenancy.begin() as scope:
        adapter = adapters.find(scope, adapter_id, report=False)
        rows = adapters.mistakes(scope, adapter.id, paging.after, paging.limit + 1)
    page, next_cursor = paging.numbered(rows, lambda row: row[0].place)
    items = [
        MistakeView(
            dataset_id=image.dataset_id,
            position=image.position,
            path=image.path,
            label=image.label,
            prediction=mistake.prediction,
            split=mistake.split,
        )
        for mistake, image in page
    ]
    return {"items": items, "next_cursor": next_cursor}


@router.post("/{adapter_id}/publish", response_model=AdapterView)
def publish_adapter(adapter_id: str, tenancy: TenancyDep) -> object:
    """Let this version answer its name from now on, on every replica: an older one rolls back.

    Requests under way end with the version that they began with.
    """
    with tenancy.begin() as scope:
        adapter = adapters.find(scope, adapter_id)
        check_base(adapter.base_fingerprint, adapter.base, tenancy.services)
        adapters.publish(scope, adapter)
        return adapter


@router.delete("/{adapter_id}", status_code=204)
def delete_adapter(adapter_id: str, tenancy: TenancyDep) -> None:
    """Delete one version, or all of them by their name. Their next request, on any replica, is answered with 404.

    A version that answers its name stays while there are others: publish another one first.
    """
    with tenancy.begin() as scope:
        adapters.delete(scope, adapter_id)


@router.get("/{adapter_id}/delta", response_class=Response, responses=NOT_MODIFIED)
def get_delta(adapter_id: str, tenancy: TenancyDep, if_none_match: IfNoneMatch = None) -> Response:
    """The delta container; docs/delta-format.md describes it."""
    with tenancy.begin() as scope:
        adapter = adapters.find(scope, adapter_id)
        container = deltas.container(scope, adapter.id)
    headers = {"ETag": f'"{hashlib.sha256(container).hexdigest()}"'}
    if is_current(if_none_match, headers["ETag"]):
        return not_modified(headers)
    headers["Content-Disposition"] = f'attachment; filename="{adapter.id}.saft"'
    return Response(container, media_type="application/octet-stream", headers=headers)
