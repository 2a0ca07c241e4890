"""Pictures whose right sRGB values are known: profiles built by hand from a colour space's published numbers."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from saft_core.data import colours
from saft_core.data.colours import MAX_PROFILE_BYTES
from saft_core.data.images import decode_image
from tests.saft_core.data.uploads import LIMITS, encoded, picture, tiff

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""XYZ (D50) of red, green and blue of Adobe RGB (1998), annex C; its curve is x ** (563 / 256)."""
GREY_GAMMA = 563 / 256
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of version 2 with these tags; white is D50."""
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78), **tags}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = bytes(4) + b"lcms" + b"\x02\x10\0\0mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += fixed(0.9642, 1.0, 0.8249) + bytes(48)
    profile = head + table + body
    return struct.pack(">I", len(profile)) + profile[4:]


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def adobe_rgb() -> bytes:
    tags = {name: b"XYZ " + bytes(4) + fixed(*xyz) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), ADOBE_RGB)}  # noqa: B905
    return icc(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(GREY_GAMMA)))


def from_adobe(colour: tuple[int, int, int]) -> list[int]:
    """The same colour in sRGB by the two spaces' definitions."""
    to_srgb = np.linalg.inv(
        np.array([(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]).T
    )
    linear = np.clip(to_srgb @ np.array(ADOBE_RGB).T @ (np.array(colour) / 255) ** GREY_GAMMA, 0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return [round(value * 255) for value in values]


ADOBE = adobe_rgb()
COLOURS = [(150, 100, 60), (90, 120, 200), (128, 128, 128), (255, 255, 255), (0, 0, 0), (0, 255, 0)]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_wide_gamut_picture_shows_its_colours(form: str, colour: tuple[int, int, int]) -> None:
    data = encoded(picture(colour, (16, 16)), form, icc_profile=ADOBE, quality=95)
    tolerance = 3 if form in ("PNG", "TIFF") else 8
    image = decode_image(data, LIMITS)
    assert image.getpixel((8, 8)) == pytest.approx(from_adobe(colour), abs=tolerance)
    assert "icc_profile" not in image.info


def test_the_colours_of_the_profile_are_not_those_without_it() -> None:
    assert from_adobe((150, 100, 60)) != pytest.approx([150, 100, 60], abs=8)


def test_a_palette_and_a_transparent_picture_are_corrected_too() -> None:
    palette = picture(3, mode="P")
    palette.putpalette([0, 0, 0] * 3 + [150, 100, 60])
    for image in (palette, picture((150, 100, 60, 255), mode="RGBA")):
        decoded = decode_image(encoded(image, "PNG", icc_profile=ADOBE), LIMITS)
        assert decoded.getpixel((4, 3)) == pytest.approx(from_adobe((150, 100, 60)), abs=3)
    clear = encoded(picture((150, 100, 60, 0), mode="RGBA"), "PNG", icc_profile=ADOBE)
    assert decode_image(clear, LIMITS).getpixel((4, 3)) == pytest.approx((255, 255, 255), abs=1)


def test_greys_follow_their_curve() -> None:
    data = encoded(picture(128, mode="L"), "PNG", icc_profile=icc(b"GRAY", {b"kTRC": curve(1.0)}))
    assert decode_image(data, LIMITS).getpixel((4, 3)) == pytest.approx((188, 188, 188), abs=2)


def test_cmyk_is_read_by_its_profile() -> None:
    """A made-up press whose inks are all neutral: coverage alone decides, and three inks at once are black."""
    steps = [0, 255]
    grid = [max(0, 65535 - 257 * (c + m + y + k)) for c in steps for m in steps for y in steps for k in steps]
    lab = b"".join(struct.pack(">3H", value & 0xFF00, 0x8000, 0x8000) for value in grid)
    ramp = struct.pack(">2H", 0, 65535)
    lut = b"mft2" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">2H", 2, 2)
    press = bytearray(icc(b"CMYK", {b"A2B0": lut + ramp * 4 + lab + ramp * 3}))
    press[12:16], press[20:24] = b"prtr", b"Lab "
    inks = picture((0, 255, 255, 0), (16, 16), mode="CMYK")
    for form in ("JPEG", "TIFF"):
        assert decode_image(encoded(inks, form, icc_profile=bytes(press)), LIMITS).getpixel((8, 8)) == pytest.approx(
            (0, 0, 0), abs=12
        )
        assert decode_image(encoded(inks, form), LIMITS).getpixel((8, 8)) == pytest.approx((255, 0, 0), abs=12)


def test_a_profile_in_many_parts_is_put_together() -> None:
    """A JPEG segment holds 64 KB at most."""
    padded = ADOBE + bytes(150_000)
    padded = struct.pack(">I", len(padded)) + padded[4:]
    data = encoded(picture((150, 100, 60), (16, 16)), "JPEG", icc_profile=padded, quality=95)
    assert data.count(b"ICC_PROFILE\0") > 1
    assert decode_image(data, LIMITS).getpixel((8, 8)) == pytest.approx(from_adobe((150, 100, 60)), abs=8)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    "profile",
    [
        b"x",
        b"not a profile" * 50,
        ADOBE[:200],
        ADOBE[:-40],
        icc(b"GRAY", {b"kTRC": curve(1.0)}),
        icc(b"CMYK", {}),
        SRGB,
    ],
    ids=["one byte", "text", "header", "cut off", "of greys", "of inks", "sRGB"],
)
def test_a_profile_that_is_of_no_use_changes_nothing(form: str, profile: bytes) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    image = picture((150, 100, 60), (16, 16))
    with_profile = decode_image(encoded(image, form, icc_profile=profile, **options), LIMITS)
    assert with_profile.tobytes() == decode_image(encoded(image, form, **options), LIMITS).tobytes()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("size", [2 << 20, MAX_PROFILE_BYTES + 1])
def test_a_huge_profile_does_not_cost_the_picture(form: str, size: int) -> None:
    image = picture((150, 100, 60), (16, 16))
    assert decode_image(encoded(image, form, icc_profile=bytes(size)), LIMITS).size == (16, 16)


def test_a_profile_that_unpacks_to_far_more_does_not_cost_the_picture() -> None:
    data = encoded(picture(), "PNG", icc_profile=bytes(200 << 20))
    assert len(data) < 1 << 20
    assert decode_image(data, LIMITS).size == (8, 6)


def test_a_tiff_whose_profile_lies_outside_of_the_file() -> None:
    fields = [(256, 3, 1, 3), (257, 3, 1, 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 3)]
    for place in (8, 4_000_000_000):
        data = tiff([*fields, (34675, 7, 3_000_000, place)], b"\x00\x80\xff")
        assert np.asarray(decode_image(data, LIMITS))[0, :, 0].tolist() == [0, 128, 255]


def test_srgb_is_recognised_and_set_up_once() -> None:
    colours._remembered.cache_clear()
    data = encoded(picture(), "PNG", icc_profile=SRGB)
    for _ in range(5):
        decode_image(data, LIMITS)
    assert colours.correction(SRGB, "RGB") is None
    assert colours._remembered.cache_info().misses == 1


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([ADOBE, SRGB]), st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8))
def test_whatever_a_profile_holds_the_picture_is_read(profile: bytes, flips: list[tuple[int, int]]) -> None:
    mutated = bytearray(profile)
    for position, value in flips:
        mutated[position % len(mutated)] = value
    data = io.BytesIO()
    Image.new("RGB", (4, 4), (9, 99, 199)).save(data, "JPEG", icc_profile=bytes(mutated))
    assert decode_image(data.getvalue(), LIMITS).size == (4, 4)


DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""XYZ (D50) of red, green and blue of Display P3; its curve is sRGB's, of which 2.2 is near enough here."""


def test_a_picture_of_a_phone_in_display_p3_shows_its_colours() -> None:
    tags = {name: b"XYZ " + bytes(4) + fixed(*xyz) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), DISPLAY_P3)}  # noqa: B905
    profile = icc(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(2.2)))
    for sent, meant in (
        ((234, 51, 35), (255, 0, 0)),
        ((117, 251, 76), (0, 255, 0)),
        ((128, 128, 128), (128, 128, 128)),
    ):
        for form in ("PNG", "TIFF"):
            shown = decode_image(encoded(picture(sent, (16, 16)), form, icc_profile=profile), LIMITS).getpixel((8, 8))
            assert shown == pytest.approx(meant, abs=12)
