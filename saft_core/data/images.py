"""Image files from strangers to RGB images. What a file is, is decided by its bytes and never by its name."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from saft_core.data.containers import MAX_PROFILE_BYTES, Picture, cut_gif, cut_jpeg, cut_png, cut_webp
from saft_core.data.heif import BYTES_PER_PIXEL, PROCESS_BYTES, cut_heif, decode_apart, heif_type
from saft_core.data.limits import DataLimits
from saft_core.data.pixels import to_rgb, upright
from saft_core.data.tiff import colour_profile, cut_tiff, orientation
from saft_core.errors import InvalidImage, Unavailable

# Models scale the shorter side to some hundred pixels: a hair-thin image would grow to gigabytes there.
MAX_ASPECT_RATIO = 100

DRAFT_FACTOR = 4
"""How many times larger than needed a JPEG is decoded at least. Resized from there, embeddings keep a cosine of 0.9999
to those of the whole picture; at twice the size it is 0.998."""
CODED_BYTES_PER_PIXEL = 8
"""What libjpeg keeps of a picture of several scans: 16 bits for each of up to four samples."""

_ACCEPTED = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF"
HEAD_BYTES = 256
_BMP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_OTHER_BRANDS = {b"mif1": "HEIF", b"msf1": "HEIF", b"jpeg": "HEIF", b"j2ki": "HEIF", b"crx ": "Canon CR3"}
_OTHER_STARTS = {
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"%PDF-": "PDF",
    b"<svg": "SVG",
    b"<?xml": "XML or SVG",
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
}


@dataclass(frozen=True, slots=True)
class _Format:
    """One accepted format: its IANA type, and the decoder named directly so that no other one is ever tried.

    decoder: None where a process of its own decodes (heif.py). bytes_per_pixel: what decoding and conversion take at
    their peak, in the costliest mode that the format has; more_bytes: whatever the size of the picture.
    """

    media_type: str
    decoder: type[ImageFile.ImageFile] | None
    cut: Callable[[bytes, DataLimits], Picture]
    bytes_per_pixel: int
    more_bytes: int = 0


_JPEG = _Format("image/jpeg", JpegImagePlugin.JpegImageFile, lambda data, _: cut_jpeg(data), 12)
_PNG = _Format("image/png", PngImagePlugin.PngImageFile, lambda data, _: cut_png(data), 14)
_WEBP = _Format("image/webp", WebPImagePlugin.WebPImageFile, lambda data, _: cut_webp(data), 18)
_GIF = _Format("image/gif", GifImagePlugin.GifImageFile, lambda data, _: cut_gif(data), 14)
_BMP = _Format("image/bmp", BmpImagePlugin.BmpImageFile, lambda data, _: Picture(data), 14)
_TIFF = _Format(
    "image/tiff",
    TiffImagePlugin.TiffImageFile,
    lambda data, limits: Picture(
        cut_tiff(data, limits.max_image_pixels), exif=data, profile=colour_profile(data, MAX_PROFILE_BYTES)
    ),
    20,
)
_APART = {
    kind: _Format(kind, None, lambda data, _: cut_heif(data), BYTES_PER_PIXEL, PROCESS_BYTES)
    for kind in ("image/heic", "image/avif")
}


def check_file_size(size: int, max_image_bytes: int) -> None:
    """Raise InvalidImage with code `image_too_large` for a file of `size` bytes that is not to be read."""
    if size > max_image_bytes:
        raise InvalidImage(
            f"The image file has {size:,} bytes; at most {max_image_bytes:,} are taken (max_image_bytes)."
            " Save it smaller.",
            code="image_too_large",
        )


def media_type(data: bytes) -> str:
    """The IANA media type of an image file, such as `image/png`, from its first bytes.

    Raises InvalidImage with code `empty_file`, `unsupported_format` or `not_an_image`.
    """
    return _identify(data).media_type


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image file that is within the limits, as far as can be told before any pixel is decoded.

    memory_bytes: what `decode` takes at its peak, beside the file, roughly and rather too much.
    """

    memory_bytes: int
    _form: _Format
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
            if self._form.decoder is None:
                return self._decoded_apart()
            return upright(self._pixels(self._form.decoder), orientation(self._picture.exif))

    def _decoded_apart(self) -> Image.Image:
        limits = self._limits
        found = decode_apart(self.media_type, self._picture.data, limits.max_image_pixels, self.memory_bytes)
        _check_shape(found.image.size, limits)
        return upright(to_rgb(found.image, found.profile), found.orientation)

    def _pixels(self, decoder: type[ImageFile.ImageFile]) -> Image.Image:
        """The decoder's own copy of the pixels is gone when this returns: two at a time are enough."""
        with decoder(io.BytesIO(self._picture.data)) as image:
            _check_shape(image.size, self._limits)
            _draft(image, self._side)
            image.load()
            return to_rgb(image, self._picture.profile)


def open_image(data: bytes, limits: DataLimits, side: int | None = None) -> OpenImage:
    """Find the first picture of an image file, and check size, pixels and shape before any pixel is decoded.

    side: pixels that are needed of the picture's shorter side. A JPEG may be decoded smaller then, not below
    DRAFT_FACTOR times that; the other formats have to be decoded whole. None: as large as it is.

    Raises InvalidImage, and nothing else, with one of these codes: `empty_file`, `image_too_large` (bytes),
    `not_an_image`, `unsupported_format`, `too_many_pixels`, `too_elongated`, `damaged_image` (cut off or broken).
    """
    check_file_size(len(data), limits.max_image_bytes)
    form = _identify(data)
    with _as_invalid_image(form, limits):
        picture = form.cut(data, limits)
        return OpenImage(_memory_bytes(form, picture, limits, side), form, picture, limits, side)


def decode_image(data: bytes, limits: DataLimits, side: int | None = None) -> Image.Image:
    """The first picture of an image file, at once: see `open_image` and `OpenImage.decode`. Raises InvalidImage."""
    return open_image(data, limits, side).decode()


def open_to_check(data: bytes, limits: DataLimits) -> OpenImage:
    """As `open_image`, for a file that is decoded only to see that this can be done."""
    return open_image(data, limits, side=1)


@contextmanager
def _as_invalid_image(form: _Format, limits: DataLimits) -> Iterator[None]:
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


def _identify(data: bytes) -> _Format:
    """The format that the first bytes stand for. Raises InvalidImage if it is not one of the accepted ones."""
    if not data:
        raise InvalidImage("The file is empty. Upload it once more.", code="empty_file")
    form = _by_signature(data[:HEAD_BYTES])
    if form:
        return form
    other = _OTHER_BRANDS.get(data[8:12]) if data[4:8] == b"ftyp" else None
    other = other or next((name for start, name in _OTHER_STARTS.items() if data.startswith(start)), None)
    if other:
        raise InvalidImage(f"{other} files are not taken. Save it as {_ACCEPTED}.", code="unsupported_format")
    raise InvalidImage(f"The file is not an image. Send {_ACCEPTED}.", code="not_an_image")


def _by_signature(head: bytes) -> _Format | None:
    """The accepted format with this beginning, if any. Two letters alone do not make a BMP: text starts so too."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _WEBP
    if kind := heif_type(head):
        return _APART[kind]
    if head.startswith(b"BM"):
        return _BMP if int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES else None
    signatures = {
        b"\xff\xd8\xff": _JPEG,
        b"\x89PNG\r\n\x1a\n": _PNG,
        b"GIF87a": _GIF,
        b"GIF89a": _GIF,
        b"II*\0": _TIFF,
        b"MM\0*": _TIFF,
    }
    return next((form for signature, form in signatures.items() if head.startswith(signature)), None)


def _memory_bytes(form: _Format, picture: Picture, limits: DataLimits, side: int | None) -> int:
    """What decoding the picture takes. Raises InvalidImage for its shape, and whatever the decoder raises."""
    if picture.canvas:  # a decoder that allocates when it is opened stays closed until there is room
        _check_shape(picture.canvas, limits)
        return form.more_bytes + form.bytes_per_pixel * picture.canvas[0] * picture.canvas[1]
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
