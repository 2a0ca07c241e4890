"""The interface of the blob store, which keeps the bytes of image files.

`LocalBlobStore` (local_blobs.py) keeps them in a folder. A store in S3, or another object store, is one more class with
the methods of `BlobStore`, and the setting that chooses it is read in stores.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ImageFile:
    """The key of an image file: its tenant and its SHA-256 in hexadecimal.

    before: the dataset or collection in whose folder an earlier version stored the file. It goes with adoption.py.
    """

    tenant_id: str
    sha256: str
    before: str


class BlobStore(Protocol):
    """Immutable files, each named by its tenant and the SHA-256 of its bytes (64 hexadecimal digits).

    What `put` has returned from is durable: it survives a crash of the process and of the machine.
    """

    def put(self, tenant_id: str, sha256: str, data: bytes) -> None:
        """Write `data` whole or not at all; a blob that exists already is left as it is.

        Raises NotFound when the tenant is removed at the same time.
        """

    def writing(self, tenant_id: str) -> AbstractContextManager[Callable[[str, bytes], None]]:
        """Put many blobs in parallel: yields `save(sha256, data)`; all are durable when the block has ended.

        Raises what the first failed write raised, when the block ends.
        """

    def has(self, tenant_id: str, sha256: str) -> bool:
        """Whether the tenant has the blob."""

    def size(self, file: ImageFile) -> int:
        """The bytes of the blob; 0 when it does not exist."""

    def get(self, file: ImageFile) -> bytes:
        """The content of the blob. Raises NotFound when it does not exist."""

    def delete(self, tenant_id: str, sha256: str) -> None:
        """Delete one blob; one that does not exist is no error."""

    def delete_tenant(self, tenant_id: str) -> None:
        """Delete all blobs of a tenant. What cannot be deleted is named in the log."""

    def tenants(self) -> Iterator[tuple[str, float]]:
        """Each tenant with blobs, and when its set of blobs last changed, in seconds since the epoch."""

    def clear_incoming(self, before: float) -> None:
        """Delete what writes that never ended have left, if it was last changed before that time (since the epoch)."""

    # What earlier versions stored by dataset and collection. A store that they did not know has none of it, and the
    # next version drops these with adoption.py.

    def adopt(self, files: Sequence[ImageFile]) -> list[int]:
        """Make files of earlier versions blobs of their tenant; the size of each in bytes, 0 if it is missing."""

    def delete_before(self, owner_id: str, sha256: str | None = None) -> None:
        """Delete the files that earlier versions stored for a dataset or collection, or one of them."""

    def owners_before(self) -> Iterator[tuple[str, float]]:
        """As `tenants`, the datasets and collections for which earlier versions stored files."""
