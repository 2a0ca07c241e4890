"""Free space on the disk of the data folder."""

from __future__ import annotations

import shutil

from saft_core.errors import DiskFull
from saft_core.settings import Settings


def check_free_space(settings: Settings, more_bytes: int = 0) -> None:
    """Raise DiskFull unless `min_free_disk_bytes` and `more_bytes` are free. Creates a missing data folder."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    free, least = shutil.disk_usage(settings.data_dir).free, settings.min_free_disk_bytes + more_bytes
    if free < least:
        raise DiskFull(
            f"the disk has {free:,} bytes free, less than {least:,} ({_named(more_bytes)});"
            " delete what is no longer needed, or tell the operator",
            part="disk",
        )


def _named(more_bytes: int) -> str:
    return f"min_free_disk_bytes, and {more_bytes:,} for this request" if more_bytes else "min_free_disk_bytes"
