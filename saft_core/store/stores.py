"""Where files are kept, as the settings say: the one place that makes the blob store and the checkpoint store."""

from __future__ import annotations

from saft_core.settings import Settings
from saft_core.store.blobs import BlobStore
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.local_blobs import LocalBlobStore


def blob_store(settings: Settings) -> BlobStore:
    """The store of image files."""
    return LocalBlobStore(settings.blob_dir)


def checkpoint_store(settings: Settings) -> CheckpointStore:
    """The store of training checkpoints."""
    return CheckpointStore(settings.checkpoint_dir)
