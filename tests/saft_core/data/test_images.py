from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, features

from saft_core.data.image_formats import identify
from saft_core.data.images import MAX_ASPECT_RATIO, decode_image, open_image
from saft_core.errors import InvalidImage
from tests.saft_core.data.uploads import LIMITS, code_of, encoded, patched, picture, tiff

FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}

IN_PROCESS = ("JPEG", "PNG", "WEBP")
"""The others are decoded by a process each, which takes a tenth of a second to start."""


def gradient(size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Every pixel differs from its neighbours, so that a file has something to lose."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 10, y * 15, (x * y) % 256], axis=-1).astype(np.uint8))


def png_claiming(width: int, height: int) -> bytes:
    """A tiny PNG file with a header that claims any size; its checksum is right."""
    header = struct.pack(">4sIIBBBBB", b"IHDR", width, height, 8, 2, 0, 0, 0)
    data = encoded(picture())
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


# --- what is taken ---


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_decodes_to_a_loaded_rgb_image(form: str) -> None:
    data = encoded(picture(), form)
    image = decode_image(data, LIMITS)
    assert type(image) is Image.Image
    assert (image.mode, image.size, image.info) == ("RGB", (8, 6), {})
    assert image.getpixel((4, 3)) == pytest.approx((200, 30, 30), abs=6)
    assert identify(data).media_type == FORMATS[form]


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_keep_every_pixel(form: str) -> None:
    assert decode_image(encoded(gradient(), form), LIMITS).tobytes() == gradient().tobytes()


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "group4", "jpeg"])
def test_compressed_tiff(compression: str) -> None:
    image = gradient().convert("1") if compression == "group4" else gradient()
    decoded = decode_image(encoded(image, "TIFF", compression=compression), LIMITS)
    expected = np.asarray(image.convert("RGB"), dtype=int)
    assert np.abs(np.asarray(decoded) - expected).mean() < (8 if compression == "jpeg" else 1e-9)


def test_tiff_of_the_other_byte_order() -> None:
    fields = [(256, 3, 1, 3), (257, 3, 1, 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 3)]
    image = decode_image(tiff(fields, b"\x00\x80\xff", order=">"), LIMITS)
    assert np.asarray(image)[0, :, 0].tolist() == [0, 128, 255]


def test_webp_lossless_and_with_transparency() -> None:
    assert decode_image(encoded(gradient(), "WEBP", lossless=True), LIMITS).tobytes() == gradient().tobytes()
    clear = encoded(picture((0, 0, 0, 0), mode="RGBA"), "WEBP", lossless=True)
    assert decode_image(clear, LIMITS).getpixel((0, 0)) == (255, 255, 255)


def test_the_name_of_the_pil_format_does_not_matter_only_the_bytes_do() -> None:
    assert identify(b"\xff\xd8\xff\xe0 what follows is not looked at").media_type == "image/jpeg"
    with pytest.raises(InvalidImage):
        identify(b"photo.jpg")


# --- how it is turned and coloured ---

TURNED = {1: "ABCD", 2: "BADC", 3: "DCBA", 4: "CDAB", 5: "ACBD", 6: "CADB", 7: "DBCA", 8: "BDAC"}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation_is_applied(form: str, orientation: int) -> None:
    colours = {"A": (255, 0, 0), "B": (0, 255, 0), "C": (0, 0, 255), "D": (255, 255, 255)}
    stored = Image.new("RGB", (64, 32))
    for corner, place in zip("ABCD", [(0, 0), (32, 0), (0, 16), (32, 16)], strict=True):
        stored.paste(colours[corner], (*place, place[0] + 32, place[1] + 16))
    exif = Image.Exif()
    exif[274] = orientation
    image = decode_image(encoded(stored, form, exif=exif), LIMITS)

    wide, high = image.size
    assert (wide, high) == ((64, 32) if orientation < 5 else (32, 64))
    seen = ""
    for x, y in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]:
        pixel = np.asarray(image.getpixel((int(x * wide), int(y * high))), dtype=int)
        seen += min(colours, key=lambda corner: int(np.abs(pixel - colours[corner]).sum()))
    assert seen == TURNED[orientation]
    assert image.getexif().get(274) is None


def test_a_broken_exif_block_does_not_cost_the_picture() -> None:
    image = decode_image(encoded(gradient(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), LIMITS)
    assert image.size == (24, 16)


def test_cmyk_jpeg_shows_its_colours() -> None:
    red = decode_image(encoded(picture((0, 255, 255, 0), mode="CMYK"), "JPEG", quality=95), LIMITS)
    assert red.getpixel((4, 3)) == pytest.approx((255, 0, 0), abs=12)


def test_cmyk_tiff_shows_its_colours() -> None:
    blue = decode_image(encoded(picture((255, 255, 0, 0), mode="CMYK"), "TIFF"), LIMITS)
    assert blue.getpixel((4, 3)) == pytest.approx((0, 0, 255), abs=12)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(form: str) -> None:
    ramp = np.array([[0, 256, 16384, 32768, 65535]], dtype=np.uint16)
    image = decode_image(encoded(Image.fromarray(ramp), form), LIMITS)
    assert np.asarray(image)[0, :, 0].tolist() == [0, 1, 64, 128, 255]


def test_sixteen_bit_grey_tiff_of_the_other_byte_order_and_inverted() -> None:
    fields = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 16), (273, 4, 1, 8), (279, 4, 1, 4)]
    big = tiff([*fields, (262, 3, 1, 1)], b"\x00\x00\xc0\x00", order=">")
    assert np.asarray(decode_image(big, LIMITS))[0, :, 0].tolist() == [0, 191]
    inverted = tiff([*fields, (262, 3, 1, 0)], b"\x00\x00\x00\xc0")
    assert np.asarray(decode_image(inverted, LIMITS))[0, :, 0].tolist() == [255, 64]


def test_twelve_bit_grey_tiff() -> None:
    fields = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 12), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 3)]
    image = decode_image(tiff(fields, b"\xff\xf8\x00"), LIMITS)
    assert np.asarray(image)[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize(
    ("values", "greys"),
    [
        (np.array([[0, 128, 255]], dtype=np.int32), [0, 128, 255]),
        (np.array([[0, 32768, 65535]], dtype=np.int32), [0, 128, 255]),
        (np.array([[-1000, 0, 1000]], dtype=np.int32), [0, 128, 255]),
        (np.array([[-(2**31), 0, 2**31 - 1]], dtype=np.int32), [0, 128, 255]),
        (np.array([[7, 7, 7]], dtype=np.int32), [7, 7, 7]),
        (np.array([[-7, -7, -7]], dtype=np.int32), [0, 0, 0]),
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], dtype=np.float32), [0, 100, 255]),
        (np.array([[-3e38, 0.0, 3e38]], dtype=np.float32), [0, 128, 255]),
        (np.array([[np.nan, 1.0, np.inf]], dtype=np.float32), [0, 255, 0]),
    ],
)
def test_integer_and_float_greys_get_a_full_scale_that_holds_them(
    values: np.ndarray[Any, Any], greys: list[int]
) -> None:
    image = decode_image(encoded(Image.fromarray(values), "TIFF"), LIMITS)
    assert np.asarray(image)[0, :, 0].tolist() == greys


def test_lab_colours() -> None:
    image = decode_image(encoded(Image.frombytes("LAB", (2, 1), bytes([255, 0, 0, 0, 0, 0])), "TIFF"), LIMITS)
    assert image.getpixel((0, 0)) == pytest.approx((255, 255, 255), abs=4)
    assert image.getpixel((1, 0)) == pytest.approx((0, 0, 0), abs=4)


def test_palette() -> None:
    image = picture(3, mode="P")
    image.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2, 10, 200, 30])
    for form in ("PNG", "GIF", "BMP", "TIFF"):
        assert decode_image(encoded(image, form), LIMITS).getpixel((4, 3)) == (10, 200, 30)


def test_one_bit() -> None:
    for form in ("PNG", "BMP", "TIFF", "GIF"):
        image = picture(0, mode="1")
        image.putpixel((1, 1), 1)
        decoded = decode_image(encoded(image, form), LIMITS)
        assert [decoded.getpixel(at) for at in ((0, 0), (1, 1))] == [(0, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (picture((255, 0, 0, 0), mode="RGBA"), {}, (255, 255, 255)),
        (picture((255, 0, 0, 128), mode="RGBA"), {}, (255, 127, 127)),
        (picture((255, 0, 0, 255), mode="RGBA"), {}, (255, 0, 0)),
        (picture((0, 0), mode="LA"), {}, (255, 255, 255)),
        (picture((0, 255), mode="LA"), {}, (0, 0, 0)),
        (picture(1, mode="P"), {"transparency": 1}, (255, 255, 255)),
        (picture(1, mode="P"), {"transparency": bytes([255, 0])}, (255, 255, 255)),
        (picture(0, mode="L"), {"transparency": 0}, (255, 255, 255)),
        (picture((9, 8, 7)), {"transparency": (9, 8, 7)}, (255, 255, 255)),
        (picture((9, 8, 7)), {"transparency": (9, 8, 6)}, (9, 8, 7)),
        (Image.fromarray(np.full((2, 2), 1000, np.uint16)), {"transparency": 1000}, (255, 255, 255)),
    ],
)
def test_transparency_lies_on_white(image: Image.Image, options: dict[str, Any], expected: tuple[int, ...]) -> None:
    if image.mode == "P":
        image.putpalette([0, 0, 0, 5, 5, 5])
    assert decode_image(encoded(image, "PNG", **options), LIMITS).getpixel((1, 1)) == expected


def test_transparent_gif_lies_on_white() -> None:
    image = picture(1, mode="P")
    image.putpalette([0, 0, 0, 5, 5, 5])
    assert decode_image(encoded(image, "GIF", transparency=1), LIMITS).getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(form: str) -> None:
    frames = [picture((250, 0, 0)), picture((0, 250, 0)), picture((0, 0, 250))]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert decode_image(data, LIMITS).getpixel((4, 3)) == pytest.approx((250, 0, 0), abs=6)


def test_a_picture_behind_the_picture_is_not_read() -> None:
    """Phones append depth maps and videos to a JPEG file."""
    assert decode_image(encoded(gradient(), "JPEG") + b"\xff\xda" * 1000, LIMITS).size == (24, 16)


def test_progressive_jpeg() -> None:
    plain = decode_image(encoded(gradient(), "JPEG", quality=95), LIMITS)
    progressive = decode_image(encoded(gradient(), "JPEG", quality=95, progressive=True), LIMITS)
    assert plain.tobytes() == progressive.tobytes()


# --- what is refused ---


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"hello", "not_an_image"),
        (b"BMW and Mercedes are brands of cars, and this is a text file", "not_an_image"),
        (b"RIFF\x10\0\0\0WAVEfmt 1234", "not_an_image"),
        (b"MZ\x90\0", "not_an_image"),
        (b"PK\3\4", "not_an_image"),
        (b"\xff\xd8", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (b"%PDF-1.7", "unsupported_format"),
        (b"II+\0\x08\0\0\0", "unsupported_format"),
    ],
)
def test_files_that_are_no_accepted_images(data: bytes, code: str) -> None:
    assert code_of(data) == code
    with pytest.raises(InvalidImage) as caught:
        identify(data)
    assert caught.value.error_code == code


def test_the_message_names_the_format_that_is_not_taken() -> None:
    with pytest.raises(InvalidImage, match=r"JPEG XL files are not taken\. Save it as JPEG"):
        decode_image(b"\xff\x0a" + bytes(20), LIMITS)


def test_formats_that_pil_reads_but_nobody_asked_for_are_refused() -> None:
    for form in ("ICO", "PPM", "TGA", "PCX", "SGI", "EPS", "DDS", "PDF"):
        assert code_of(encoded(picture(), form)) in {"not_an_image", "unsupported_format"}


@pytest.mark.parametrize("form", FORMATS)
def test_a_limit_on_bytes(form: str) -> None:
    data = encoded(picture(), form)
    assert code_of(data, max_image_bytes=len(data) - 1) == "image_too_large"
    assert decode_image(data, replace(LIMITS, max_image_bytes=len(data))).size == (8, 6)


@pytest.mark.parametrize("form", FORMATS)
def test_a_limit_on_pixels(form: str) -> None:
    data = encoded(picture(), form)
    assert code_of(data, max_image_pixels=47) == "too_many_pixels"
    assert decode_image(data, replace(LIMITS, max_image_pixels=48)).size == (8, 6)


def test_the_message_names_size_and_limit() -> None:
    with pytest.raises(InvalidImage, match=r"8 x 6 pixels; at most 47 .*max_image_pixels"):
        decode_image(encoded(picture()), replace(LIMITS, max_image_pixels=47))


@pytest.mark.parametrize(
    "data",
    [
        png_claiming(100_000, 100_000),
        png_claiming(2**31 - 1, 2**31 - 1),
        patched(encoded(picture(), "GIF"), 6, "<I", 0xFFFFFFFF),
        patched(encoded(picture(), "BMP"), 18, "<Q", (60_000 << 32) | 60_000),
        tiff([(256, 4, 1, 60_000), (257, 4, 1, 60_000), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8)], bytes(8)),
        b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(8),
    ],
    ids=["png", "largest png", "gif", "bmp", "tiff", "webp"],
)
def test_huge_dimensions_in_a_tiny_file(data: bytes) -> None:
    assert len(data) < 400
    assert code_of(data) == "too_many_pixels"


def test_huge_dimensions_in_a_jpeg_header() -> None:
    data = encoded(picture(), "JPEG")
    frame = data.index(b"\xff\xc0")
    assert code_of(patched(data, frame + 5, ">I", 0xFFFFFFFF)) == "too_many_pixels"


def test_a_gif_frame_larger_than_the_screen() -> None:
    data = encoded(picture(), "GIF")
    frame = data.index(b",\0\0\0\0")
    assert code_of(patched(data, frame + 5, "<I", 0xFFFFFFFF)) == "too_many_pixels"


def test_the_limit_is_ours_and_not_pils(monkeypatch: pytest.MonkeyPatch) -> None:
    """PIL's own limit is neither relied on nor in the way, and it is left as it was."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert code_of(png_claiming(100_000, 100_000)) == "too_many_pixels"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    for form in FORMATS:
        assert decode_image(encoded(picture(), form), LIMITS).size == (8, 6)
    assert Image.MAX_IMAGE_PIXELS == 4


def test_a_hair_thin_image_is_refused() -> None:
    """Scaled to a model's size by its shorter side it would be gigabytes."""
    assert code_of(encoded(picture(size=(MAX_ASPECT_RATIO * 2 + 1, 2)))) == "too_elongated"
    assert code_of(encoded(picture(size=(1, 5000)))) == "too_elongated"
    assert decode_image(encoded(picture(size=(MAX_ASPECT_RATIO * 2, 2))), LIMITS).size == (MAX_ASPECT_RATIO * 2, 2)


def test_an_image_without_pixels_is_damaged() -> None:
    assert code_of(png_claiming(0, 5)) == "damaged_image"
    assert code_of(patched(encoded(picture(), "BMP"), 18, "<I", 0)) == "damaged_image"


@pytest.mark.parametrize("form", FORMATS)
def test_a_truncated_file_is_an_error_wherever_it_is_cut(form: str) -> None:
    data = encoded(gradient(), form)
    end_mark = {"PNG": 4, "JPEG": 2, "GIF": 2}.get(form, 0)  # says nothing about the picture
    step = 1 if form in IN_PROCESS else len(data) // 20
    for size in range(1, len(data) - end_mark, step):
        assert code_of(data[:size]) in {"damaged_image", "not_an_image"}, size


def test_a_truncated_progressive_jpeg_is_an_error() -> None:
    data = encoded(gradient(), "JPEG", progressive=True)
    assert code_of(data[: len(data) * 2 // 3]) == "damaged_image"


@pytest.mark.parametrize(
    "error",
    [
        SyntaxError("x"),
        struct.error("x"),
        MemoryError(),
        OverflowError(),
        Image.DecompressionBombWarning("x"),
        RecursionError(),
        KeyError("x"),
        EOFError(),
        AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_decoder_raises_is_an_invalid_image(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(image: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    assert code_of(encoded(picture())) == "damaged_image"


# --- what decoding takes ---

LARGE = Image.linear_gradient("L").resize((3000, 2000))
COSTLY = {
    "grey with a transparent one": lambda: encoded(LARGE, "PNG", transparency=7),
    "colours with a transparent one": lambda: encoded(LARGE.convert("RGB"), "PNG", transparency=(7, 7, 7)),
    "grey and alpha": lambda: encoded(LARGE.convert("LA"), "PNG"),
    "alpha": lambda: encoded(LARGE.convert("RGBA"), "PNG"),
    "progressive": lambda: encoded(LARGE.convert("RGB"), "JPEG", progressive=True, subsampling=0),
    "progressive inks": lambda: encoded(LARGE.convert("CMYK"), "JPEG", progressive=True),
    "WebP": lambda: encoded(LARGE.convert("RGB"), "WEBP", method=0),
    "lossless WebP": lambda: encoded(LARGE.convert("RGBA"), "WEBP", method=0, lossless=True),
    "GIF": lambda: encoded(LARGE.convert("P"), "GIF", transparency=3),
    "TIFF of 32 bits": lambda: encoded(LARGE.convert("I"), "TIFF"),
    "TIFF of floats": lambda: encoded(LARGE.convert("F"), "TIFF"),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_decoding_takes_no_more_memory_than_it_asks_for(kind: str, tmp_path: Path) -> None:
    """And not much less either: more than a third is used, or a fifth in this process beside a child process."""
    file = tmp_path / "picture"
    file.write_bytes(COSTLY[kind]())
    done = subprocess.run(
        [sys.executable, "-m", "tests.saft_core.data.memory_of_decoding", file],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked, taken = map(int, done.stdout.split())
    assert asked / (5 if kind.startswith(("TIFF", "GIF")) else 3) < taken <= asked


def test_a_jpeg_that_is_decoded_smaller_asks_for_less() -> None:
    limits = replace(LIMITS, max_image_pixels=10_000_000)
    plain, coded = (encoded(LARGE.convert("RGB"), "JPEG", progressive=progressive) for progressive in (False, True))
    assert open_image(plain, limits, side=60).memory_bytes == open_image(plain, limits).memory_bytes / 64
    assert open_image(coded, limits, side=60).memory_bytes > 8 * LARGE.width * LARGE.height
    assert decode_image(plain, limits, side=60).size == (375, 250)
    assert code_of(plain, max_image_pixels=5_000_000) == "too_many_pixels"


# --- whatever the bytes are ---

BASES = [
    *(encoded(gradient((12, 9)), form) for form in IN_PROCESS),
    encoded(gradient((12, 9)), "JPEG", progressive=True),
    encoded(Image.fromarray(np.arange(108, dtype=np.uint16).reshape(9, 12) * 600), "PNG"),
    encoded(gradient((12, 9)).convert("RGBA"), "WEBP", lossless=True),
]
BASES_OF_CHILD = [
    *(encoded(gradient((12, 9)), form) for form in FORMATS if form not in IN_PROCESS),
    encoded(gradient((12, 9)), "TIFF", compression="tiff_lzw"),
    encoded(gradient((12, 9)).convert("P"), "GIF", save_all=True, append_images=[gradient((12, 9))], transparency=3),
]
FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6)
CUTS = st.none() | st.integers(0, 2**16)
SMALL = replace(LIMITS, max_image_pixels=1_000_000)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(BASES), FLIPS, CUTS)
def test_mutated_bytes_give_an_rgb_image_or_an_invalid_image(
    base: bytes, flips: list[tuple[int, int]], cut: int | None
) -> None:
    check_mutated(base, flips, cut)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BASES_OF_CHILD), FLIPS, CUTS)
@example(BASES_OF_CHILD[2], [], 9)
def test_mutated_bytes_for_a_child_process_give_an_rgb_image_or_an_invalid_image(
    base: bytes, flips: list[tuple[int, int]], cut: int | None
) -> None:
    check_mutated(base, flips, cut)


def check_mutated(base: bytes, flips: list[tuple[int, int]], cut: int | None) -> None:
    mutated = bytearray(base)
    for position, value in flips:
        mutated[position % len(mutated)] = value
    data = bytes(mutated if cut is None else mutated[: cut % (len(mutated) + 1)])
    try:
        image = decode_image(data, SMALL)
    except InvalidImage:
        return
    assert image.mode == "RGB"
    assert 0 < image.width * image.height <= SMALL.max_image_pixels
    assert len(image.tobytes()) == 3 * image.width * image.height


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([base[:16] for base in BASES + BASES_OF_CHILD]), st.binary(max_size=200))
def test_garbage_behind_a_signature_is_an_invalid_image(start: bytes, rest: bytes) -> None:
    try:
        image = decode_image(start + rest, SMALL)
    except InvalidImage:
        return
    assert image.mode == "RGB"


def test_the_webp_decoder_is_there() -> None:
    assert features.check("webp")
    assert identify(io.BytesIO(encoded(picture(), "WEBP")).getvalue()).media_type == "image/webp"
