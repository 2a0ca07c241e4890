"""Adoption of image files that earlier versions wrote. The next version drops this module.

Earlier versions have a folder for each dataset and collection, and no table `images`. Their files are those from before
step 0012 of the migrations, and those that a replica of the previous version writes in a rolling deploy or after a
rollback. The sweeper adopts them a few at a time: it makes the row and links the file into the tenant's folder. A
search or a revision, which needs them at once, adopts those of its dataset or collection first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session, sessionmaker

from saft_core.errors import NotFound
from saft_core.store.blobs import BlobStore
from saft_core.store.database import among
from saft_core.store.models import Collection, CollectionImage, Dataset, DatasetImage, Image
from saft_core.store.scope import Scope

ADOPTED_AT_ONCE = 500
"""Images adopted in one transaction, for which a deletion of their dataset or collection waits."""
ADOPT_SECONDS = 2.0
"""How long one sweep adopts, so that the other work of the sweeper goes on."""

Manifest = type[DatasetImage] | type[CollectionImage]


def sweep(sessions: sessionmaker[Session], blobs: BlobStore) -> None:
    """Adopt images for ADOPT_SECONDS. Safe to repeat, and to run in several processes at once."""
    deadline = time.monotonic() + ADOPT_SECONDS
    models: tuple[Manifest, ...] = (DatasetImage, CollectionImage)
    for model in models:
        while time.monotonic() < deadline:
            with sessions() as session:
                left = session.execute(select(model.tenant_id, _owner(model)).where(~model.adopted).limit(1)).first()
            if left is None or not _adopt_some(sessions, blobs, model, *left):
                break


def adopt(sessions: sessionmaker[Session], blobs: BlobStore, model: Manifest, tenant_id: str, owner_id: str) -> None:
    """Adopt all images of one dataset or collection that are not adopted yet."""
    while _adopt_some(sessions, blobs, model, tenant_id, owner_id):
        pass


def forget(scope: Scope, blobs: BlobStore, collection_id: str, sha256: str) -> None:
    """Delete the old file of an image that was removed from a collection, which is locked against adding it again."""
    try:
        scope.get(Collection, collection_id, lock=True)
    except NotFound:  # its folder goes with it
        return
    same = (CollectionImage.collection_id == collection_id, CollectionImage.sha256 == sha256)
    again = scope.select(CollectionImage, *same)
    if scope.session.scalar(again) is None:
        blobs.delete_before(collection_id, sha256)


def _adopt_some(
    sessions: sessionmaker[Session], blobs: BlobStore, model: Manifest, tenant_id: str, owner_id: str
) -> int:
    """Adopt up to ADOPTED_AT_ONCE images; returns how many. Their rows are committed before the files are linked."""
    with sessions.begin() as session:
        scope = Scope(session, tenant_id)
        rows = session.scalars(_left(scope, model, owner_id)).all()
        if rows:
            _add_images(scope, rows)
    if rows:
        with sessions.begin() as session:
            _link(Scope(session, tenant_id), blobs, model, owner_id)
    return len(rows)


def _owner(model: Manifest) -> InstrumentedAttribute[str]:
    return DatasetImage.dataset_id if model is DatasetImage else CollectionImage.collection_id


def _left(scope: Scope, model: Manifest, owner_id: str) -> Select[Any]:
    left = scope.select(model, ~model.adopted, _owner(model) == owner_id)
    return left.order_by(*model.__table__.primary_key).limit(ADOPTED_AT_ONCE)


def _add_images(scope: Scope, rows: Sequence[DatasetImage | CollectionImage]) -> None:
    values = [
        {"tenant_id": scope.tenant_id, "sha256": sha256, "media_type": media_type, "kept_at": func.clock_timestamp()}
        for sha256, media_type in sorted({row.sha256: row.media_type for row in rows}.items())
    ]
    adding = insert(Image).values(values)
    kept = {"kept_at": func.coalesce(Image.kept_at, adding.excluded.kept_at)}
    adding = adding.on_conflict_do_update(index_elements=[Image.tenant_id, Image.sha256], set_=kept)
    scope.session.execute(adding)


def _link(scope: Scope, blobs: BlobStore, model: Manifest, owner_id: str) -> None:
    """Link the files and mark the rows as adopted, with the images and the dataset or collection locked."""
    try:
        scope.hold(Dataset if model is DatasetImage else Collection, owner_id)
    except NotFound:
        return
    rows = scope.session.scalars(_left(scope, model, owner_id).with_for_update(key_share=True)).all()
    of_these = among(Image.sha256, [row.sha256 for row in rows])
    images = scope.select(Image, of_these).order_by(Image.sha256).with_for_update(key_share=True)
    present = {image.sha256: image for image in scope.session.scalars(images)}
    found = [row for row in rows if row.sha256 in present]
    for row, size in zip(found, blobs.adopt([row.file for row in found]), strict=True):
        row.adopted = True
        image = present[row.sha256]
        image.size_bytes = image.size_bytes or size
