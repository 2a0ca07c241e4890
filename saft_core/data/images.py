"""Image files from strangers to RGB images. Which formats are taken stands in image_formats.py."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageFile

from saft_core.data.child_decoder import Decoded, decode_in_child
from saft_core.data.headers import orientation
from saft_core.data.image_formats import Decoder, ImageFormat, identify
from saft_core.data.limits import DataLimits
from saft_core.data.picture import Picture
from saft_core.data.pixels import to_rgb, upright
from saft_core.errors import InvalidImage, Unavailable

MAX_ASPECT_RATIO = 100
"""Models scale the shorter side to some hundred pixels: a hair-thin image would grow to gigabytes there."""

DRAFT_FACTOR = 4
"""How many times larger than needed a JPEG is decoded at least. Resized from there, embeddings keep a cosine of 0.9999
to those of the whole picture; at twice the size it is 0.998."""
CODED_BYTES_PER_PIXEL = 8
"""What libjpeg keeps of a picture of several scans: 16 bits for each of up to four samples."""


def check_file_size(size: int, max_image_bytes: int) -> None:
    """Raise InvalidImage with code `image_too_large` for a file of `size` bytes that is not to be read."""
    if size > max_image_bytes:
        raise InvalidImage(
            f"The image file has {size:,} bytes; at most {max_image_bytes:,} are taken (max_image_bytes)."
            " Save it smaller.",
            code="image_too_large",
        )


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image file that is within the limits, as far as can be told before any pixel is decoded.

    memory_bytes: what `decode` takes at its peak, beside the file, roughly and rather too much.
    """

    memory_bytes: int
    _form: ImageFormat
    _picture: Picture
    _limits: DataLimits
    _side: int | None

    @property
    def media_type(self) -> str:
        """The IANA media type of the file."""
        return self._form.media_type

    def decode(self) -> Image.Image:
        """The picture: RGB in sRGB, upright, loaded, without metadata.

        Transparency lies on white, 16-bit greys are scaled. Raises InvalidImage, and nothing else.
        """
        with _as_invalid_image(self._form, self._limits):
            rgb, turn = self._rgb_and_orientation()
            return upright(rgb, turn)

    def _rgb_and_orientation(self) -> tuple[Image.Image, int]:
        """The pixels as the file holds them are gone when this returns: two copies at a time are enough."""
        decoder = self._form.decoder
        found = self._in_child() if decoder is None else self._in_process(decoder)
        return to_rgb(found.image, found.profile, found.greys), found.orientation

    def _in_child(self) -> Decoded:
        limits = self._limits
        found = decode_in_child(self.media_type, self._picture.data, limits.max_image_pixels, self.memory_bytes)
        _check_shape(found.image.size, limits)
        return found

    def _in_process(self, decoder: Decoder) -> Decoded:
        with decoder(io.BytesIO(self._picture.data)) as image:
            _check_shape(image.size, self._limits)
            _draft(image, self._side)
            image.load()
            profile = self._picture.profile or image.info.get("icc_profile") or b""
            return Decoded(image, profile, orientation(self._picture.exif or image.info.get("exif", b"")))


def open_image(data: bytes, limits: DataLimits, side: int | None = None) -> OpenImage:
    """Find the first picture of an image file, and check size, pixels and shape before any pixel is decoded.

    side: pixels that are needed of the picture's shorter side. A JPEG may be decoded smaller then, not below
    DRAFT_FACTOR times that; the other formats have to be decoded whole. None: as large as it is.

    Raises InvalidImage, and nothing else, with one of these codes: `empty_file`, `image_too_large` (bytes),
    `not_an_image`, `unsupported_format`, `too_many_pixels`, `too_elongated`, `damaged_image` (cut off or broken).
    """
    check_file_size(len(data), limits.max_image_bytes)
    form = identify(data)
    with _as_invalid_image(form, limits):
        picture = form.read(data)
        return OpenImage(_memory_bytes(form, picture, limits, side), form, picture, limits, side)


def decode_image(data: bytes, limits: DataLimits, side: int | None = None) -> Image.Image:
    """The first picture of an image file, at once: see `open_image` and `OpenImage.decode`. Raises InvalidImage."""
    return open_image(data, limits, side).decode()


def open_to_check(data: bytes, limits: DataLimits) -> OpenImage:
    """As `open_image`, for a file that is decoded only to see that this can be done."""
    return open_image(data, limits, side=1)


@contextmanager
def _as_invalid_image(form: ImageFormat, limits: DataLimits) -> Iterator[None]:
    """Whatever goes wrong within, as InvalidImage."""
    try:
        yield
    except (InvalidImage, Unavailable):
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(limits) from error
    except Exception as error:  # decoders raise anything on hostile bytes: SyntaxError, struct.error, MemoryError ...
        raise InvalidImage(
            f"The {form.media_type} file is cut off or damaged. Export it again or upload it once more.",
            code="damaged_image",
        ) from error


def _memory_bytes(form: ImageFormat, picture: Picture, limits: DataLimits, side: int | None) -> int:
    """What decoding the picture takes. Raises InvalidImage for its shape, and whatever the decoder raises."""
    if picture.size:  # a decoder that allocates when it is opened stays closed until there is room
        _check_shape(picture.size, limits)
        return form.more_bytes + form.bytes_per_pixel * picture.size[0] * picture.size[1]
    if form.decoder is None:
        raise EOFError("the container does not say how large the picture is")
    with form.decoder(io.BytesIO(picture.data)) as image:
        _check_shape(image.size, limits)
        coded = CODED_BYTES_PER_PIXEL * image.width * image.height if picture.buffered else 0
        _draft(image, side)
        return coded + form.bytes_per_pixel * image.width * image.height


def _draft(image: ImageFile.ImageFile, side: int | None) -> None:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 where enough is left; other formats have nothing of the kind."""
    if side is not None:
        image.draft("RGB", (DRAFT_FACTOR * side, DRAFT_FACTOR * side))


def _check_shape(size: tuple[int, int], limits: DataLimits) -> None:
    """Raise InvalidImage if `size`, (width, height) in pixels, is empty, too large or too thin to be used."""
    width, height = size
    if width < 1 or height < 1:
        raise InvalidImage("The image has no pixels. Export it again.", code="damaged_image")
    if width * height > limits.max_image_pixels:
        raise _too_many_pixels(limits, size)
    if max(size) > MAX_ASPECT_RATIO * min(size):
        raise InvalidImage(
            f"The image is {width} x {height} pixels; its longer side may be {MAX_ASPECT_RATIO} times the shorter one"
            " at most. Crop it.",
            code="too_elongated",
        )


def _too_many_pixels(limits: DataLimits, size: tuple[int, int] | None = None) -> InvalidImage:
    found = f"is {size[0]:,} x {size[1]:,} pixels" if size else "has too many pixels"
    return InvalidImage(
        f"The image {found}; at most {limits.max_image_pixels:,} in all are taken (max_image_pixels). Scale it down.",
        code="too_many_pixels",
    )
