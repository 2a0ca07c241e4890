"""Files that cost a decoder far more than they weigh. Uncut they would take gigabytes, or minutes to hours."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from PIL import Image

from saft_core.data import containers
from saft_core.data.containers import MAX_BLOCKS, MAX_JPEG_SCANS, cut_gif, cut_jpeg, cut_png, cut_webp
from saft_core.data.images import decode_image
from saft_core.data.tiff import MAX_FIELD_VALUES, cut_tiff, first_directory, orientation
from saft_core.errors import InvalidImage
from tests.saft_core.data.uploads import LIMITS, encoded, picture, png, tiff

PIXEL_FIELDS = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 1)]


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


def code_of(data: bytes) -> str:
    with pytest.raises(InvalidImage) as caught:
        decode_image(data, LIMITS)
    return caught.value.error_code


def repeating_directory(values: int, size: int) -> bytes:
    """A TIFF of one grey pixel with many private fields that all claim the same `size` bytes."""
    return tiff([*PIXEL_FIELDS, *((40_000 + tag, 7, size, 8) for tag in range(values))], bytes(size))


def jpeg_with(*segments: bytes) -> bytes:
    plain = encoded(picture(), "JPEG")
    return plain[:2] + b"".join(segments) + plain[2:]


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def test_a_tiff_whose_fields_all_claim_the_same_bytes() -> None:
    data = repeating_directory(300, 4 << 20)
    with cheaply(5, 32 << 20):
        assert decode_image(data, LIMITS).size == (1, 1)


def test_a_jpeg_whose_exif_fields_all_claim_the_same_bytes() -> None:
    exif = repeating_directory(300, 4 << 20)
    pieces = [segment(0xE1, b"Exif\0\0" + exif[at : at + 60_000]) for at in range(0, len(exif), 60_000)]
    with cheaply(5, 32 << 20):
        assert decode_image(jpeg_with(*pieces), LIMITS).size == (8, 6)


def test_a_tiff_whose_needed_fields_claim_more_than_the_file() -> None:
    fields = [*PIXEL_FIELDS, (320, 3, 60_000, 8), (324, 4, 60_000, 8), (325, 4, 60_000, 8)]
    assert code_of(tiff(fields, bytes(300_000))) == "damaged_image"


def test_a_tiff_of_too_many_strips() -> None:
    count = MAX_FIELD_VALUES + 1
    fields = [field for field in PIXEL_FIELDS if field[0] != 273]
    assert code_of(tiff([*fields, (273, 4, count, 8)], bytes(4 * count))) == "damaged_image"


def test_a_tiff_tile_that_unpacks_to_a_gigabyte() -> None:
    tile = zlib.compress(bytes(1000))
    fields = [*PIXEL_FIELDS[:4], (259, 3, 1, 8), (322, 4, 1, 32_768), (323, 4, 1, 32_768), (324, 4, 1, 8)]
    assert code_of(tiff([*fields, (325, 4, 1, len(tile))], tile)) == "too_many_pixels"


def test_a_tiled_tiff_of_honest_size_is_taken() -> None:
    tile = zlib.compress(bytes([77]) * 256)
    fields = [
        *PIXEL_FIELDS[:4],
        (259, 3, 1, 8),
        (322, 4, 1, 16),
        (323, 4, 1, 16),
        (324, 4, 1, 8),
        (325, 4, 1, len(tile)),
    ]
    assert decode_image(tiff(fields, tile), LIMITS).getpixel((0, 0)) == (77, 77, 77)


def test_a_tiff_whose_directories_run_in_a_circle() -> None:
    data = tiff(PIXEL_FIELDS, b"\x55")
    (start,) = struct.unpack_from("<L", data, 4)
    assert decode_image(data[:-4] + struct.pack("<L", start), LIMITS).getpixel((0, 0)) == (85, 85, 85)


def test_the_tiff_directory_keeps_what_the_picture_needs_and_nothing_else() -> None:
    data = tiff([*PIXEL_FIELDS, (34665, 4, 1, 8), (274, 3, 1, 6), (700, 7, 1, 0)], b"\x55")
    cut = cut_tiff(data, 100)
    assert [field.tag for field in first_directory(cut)] == [256, 257, 258, 262, 273, 279]
    assert len(cut) == len(data)
    assert (orientation(data), orientation(cut)) == (6, 1)


def test_of_a_field_given_twice_the_first_counts() -> None:
    data = tiff([(256, 3, 1, 1), (256, 3, 1, 30_000), *PIXEL_FIELDS[1:]], b"\x55")
    assert decode_image(data, LIMITS).size == (1, 1)


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


def test_a_jpeg_of_too_many_scans() -> None:
    data = encoded(picture(size=(64, 64)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    for repeats, taken in ((MAX_JPEG_SCANS // 2, True), (MAX_JPEG_SCANS, False)):
        long = data[:-2] + data[last:-2] * repeats + data[-2:]
        if taken:
            assert decode_image(long, LIMITS).size == (64, 64)
        else:
            assert code_of(long) == "damaged_image"


def test_scans_hidden_behind_an_end_mark_inside_a_comment_are_counted() -> None:
    data = encoded(picture(size=(64, 64)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    hidden = segment(0xFE, b"\xff\xd9") + data[last:-2] * MAX_JPEG_SCANS
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


def test_too_many_blocks_of_any_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_BLOCKS", 50)
    gif = encoded(picture(), "GIF")
    at = gif.index(b",\0\0\0\0")
    data = png()
    webp = encoded(picture(), "WEBP")
    many = {
        "jpeg": jpeg_with(segment(0xFE, b"") * 60),
        "gif": gif[:at] + b"!\xfe\0" * 60 + gif[at:],
        "png": data[:33] + (struct.pack(">I", 0) + b"teSt" + struct.pack(">I", zlib.crc32(b"teSt"))) * 60 + data[33:],
        "webp": webp + b"TEST\0\0\0\0" * 60,
    }
    for kind, hostile in many.items():
        with pytest.raises(InvalidImage, match="more than 50") as caught:
            decode_image(hostile, LIMITS)
        assert caught.value.error_code == "damaged_image", kind
    assert MAX_BLOCKS > 50


def test_a_gif_of_endless_comments() -> None:
    data = encoded(picture(), "GIF")
    at = data.index(b",\0\0\0\0")
    comments = b"!\xfe" + (b"\xff" + b"x" * 255) * (8 << 12) + b"\0"
    with cheaply(2, 32 << 20):
        assert decode_image(data[:at] + comments + data[at:], LIMITS).size == (8, 6)


def test_the_cut_gif_keeps_the_control_block_of_its_first_frame() -> None:
    image = picture(1, mode="P")
    image.putpalette([0, 0, 0, 5, 5, 5])
    data = encoded(image, "GIF", transparency=1, comment=b"hello", loop=3, duration=100)
    cut = cut_gif(data)
    assert b"hello" in data
    assert b"hello" not in cut.data
    assert b"NETSCAPE" not in cut.data
    assert cut.canvas == (8, 6)
    with Image.open(io.BytesIO(cut.data)) as reopened:
        assert "transparency" in reopened.info


def test_a_gif_without_a_frame_is_damaged() -> None:
    assert code_of(b"GIF89a\1\0\1\0\0\0\0;") == "damaged_image"
    assert code_of(b"GIF89a\1\0\1\0\0\0\0!\xfe\xff") == "damaged_image"


def test_canvas_of_webp_in_its_three_forms() -> None:
    lossy, lossless = encoded(picture(), "WEBP"), encoded(picture(), "WEBP", lossless=True)
    extended = encoded(picture((1, 2, 3, 4), mode="RGBA"), "WEBP", exif=tiff([(274, 3, 1, 6)]))
    assert [data[12:16] for data in (lossy, lossless, extended)] == [b"VP8 ", b"VP8L", b"VP8X"]
    assert [cut_webp(data).canvas for data in (lossy, lossless, extended)] == [(8, 6)] * 3
    assert orientation(cut_webp(extended).exif) == 6


def test_webp_chunks_of_odd_size_are_padded() -> None:
    data = encoded(picture(), "WEBP", icc_profile=b"odd", exif=tiff([(274, 3, 1, 6)]))
    assert b"ICCP\3\0\0\0odd\0" in data
    assert orientation(cut_webp(data).exif) == 6


def test_png_exif_behind_the_pixels_is_found() -> None:
    data = png()
    body = b"eXIf" + tiff([(274, 3, 1, 6)])
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    assert orientation(cut_png(data[:-12] + chunk + data[-12:]).exif) == 6
