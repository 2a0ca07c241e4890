"""Atomic writes of small private files: after a crash a file is complete or does not exist."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saft_core.store.local_blobs import sync_folder


@contextmanager
def written_aside(path: Path, text: str) -> Iterator[Path]:
    """A durable temporary file beside `path`, readable by this user only, to be linked or renamed."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        aside = Path(file.name)
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            yield aside
            sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)
