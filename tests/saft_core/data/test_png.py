from __future__ import annotations

import struct
import zlib

import pytest

from saft_core.data import png as png_files
from saft_core.data.images import decode_image
from saft_core.data.png import cut_png
from saft_core.errors import InvalidImage
from tests.saft_core.data.uploads import LIMITS, encoded, picture, png, tiff


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_too_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_files, "MAX_CHUNKS", 50)
    data = png()
    with pytest.raises(InvalidImage, match="more than 50 chunks") as caught:
        decode_image(data[:33] + chunk(b"teSt") * 60 + data[33:], LIMITS)
    assert caught.value.error_code == "damaged_image"


def test_exif_behind_the_pixels_is_found() -> None:
    data = encoded(picture())
    turned = data[:-12] + chunk(b"eXIf", tiff([(274, 3, 1, 6)])) + data[-12:]
    assert [decode_image(one, LIMITS).size for one in (data, turned)] == [(8, 6), (6, 8)]


def test_the_profile_is_taken_out_and_the_rest_stays() -> None:
    data = encoded(picture())
    cut = cut_png(data[:33] + chunk(b"iCCP", b"name\0\0" + zlib.compress(b"profile")) + data[33:])
    assert (cut.data, cut.profile) == (data, b"profile")
