"""Files that would cost libjpeg or Pillow far more than they weigh: gigabytes, or minutes to hours."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from saft_core.data import jpeg
from saft_core.data.images import decode_image
from saft_core.data.jpeg import MAX_SCANS, cut_jpeg
from saft_core.errors import InvalidImage
from tests.saft_core.data.uploads import LIMITS, cheaply, code_of, encoded, picture, repeating_directory


def jpeg_with(*segments: bytes) -> bytes:
    plain = encoded(picture(), "JPEG")
    return plain[:2] + b"".join(segments) + plain[2:]


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def test_a_jpeg_whose_exif_fields_all_claim_the_same_bytes() -> None:
    exif = repeating_directory(300, 4 << 20)
    pieces = [segment(0xE1, b"Exif\0\0" + exif[at : at + 60_000]) for at in range(0, len(exif), 60_000)]
    with cheaply(5, 32 << 20):
        assert decode_image(jpeg_with(*pieces), LIMITS).size == (8, 6)


def test_a_jpeg_of_too_many_scans() -> None:
    data = encoded(picture(size=(64, 64)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    for repeats, taken in ((MAX_SCANS // 2, True), (MAX_SCANS, False)):
        long = data[:-2] + data[last:-2] * repeats + data[-2:]
        if taken:
            assert decode_image(long, LIMITS).size == (64, 64)
        else:
            assert code_of(long) == "damaged_image"


def test_scans_hidden_behind_an_end_mark_inside_a_comment_are_counted() -> None:
    data = encoded(picture(size=(64, 64)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    hidden = segment(0xFE, b"\xff\xd9") + data[last:-2] * MAX_SCANS
    assert code_of(data[:-2] + hidden + data[-2:]) == "damaged_image"


def test_a_comment_full_of_scan_marks_is_no_scan() -> None:
    data = jpeg_with(segment(0xFE, b"\xff\xda" * 1000), segment(0xE2, b"\xff\xda\xff\xd9" * 1000))
    assert decode_image(data, LIMITS).tobytes() == decode_image(jpeg_with(), LIMITS).tobytes()


def test_the_cut_jpeg_keeps_the_colour_markers_and_drops_the_rest() -> None:
    data = jpeg_with(segment(0xE1, b"Exif\0\0first"), segment(0xE1, b"Exif\0\0second"), segment(0xED, b"x" * 60_000))
    cut = cut_jpeg(data + b"a whole film behind the picture")
    assert cut.data == encoded(picture(), "JPEG")
    assert cut.exif == b"first"
    cmyk = encoded(picture((0, 255, 255, 0), mode="CMYK"), "JPEG")
    assert cut_jpeg(cmyk).data == cmyk


def test_restart_markers_and_fill_bytes_are_left_in_place() -> None:
    noise = Image.effect_noise((64, 64), 90).convert("RGB")
    data = encoded(noise, "JPEG", restart_marker_blocks=1)
    assert b"\xff\xd0" in data
    assert cut_jpeg(data).data == data
    filled = data.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1)
    assert decode_image(filled, LIMITS).tobytes() == decode_image(data, LIMITS).tobytes()


def test_a_jpeg_segment_shorter_than_its_length_field() -> None:
    assert code_of(jpeg_with(b"\xff\xfe\0\0")) == "damaged_image"


def test_jpeg_junk_between_segments_costs_little() -> None:
    with cheaply(5, 64 << 20):
        assert decode_image(jpeg_with(segment(0xFE, b""), b"\0" * (8 << 20)), LIMITS).size == (8, 6)


def test_too_many_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "MAX_SEGMENTS", 50)
    with pytest.raises(InvalidImage, match="more than 50 segments") as caught:
        decode_image(jpeg_with(segment(0xFE, b"") * 60), LIMITS)
    assert caught.value.error_code == "damaged_image"
