"""Small private files that are complete or not there, whenever the process or the machine dies."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saft_core.store.local_blobs import sync_folder


@contextmanager
def written_aside(path: Path, text: str) -> Iterator[Path]:
    """A complete file beside `path` that only we may read, to be linked or renamed; removed if it is still there."""
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
