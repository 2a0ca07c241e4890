"""Real image and zip bytes for the tests of saft_core/data, honest ones and hostile ones."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from saft_core.data.entries import Entry
from saft_core.data.images import decode_image
from saft_core.data.limits import DataLimits
from saft_core.errors import InvalidImage

LIMITS = DataLimits(
    max_archive_expanded_bytes=64 << 20,
    max_archive_ratio=200,
    max_dataset_images=10_000,
    max_dataset_classes=1_000,
    min_class_images=2,
    max_label_characters=100,
    max_image_bytes=32 << 20,
    max_image_pixels=50_000_000,
    max_labels_bytes=1 << 20,
)

Colour = Any
PIXEL_FIELDS = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 1)]
"""Of a TIFF of one grey pixel, which lies at byte 8."""


def picture(colour: Colour = (200, 30, 30), size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(number: int = 0) -> bytes:
    """A small PNG file; another number gives other bytes."""
    return encoded(picture((number % 256, number // 256 % 256, number // 65536), size=(2, 2)))


def entry(path: str, data: bytes) -> Entry:
    return Entry(path, lambda: data)


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=compression)
    return buffer.getvalue()


def patched(data: bytes, position: int, layout: str, value: int) -> bytes:
    """The bytes with one number in them replaced."""
    return data[:position] + struct.pack(layout, value) + data[position + struct.calcsize(layout) :]


def tiff(fields: list[tuple[int, int, int, int]], rest: bytes = b"", order: str = "<") -> bytes:
    """A TIFF file of (tag, type, count, value or offset); `rest` starts at byte 8, the directory lies behind it."""
    start = 8 + len(rest) + len(rest) % 2
    directory = struct.pack(order + "H", len(fields))
    for tag, kind, count, value in fields:
        inline = struct.pack(order + "HH", value, 0) if kind == 3 and count == 1 else struct.pack(order + "L", value)
        directory += struct.pack(order + "HHL", tag, kind, count) + inline
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "L", start) + rest.ljust(start - 8, b"\0") + directory + bytes(4)


def repeating_directory(values: int, size: int) -> bytes:
    """A TIFF of one grey pixel with many private fields that all claim the same `size` bytes."""
    return tiff([*PIXEL_FIELDS, *((40_000 + tag, 7, size, 8) for tag in range(values))], bytes(size))


@contextmanager
def cheaply(seconds: float, extra_bytes: int) -> Iterator[None]:
    """Fail if the block computes for longer, or allocates more through Python, than it may."""
    tracemalloc.start()
    started = time.process_time()
    try:
        yield
        assert time.process_time() - started < seconds
        assert tracemalloc.get_traced_memory()[1] < extra_bytes
    finally:
        tracemalloc.stop()


def code_of(data: bytes, **limits: int) -> str:
    """The code of the error that decoding the file ends in."""
    with pytest.raises(InvalidImage) as caught:
        decode_image(data, replace(LIMITS, **limits))
    assert caught.value.message.endswith(".")
    return caught.value.error_code
