"""Uploads with labels files for the tests of the formats. Images have no bytes: a format never reads them."""

from __future__ import annotations

from typing import Any

import pytest

from saft_core.data.entries import Entry
from saft_core.data.label_formats.table import labelled
from saft_core.data.label_formats.upload import Labelled, Upload
from saft_core.data.limits import DataLimits
from saft_core.errors import InvalidDataset
from tests.saft_core.data.uploads import LIMITS, entry


def upload(images: str, limits: DataLimits = LIMITS, **labels_files: str | bytes) -> Upload:
    """Images at these paths, parted by blanks, and labels files by path: `/` is written `__` and `.` is `_DOT_`."""
    files = [Entry(path, never_read) for path in images.split()]
    for name, content in labels_files.items():
        data = content.encode() if isinstance(content, str) else content
        files.append(entry(name.replace("__", "/").replace("_DOT_", "."), data))
    return Upload(tuple(files), (), limits)


def never_read() -> bytes:
    raise AssertionError("an image was read")


def labels(found: Labelled) -> dict[str, str]:
    """Labels by path."""
    return {placed.entry.path: placed.label for placed in found.placed}


def to_test(found: Labelled) -> list[str]:
    """The paths of what is to be tested on."""
    return [placed.entry.path for placed in found.placed if placed.test]


def codes(found: Labelled) -> dict[str, str]:
    """Codes by path, of what has no label."""
    assert all(rejection.reason.endswith(".") for rejection in found.rejected)
    return {rejection.path: rejection.code for rejection in found.rejected}


def read(*args: Any, **options: Any) -> Labelled:
    """What the first format that fits makes of `upload(...)`."""
    return labelled(upload(*args, **options))


def refused(*args: Any, code: str = "invalid_labels_file", **options: Any) -> str:
    """The message of the error that `upload(...)` is refused with."""
    with pytest.raises(InvalidDataset) as caught:
        labelled(upload(*args, **options))
    assert caught.value.error_code == code, caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value.message
