from __future__ import annotations

import struct

import pytest

from saft_core.data import headers
from saft_core.data.headers import bmp_size, gif_size, heif_size, heif_type, orientation, tiff_size, webp_size
from saft_core.data.images import decode_image
from tests.saft_core.data.uploads import LIMITS, code_of, encoded, picture, tiff


@pytest.mark.parametrize(
    ("exif", "expected"),
    [
        (b"", 1),
        (b"Exif\0\0", 1),
        (b"not an exif block", 1),
        (tiff([(274, 3, 1, 6)]), 6),
        (tiff([(274, 3, 1, 6)], order=">"), 6),
        (b"Exif\0\0" + tiff([(274, 4, 1, 8)]), 8),
        (tiff([(274, 3, 1, 0)]), 1),
        (tiff([(274, 3, 1, 9)]), 1),
        (tiff([(274, 3, 2, 6)]), 1),
        (tiff([(274, 7, 1, 6)]), 1),
        (tiff([(274, 3, 1, 6)])[:-10], 1),
    ],
)
def test_orientation(exif: bytes, expected: int) -> None:
    assert orientation(exif) == expected


def test_the_size_of_a_webp_in_its_three_forms() -> None:
    lossy, lossless = encoded(picture(), "WEBP"), encoded(picture(), "WEBP", lossless=True)
    extended = encoded(picture((1, 2, 3, 4), mode="RGBA"), "WEBP", exif=tiff([(274, 3, 1, 6)]))
    assert [data[12:16] for data in (lossy, lossless, extended)] == [b"VP8 ", b"VP8L", b"VP8X"]
    assert [webp_size(data) for data in (lossy, lossless, extended)] == [(8, 6)] * 3
    assert decode_image(extended, LIMITS).size == (6, 8)


def test_webp_chunks_of_odd_size_are_padded() -> None:
    data = encoded(picture(), "WEBP", icc_profile=b"odd", exif=tiff([(274, 3, 1, 6)]))
    assert b"ICCP\3\0\0\0odd\0" in data
    assert decode_image(data, LIMITS).size == (6, 8)


def test_a_webp_that_begins_with_no_picture_is_damaged() -> None:
    data = encoded(picture(), "WEBP")
    assert code_of(data[:12] + b"TEST\0\0\0\0" + data[12:]) == "damaged_image"


def test_the_sizes_of_the_others() -> None:
    assert gif_size(encoded(picture(), "GIF")) == (8, 6)
    assert bmp_size(encoded(picture(), "BMP")) == (8, 6)
    assert bmp_size(b"BM" + bytes(12) + struct.pack("<LHH", 12, 8, 6)) == (8, 6)
    assert bmp_size(b"BM" + bytes(12) + struct.pack("<Lll", 40, 8, -6)) == (8, 6)
    assert tiff_size(encoded(picture(), "TIFF")) == (8, 6)
    assert tiff_size(tiff([(256, 4, 1, 70_000), (257, 3, 1, 5)], order=">")) == (70_000, 5)


def test_of_a_tiff_field_given_twice_the_first_counts() -> None:
    assert tiff_size(tiff([(256, 3, 1, 1), (256, 3, 1, 30_000), (257, 3, 1, 1)])) == (1, 1)


def test_of_the_sizes_in_a_heif_file_the_largest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [struct.pack(">L4s4xLL", 20, b"ispe", *size) for size in ((64, 64), (4000, 3000), (512, 512))]
    assert heif_size(b"junk".join(boxes)) == (4000, 3000)
    monkeypatch.setattr(headers, "MAX_HEIF_SIZES", 1)
    assert heif_size(b"".join(boxes)) == (64, 64)


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        ([b"heic"], "image/heic"),
        ([b"mif1", b"heic"], "image/heic"),
        ([b"mif1", b"miaf", b"avif"], "image/avif"),
        ([b"avis"], "image/avif"),
        ([b"mif1", b"jpeg"], None),
        ([b"isom", b"mp42"], None),
    ],
)
def test_brands_tell_the_kind(brands: list[bytes], kind: str | None) -> None:
    body = brands[0] + bytes(4) + b"".join(brands[1:])
    head = struct.pack(">L4s", 8 + len(body), b"ftyp") + body
    assert heif_type(head) == heif_type(head + b"heic" * 50) == kind
    if kind is None:
        assert code_of(head) in {"unsupported_format", "not_an_image"}
