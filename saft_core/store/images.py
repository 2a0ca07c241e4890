"""The one place where image files come and go: claimed by an upload, kept by a dataset or collection, released.

Whatever dies whenever, no file is without a row in `images`, and none that a dataset or collection refers to is gone:

- An upload commits the row of an image, with its claim on it, before it writes the file. Its last transaction writes
  who refers to the image and drops the claim (`keep`).
- Whoever removes a dataset, a collection or an image of one commits that first, and then calls `release`: it locks the
  rows, sees in a new statement which of them nobody refers to or claims, removes their files, and then the rows. A
  claim waits for that lock, so an upload looks for the file either before (and its claim is seen) or when it is gone.
- What is left behind by a process that died is found by `Orphans`.

Rows are locked in the order of their hashes, after those of datasets, collections and their images.
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
"""No upload takes so long: what is still claimed then belongs to one that died."""
CLAIMED_AT_ONCE = 128
"""Images of one transaction of an upload: each for itself, it would wait for the disk of the database as often."""
CLAIMED_BYTES = 8 << 20
"""So much of an upload at most waits in memory for that transaction."""
RELEASED_AT_ONCE = 1_000
"""Images that one transaction removes: it holds up uploads of the same ones."""
LOOKED_AT_ONCE = 1_000
"""Images that one sweep looks at, and claims that it drops."""

Write = Callable[[str, bytes], None]
Save = Callable[[str, bytes, str], None]
"""Takes the hexadecimal SHA-256, the bytes and the media type."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewImage:
    """An image file that can be read."""

    sha256: str
    media_type: str
    size_bytes: int


class Upload:
    """The images of one upload under way: made by `uploading`."""

    def __init__(self, sessions: sessionmaker[Session], blobs: BlobStore, tenant_id: str) -> None:
        self.id = new_id("up")
        self._sessions, self._blobs, self._tenant_id = sessions, blobs, tenant_id
        self._waiting: list[tuple[NewImage, bytes]] = []
        self.claimed: set[str] = set()

    @contextmanager
    def saving(self) -> Iterator[Save]:
        """Store many images: gives `save(sha256, data, media_type)`, and all are written when the block ends.

        Raises what the first write that failed raised, when the block ends, and Unauthorized when the tenant is gone.
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
        """Drop the claims that are left, and the images that nobody else needs."""
        with left_to_the_sweeper():
            with self._sessions.begin() as session:
                scope = Scope(session, self._tenant_id)
                of_upload = (scope.owns(ImageClaim), ImageClaim.upload_id == self.id)
                dropped = delete(ImageClaim).where(*of_upload, among(ImageClaim.sha256, sorted(self.claimed)))
                left = session.scalars(dropped.returning(ImageClaim.sha256)).all()
            release(self._sessions, self._blobs, self._tenant_id, left)


@contextmanager
def left_to_the_sweeper() -> Iterator[None]:
    """What fails of a removal costs a line in the log, and no answer: `Orphans` finds what is left."""
    try:
        yield
    except (SQLAlchemyError, OSError):
        logger.warning("images that nobody needs are left to the sweeper", exc_info=True)


@contextmanager
def uploading(sessions: sessionmaker[Session], blobs: BlobStore, tenant_id: str) -> Iterator[Upload]:
    """An upload: within the block its images stay, behind it those that it did not `keep` are nobody's."""
    upload = Upload(sessions, blobs, tenant_id)
    try:
        yield upload
    finally:
        if upload.claimed:
            upload.end()


def claim(scope: Scope, upload_id: str, found: Sequence[NewImage]) -> None:
    """Say that an upload needs these images. Commit before any file is written. Raises Unauthorized."""
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
    """Make the images that an upload claimed the tenant's, in the transaction that writes who refers to them.

    Call it once, before these rows are written: other uploads lock in the same order. Those that the tenant had not
    count against its quota.

    Raises QuotaExceeded, and Conflict when a claim was dropped because the upload took ORPHAN_AGE_SECONDS.
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
    """Bytes of these images, each counted once."""
    query = select(func.coalesce(func.sum(Image.size_bytes), 0))
    return int(scope.session.scalar(query.where(scope.owns(Image), among(Image.sha256, sorted(set(hashes))))) or 0)


def release(sessions: sessionmaker[Session], blobs: BlobStore, tenant_id: str, hashes: Collection[str]) -> None:
    """Remove those of the images that nobody refers to or claims any more, file and row.

    Call it when what referred to them has been removed and committed.
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
    """The condition that somebody refers to an image, or claims it."""
    holders = (DatasetImage, CollectionImage, ImageClaim)
    return or_(*(exists().where(and_(h.tenant_id == Image.tenant_id, h.sha256 == Image.sha256)) for h in holders))


def remove_some(scope: Scope, blobs: BlobStore, limit: int) -> int:
    """Remove some images of a tenant that is being removed, whoever refers to them; how many."""
    some = scope.select(Image).order_by(Image.sha256).limit(limit).with_for_update()
    found = [image.sha256 for image in scope.session.scalars(some)]
    for sha256 in found:
        blobs.delete(scope.tenant_id, sha256)
    scope.session.execute(delete(Image).where(scope.owns(Image), among(Image.sha256, found)))
    return len(found)


class Orphans:
    """Clears, a few a sweep, the images that nobody needs: those of uploads that died, and of what died removing them.

    Also those of datasets and collections that a version before removes, which knows nothing of `images`.
    """

    def __init__(self) -> None:
        self._last = ("", "")

    def sweep(self, sessions: sessionmaker[Session], blobs: BlobStore) -> None:
        """Drop old claims, and go on looking through the images. Safe to do twice and by several workers at once."""
        with sessions.begin() as session:
            old = select(ImageClaim.tenant_id, ImageClaim.sha256, ImageClaim.upload_id)
            is_old = ImageClaim.created_at < func.clock_timestamp() - timedelta(seconds=ORPHAN_AGE_SECONDS)
            old = old.where(is_old).limit(LOOKED_AT_ONCE)
            key = tuple_(ImageClaim.tenant_id, ImageClaim.sha256, ImageClaim.upload_id)
            dropped = delete(ImageClaim).where(key.in_(old)).returning(ImageClaim.tenant_id, ImageClaim.sha256)
            freed = {(tenant_id, sha256) for tenant_id, sha256 in session.execute(dropped)}
        _release_all(sessions, blobs, freed | self._look(sessions))

    def _look(self, sessions: sessionmaker[Session]) -> set[tuple[str, str]]:
        """Those of the next images that seem to be nobody's; `release` decides."""
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
