"""The life of image files: claimed by an upload, kept by a dataset or collection, released when nothing refers to them.

This is the only module that writes and deletes them. Whichever process crashes when, every file has a row in `images`,
and a file that a dataset or collection refers to exists:

- An upload commits the row of an image, with its claim on it, before it writes the file. Its last transaction writes
  the rows that refer to the image and deletes the claim (`keep`).
- A deletion of a dataset, a collection or an image of one is committed first; then `release` locks the rows of the
  images, finds in a new statement those without references and claims, and deletes their files and then the rows. A
  claim waits for that lock, so an upload either claims before (and the claim is seen) or finds the file deleted.
- `Orphans` finds what a crashed process left.

Rows are locked in the order of their SHA-256, after those of datasets, collections and their images.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, islice

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import Conflict
from saft_core.store import quotas
from saft_core.store.blobs import BlobStore
from saft_core.store.database import among
from saft_core.store.models import CollectionImage, DatasetImage, Image, ImageClaim, new_id
from saft_core.store.scope import Scope

ORPHAN_AGE_SECONDS = 6 * 3600
"""The age at which a claim counts as left by a crashed upload: no upload takes so long."""
CLAIMED_AT_ONCE = 128
"""Images that an upload claims in one transaction; a transaction for each would wait for the disk as often."""
CLAIMED_BYTES = 8 << 20
"""Bytes of an upload that wait in memory for that transaction, at most."""
RELEASED_AT_ONCE = 1_000
"""Images that one transaction deletes; uploads of the same images wait for it."""
LOOKED_AT_ONCE = 1_000
"""Images that one sweep checks, and claims that it deletes."""

Write = Callable[[str, bytes], None]
Save = Callable[[str, bytes, str], None]
"""Takes the hexadecimal SHA-256, the bytes and the media type."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewImage:
    """An image file of an upload, after its checks."""

    sha256: str
    media_type: str
    size_bytes: int


class Upload:
    """One upload under way, with the SHA-256 of the images that it has `claimed`; `uploading` makes it."""

    def __init__(self, sessions: sessionmaker[Session], blobs: BlobStore, tenant_id: str) -> None:
        self.id = new_id("up")
        self._sessions, self._blobs, self._tenant_id = sessions, blobs, tenant_id
        self._waiting: list[tuple[NewImage, bytes]] = []
        self.claimed: set[str] = set()

    @contextmanager
    def saving(self) -> Iterator[Save]:
        """Store many images: yields `save(sha256, data, media_type)`; all are durable when the block has ended.

        Raises what the first failed write raised, when the block ends, and Unauthorized if the tenant was deleted.
        """
        with self._blobs.writing(self._tenant_id) as write:

            def save(sha256: str, data: bytes, media_type: str) -> None:
                self._waiting.append((NewImage(sha256, media_type, len(data)), data))
                held = sum(image.size_bytes for image, _ in self._waiting)
                if len(self._waiting) >= CLAIMED_AT_ONCE or held >= CLAIMED_BYTES:
                    self._claim(write)

            yield save
            self._claim(write)

    def _claim(self, write: Write) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            with self._sessions.begin() as session:
                claim(Scope(session, self._tenant_id), self.id, [image for image, _ in waiting])
            self.claimed |= {image.sha256 for image, _ in waiting}
        for image, data in waiting:
            write(image.sha256, data)

    def end(self) -> None:
        """Delete the claims that are left, and release their images."""
        with left_to_the_sweeper():
            with self._sessions.begin() as session:
                scope = Scope(session, self._tenant_id)
                of_upload = (scope.owns(ImageClaim), ImageClaim.upload_id == self.id)
                dropped = delete(ImageClaim).where(*of_upload, among(ImageClaim.sha256, sorted(self.claimed)))
                left = session.scalars(dropped.returning(ImageClaim.sha256)).all()
            release(self._sessions, self._blobs, self._tenant_id, left)


@contextmanager
def left_to_the_sweeper() -> Iterator[None]:
    """Log an error of a deletion within the context in place of raising it: `Orphans` finds what is left."""
    try:
        yield
    except (SQLAlchemyError, OSError):
        logger.warning("images that nobody needs are left to the sweeper", exc_info=True)


@contextmanager
def uploading(sessions: sessionmaker[Session], blobs: BlobStore, tenant_id: str) -> Iterator[Upload]:
    """An upload: its images stay within the context, and those that were not kept are released at the end."""
    upload = Upload(sessions, blobs, tenant_id)
    try:
        yield upload
    finally:
        if upload.claimed:
            upload.end()


def claim(scope: Scope, upload_id: str, found: Sequence[NewImage]) -> None:
    """Claim images for an upload; commit before writing a file. Raises Unauthorized if the tenant was deleted."""
    quotas.admit(scope)
    new = {image.sha256: image for image in found}
    rows = [
        {"tenant_id": scope.tenant_id, "sha256": sha256, "media_type": image.media_type, "size_bytes": image.size_bytes}
        for sha256, image in sorted(new.items())
    ]
    adding = insert(Image).values(rows)
    # An update, for it locks the row that is there, and waits for whoever removes it.
    adding = adding.on_conflict_do_update(
        index_elements=[Image.tenant_id, Image.sha256], set_={"size_bytes": adding.excluded.size_bytes}
    )
    scope.session.execute(adding)
    claims = [{"tenant_id": scope.tenant_id, "sha256": sha256, "upload_id": upload_id} for sha256 in sorted(new)]
    scope.session.execute(insert(ImageClaim).values(claims).on_conflict_do_nothing())


def keep(scope: Scope, upload_id: str, hashes: Collection[str]) -> None:
    """Keep images that an upload claimed, in the transaction that writes the rows which refer to them.

    Call it once, before these rows are written: other uploads lock in the same order. Images that are new to the tenant
    count against its quota.

    Raises QuotaExceeded, and Conflict if a claim was deleted because the upload took ORPHAN_AGE_SECONDS.
    """
    ordered = sorted(hashes)
    if not ordered:
        return
    of_these = (scope.owns(Image), among(Image.sha256, ordered))
    # The lock waits for an upload that brings the same images: which of them are new is known when that has ended.
    new = select(Image.size_bytes).where(*of_these, Image.kept_at.is_(None)).order_by(Image.sha256).with_for_update()
    sizes = scope.session.scalars(new).all()
    quotas.admit(scope, images=len(sizes), storage_bytes=sum(size or 0 for size in sizes))
    scope.session.execute(
        update(Image).where(*of_these, Image.kept_at.is_(None)).values(kept_at=func.clock_timestamp()),
        execution_options={"synchronize_session": False},
    )
    claims = delete(ImageClaim).where(
        scope.owns(ImageClaim), among(ImageClaim.sha256, ordered), ImageClaim.upload_id == upload_id
    )
    dropped = scope.session.scalars(claims.returning(ImageClaim.sha256)).all()
    if len(dropped) < len(ordered):
        raise Conflict("the upload took so long that its images were cleared; send it again, in parts")


def size_bytes(scope: Scope, hashes: Collection[str]) -> int:
    """The bytes of these images together, each counted once."""
    query = select(func.coalesce(func.sum(Image.size_bytes), 0))
    return int(scope.session.scalar(query.where(scope.owns(Image), among(Image.sha256, sorted(set(hashes))))) or 0)


def release(sessions: sessionmaker[Session], blobs: BlobStore, tenant_id: str, hashes: Collection[str]) -> None:
    """Delete those of the images that nothing refers to or claims, file and row.

    Call it when the deletion of what referred to them is committed.
    """
    ordered = iter(sorted(set(hashes)))
    while some := list(islice(ordered, RELEASED_AT_ONCE)):
        with sessions.begin() as session:
            _remove_unneeded(Scope(session, tenant_id), blobs, some)


def _remove_unneeded(scope: Scope, blobs: BlobStore, hashes: Sequence[str]) -> None:
    of_these = (scope.owns(Image), among(Image.sha256, hashes))
    locked = select(Image.sha256).where(*of_these).order_by(Image.sha256).with_for_update()
    found = scope.session.scalars(locked).all()
    # A statement of its own: it sees what was committed while the lock was waited for.
    unneeded = delete(Image).where(scope.owns(Image), among(Image.sha256, found), ~_is_needed())
    for sha256 in scope.session.scalars(unneeded.returning(Image.sha256)).all():
        blobs.delete(scope.tenant_id, sha256)


def _is_needed() -> ColumnElement[bool]:
    """The SQL condition that something refers to an image or claims it."""
    holders = (DatasetImage, CollectionImage, ImageClaim)
    return or_(*(exists().where(and_(h.tenant_id == Image.tenant_id, h.sha256 == Image.sha256)) for h in holders))


def remove_some(scope: Scope, blobs: BlobStore, limit: int) -> int:
    """Delete up to `limit` images of a deleted tenant, whatever refers to them; returns how many."""
    some = scope.select(Image).order_by(Image.sha256).limit(limit).with_for_update()
    found = [image.sha256 for image in scope.session.scalars(some)]
    for sha256 in found:
        blobs.delete(scope.tenant_id, sha256)
    scope.session.execute(delete(Image).where(scope.owns(Image), among(Image.sha256, found)))
    return len(found)


class Orphans:
    """Releases the images that crashed uploads and deletions left, a few in each sweep.

    It also finds those of datasets and collections that a replica of an earlier release deletes.
    """

    def __init__(self) -> None:
        self._last = ("", "")

    def sweep(self, sessions: sessionmaker[Session], blobs: BlobStore) -> None:
        """Delete old claims and check the next images. Safe to repeat, and to run in several workers at once."""
        with sessions.begin() as session:
            old = select(ImageClaim.tenant_id, ImageClaim.sha256, ImageClaim.upload_id)
            is_old = ImageClaim.created_at < func.clock_timestamp() - timedelta(seconds=ORPHAN_AGE_SECONDS)
            old = old.where(is_old).limit(LOOKED_AT_ONCE)
            key = tuple_(ImageClaim.tenant_id, ImageClaim.sha256, ImageClaim.upload_id)
            dropped = delete(ImageClaim).where(key.in_(old)).returning(ImageClaim.tenant_id, ImageClaim.sha256)
            freed = {(tenant_id, sha256) for tenant_id, sha256 in session.execute(dropped)}
        _release_all(sessions, blobs, freed | self._look(sessions))

    def _look(self, sessions: sessionmaker[Session]) -> set[tuple[str, str]]:
        """Those of the next images that seem to have no references; `release` decides."""
        key = tuple_(Image.tenant_id, Image.sha256)
        with sessions() as session:
            following = select(Image.tenant_id, Image.sha256).where(key > self._last)
            following = following.order_by(Image.tenant_id, Image.sha256).limit(LOOKED_AT_ONCE)
            seen = [(tenant_id, sha256) for tenant_id, sha256 in session.execute(following)]
            self._last = seen[-1] if len(seen) == LOOKED_AT_ONCE else ("", "")
            if not seen:
                return set()
            within = (key >= seen[0], key <= seen[-1], ~_is_needed())
            unneeded = session.execute(select(Image.tenant_id, Image.sha256).where(*within))
            return {(tenant_id, sha256) for tenant_id, sha256 in unneeded}


def _release_all(sessions: sessionmaker[Session], blobs: BlobStore, found: Collection[tuple[str, str]]) -> None:
    for tenant_id, of_tenant in groupby(sorted(found), key=lambda pair: pair[0]):
        release(sessions, blobs, tenant_id, [sha256 for _, sha256 in of_tenant])
