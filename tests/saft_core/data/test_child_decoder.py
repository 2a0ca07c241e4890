"""HEIC, AVIF, TIFF, GIF and BMP: read as the others are, and hostile ones that cost their own process at most."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pi_heif
import pillow_heif
import pytest
from PIL import Image, features

from saft_core.data import child_decoder
from saft_core.data.child_decoder import PROCESS_BYTES
from saft_core.data.image_formats import identify
from saft_core.data.images import decode_image, open_image
from saft_core.errors import InvalidImage, Unavailable
from tests.saft_core.data.test_colours import ADOBE, from_adobe
from tests.saft_core.data.uploads import (
    LIMITS,
    PIXEL_FIELDS,
    cheaply,
    code_of,
    encoded,
    patched,
    picture,
    repeating_directory,
    tiff,
)

pillow_heif.register_heif_opener()  # of the tests alone: they write such files
FORMATS = {"HEIF": "image/heic", "AVIF": "image/avif"}


def halves(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Red above blue, and a green corner at the top left."""
    image = Image.new("RGB", size, (200, 0, 0))
    image.paste((0, 0, 200), (0, size[1] // 2, *size))
    image.paste((0, 200, 0), (0, 0, size[0] // 4, size[1] // 4))
    return image


def near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.asarray(image)[place[1], place[0]].astype(int) - colour).max() < 25)


def claiming(form: str, width: int, height: int) -> bytes:
    """A small picture that says it is another size."""
    data = encoded(picture(size=(64, 64)), form)
    at = data.index(b"ispe") + 8
    return patched(patched(data, at, ">L", width), at + 4, ">L", height)


def test_the_decoders_are_there() -> None:
    assert features.check("avif")
    assert pi_heif.libheif_info()["decoders"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_is_read_and_its_type_is_right(form: str) -> None:
    data = encoded(halves(), form, quality=95)
    opened = open_image(data, LIMITS)
    assert opened.media_type == identify(data).media_type == FORMATS[form]
    image = opened.decode()
    assert (image.mode, image.size, image.info) == ("RGB", (96, 64), {})
    assert near(image, (4, 4), (0, 200, 0))
    assert near(image, (80, 8), (200, 0, 0))
    assert near(image, (48, 56), (0, 0, 200))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_greys_and_transparency_lie_on_white(form: str, mode: str) -> None:
    colour = {"L": 60, "LA": (60, 0), "RGBA": (60, 60, 60, 0)}[mode]
    image = decode_image(encoded(picture(colour, (64, 64), mode), form, quality=95), LIMITS)
    assert near(image, (32, 32), (60,) * 3 if mode == "L" else (255,) * 3)


def test_ten_bits_are_read() -> None:
    values = np.full((64, 64, 3), 30_000, np.uint16)
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (64, 64), values.tobytes()).save(file, quality=95)
    assert near(decode_image(file.getvalue(), LIMITS), (32, 32), (117, 117, 117))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_picture_stands_upright(form: str, turn: int) -> None:
    exif = Image.Exif()
    exif[274] = turn
    image = decode_image(encoded(halves(), form, exif=exif.tobytes(), quality=95), LIMITS)
    turned = decode_image(encoded(halves(), "PNG", exif=exif.tobytes()), LIMITS)
    assert image.size == turned.size
    width, height = image.size
    for place in ((4, 4), (width - 5, 4), (4, height - 5), (width - 5, height - 5)):
        assert near(image, place, turned.getpixel(place)), place  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMATS)
def test_a_colour_profile_is_converted_and_a_broken_or_huge_one_is_not_minded(form: str) -> None:
    image = picture((150, 100, 60), (64, 64))
    shown = decode_image(encoded(image, form, icc_profile=ADOBE, quality=95), LIMITS)
    assert shown.getpixel((32, 32)) == pytest.approx(from_adobe((150, 100, 60)), abs=8)
    for profile in (b"x" * 300, ADOBE[:200], bytes(5 << 20)):
        assert near(decode_image(encoded(image, form, icc_profile=profile, quality=95), LIMITS), (9, 9), (150, 100, 60))


def test_the_picture_is_decoded_and_not_a_thumbnail_that_may_show_something_else() -> None:
    file = io.BytesIO()
    halves((512, 512)).save(file, "HEIF", quality=95)
    made = pillow_heif.open_heif(io.BytesIO(file.getvalue()))
    other = io.BytesIO()
    made.save(other, thumbnails=[256])
    assert decode_image(other.getvalue(), LIMITS, side=16).size == (512, 512)


def test_the_first_of_several_pictures_is_read() -> None:
    one, other = picture((200, 0, 0), (64, 64)), picture((0, 0, 200), (64, 64))
    for form in FORMATS:
        data = encoded(one, form, save_all=True, append_images=[other], quality=95)
        assert near(decode_image(data, LIMITS), (32, 32), (200, 0, 0))


def test_a_picture_in_tiles_is_put_together() -> None:
    data = encoded(halves((1200, 800)), "HEIF", tile_size=512)
    image = decode_image(data, LIMITS)
    assert image.size == (1200, 800)
    assert near(image, (1100, 700), (0, 0, 200))


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_size_and_shape_are_checked_before_a_process_starts(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "run", never)
    data = encoded(picture(size=(64, 64)), form)
    assert code_of(data, max_image_bytes=len(data) - 1) == "image_too_large"
    assert code_of(data, max_image_pixels=64 * 64 - 1) == "too_many_pixels"
    assert code_of(claiming(form, 100_000, 100_000)) == "too_many_pixels"
    assert code_of(claiming(form, 2**32 - 1, 2**32 - 1)) == "too_many_pixels"
    assert code_of(claiming(form, 64, 6500)) == "too_elongated"
    assert code_of(claiming(form, 0, 64)) == "damaged_image"
    assert code_of(data[:12]) == "damaged_image"


@pytest.mark.parametrize("form", FORMATS)
def test_a_large_picture_that_says_it_is_small_gets_the_memory_of_a_small_one(form: str) -> None:
    large = encoded(picture(size=(3000, 3000) if form == "HEIF" else (7000, 7000)), form, speed=10)
    at = large.index(b"ispe") + 8
    liar = patched(patched(large, at, ">L", 64), at + 4, ">L", 64)
    assert open_image(liar, LIMITS).memory_bytes < PROCESS_BYTES + (1 << 20)
    assert code_of(liar) == "damaged_image"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_damaged(form: str, share: float) -> None:
    data = encoded(Image.effect_noise((64, 64), 80).convert("RGB"), form)
    assert code_of(data[: int(len(data) * share)]) in {"damaged_image", "not_an_image"}


def test_a_heif_file_that_claims_no_size_is_damaged() -> None:
    head = encoded(picture(size=(64, 64)), "AVIF")[:32]
    assert code_of(head) == "damaged_image"
    assert code_of(head + struct.pack(">L4sQ", 1, b"meta", 2**63)) == "damaged_image"


@pytest.mark.parametrize("form", FORMATS)
def test_no_mutation_does_more_than_fail(form: str) -> None:
    data, chance = encoded(halves(), form), random.Random(0)
    outcomes = set()
    for _ in range(25):
        mutated = bytearray(data)
        for _ in range(chance.choice((1, 2, 8))):
            mutated[chance.randrange(len(data))] = chance.randrange(256)
        try:
            outcomes.add(decode_image(bytes(mutated), LIMITS).mode)
        except InvalidImage as error:
            outcomes.add(error.error_code)
    assert "RGB" in outcomes
    assert "damaged_image" in outcomes


def test_the_decoder_sees_nothing_of_our_environment_and_its_crash_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    program = tmp_path / "program.py"
    monkeypatch.setattr(child_decoder, "_PROGRAM", program)
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    data = encoded(picture(size=(64, 64)), "AVIF")
    for crash in ("os.abort()", "os.kill(os.getpid(), 9)", "print('x')", "sys.exit(1)", "print('{}')"):
        program.write_text(f"import os, sys\nassert 'DATABASE_URL' not in os.environ\n{crash}")
        assert code_of(data) == "damaged_image"
    head = '{"mode": "L", "size": [1, 1], "orientation": 1, "profile": 0, "white": 255, "is_inverted": false}'
    program.write_text(
        f"import os, sys\nhead = '{head}'\n"
        "sys.stdout.write(head + '\\n' + ('x' if 'DATABASE_URL' in os.environ else '\\0'))"
    )
    assert decode_image(data, LIMITS).getpixel((0, 0)) == (0, 0, 0)
    assert "DATABASE_URL" in os.environ
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(Unavailable):
        decode_image(data, LIMITS)


# --- TIFF and GIF ---


def test_a_tiff_whose_fields_all_claim_the_same_bytes_costs_its_own_process() -> None:
    data = repeating_directory(300, 4 << 20)
    with cheaply(5, 64 << 20):
        assert code_of(data) == "damaged_image"


def test_a_tiff_with_more_tables_or_strips_than_its_picture_needs_costs_its_own_process() -> None:
    tables = [*PIXEL_FIELDS, (320, 3, 60_000, 8), (324, 4, 60_000, 8), (325, 4, 60_000, 8)]
    strips = [*(field for field in PIXEL_FIELDS if field[0] != 273), (273, 4, 250_000, 8)]
    with cheaply(5, 64 << 20):
        for fields in (tables, strips):
            assert decode_image(tiff(fields, bytes(1_000_000)), LIMITS).size == (1, 1)


def test_a_tiff_tile_that_unpacks_to_a_gigabyte() -> None:
    tile = zlib.compress(bytes(1000))
    fields = [*PIXEL_FIELDS[:4], (259, 3, 1, 8), (322, 4, 1, 32_768), (323, 4, 1, 32_768), (324, 4, 1, 8)]
    assert code_of(tiff([*fields, (325, 4, 1, len(tile))], tile)) == "damaged_image"


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


def test_a_tiff_that_gives_its_width_twice_does_not_get_the_memory_of_the_larger_one() -> None:
    data = tiff([(256, 3, 1, 1), (256, 3, 1, 30_000), *PIXEL_FIELDS[1:]], b"\x55")
    assert open_image(data, LIMITS).memory_bytes < PROCESS_BYTES + (1 << 20)
    assert code_of(data) == "damaged_image"


def test_a_gif_of_endless_comments_costs_its_own_process_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_decoder, "CPU_SECONDS", 2)
    data = encoded(picture(), "GIF")
    at = data.index(b",\0\0\0\0")
    comments = b"!\xfe" + (b"\xff" + b"x" * 255) * (8 << 12) + b"\0"
    with cheaply(2, 32 << 20):
        assert code_of(data[:at] + comments + data[at:]) == "damaged_image"


def test_a_gif_with_comments_and_repeats_keeps_its_transparency() -> None:
    image = picture(1, mode="P")
    image.putpalette([0, 0, 0, 5, 5, 5])
    data = encoded(image, "GIF", transparency=1, comment=b"hello", loop=3, duration=100)
    assert decode_image(data, LIMITS).getpixel((0, 0)) == (255, 255, 255)


def test_a_gif_without_a_frame_is_damaged() -> None:
    assert code_of(b"GIF89a\1\0\1\0\0\0\0;") == "damaged_image"
    assert code_of(b"GIF89a\1\0\1\0\0\0\0!\xfe\xff") == "damaged_image"
