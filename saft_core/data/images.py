"""Image files from strangers to RGB images. What a file is, is decided by its bytes and never by its name."""

from __future__ import annotations

import io
from collections.abc import Callable
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

from saft_core.data.containers import Picture, cut_gif, cut_jpeg, cut_png, cut_webp
from saft_core.data.limits import DataLimits
from saft_core.data.pixels import to_rgb, upright
from saft_core.data.tiff import cut_tiff, orientation
from saft_core.errors import InvalidImage

# Models scale the shorter side to some hundred pixels: a hair-thin image would grow to gigabytes there.
MAX_ASPECT_RATIO = 100

_ACCEPTED = "JPEG, PNG, WebP, GIF, BMP or TIFF"
_BMP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_OTHER_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC"}
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
    """One accepted format: its IANA type, and the decoder named directly so that no other one is ever tried."""

    media_type: str
    decoder: type[ImageFile.ImageFile]
    cut: Callable[[bytes, DataLimits], Picture]


_JPEG = _Format("image/jpeg", JpegImagePlugin.JpegImageFile, lambda data, _: cut_jpeg(data))
_PNG = _Format("image/png", PngImagePlugin.PngImageFile, lambda data, _: cut_png(data))
_WEBP = _Format("image/webp", WebPImagePlugin.WebPImageFile, lambda data, _: cut_webp(data))
_GIF = _Format("image/gif", GifImagePlugin.GifImageFile, lambda data, _: cut_gif(data))
_BMP = _Format("image/bmp", BmpImagePlugin.BmpImageFile, lambda data, _: Picture(data))
_TIFF = _Format(
    "image/tiff",
    TiffImagePlugin.TiffImageFile,
    lambda data, limits: Picture(cut_tiff(data, limits.max_image_pixels), exif=data),
)


def media_type(data: bytes) -> str:
    """The IANA media type of an image file, such as `image/png`, from its first bytes.

    Raises InvalidImage with code `empty_file`, `unsupported_format` or `not_an_image`.
    """
    return _identify(data).media_type


def decode_image(data: bytes, limits: DataLimits) -> Image.Image:
    """The first picture of an image file: RGB, upright, loaded, without metadata.

    Size, pixels and shape are checked before any pixel is decoded. Transparency lies on white, 16-bit greys are scaled.

    Raises InvalidImage, and nothing else, with one of these codes: `empty_file`, `image_too_large` (bytes),
    `not_an_image`, `unsupported_format`, `too_many_pixels`, `too_elongated`, `damaged_image` (cut off or broken).
    """
    if len(data) > limits.max_image_bytes:
        raise InvalidImage(
            f"The image file has {len(data):,} bytes; at most {limits.max_image_bytes:,} are taken"
            " (max_image_bytes). Save it smaller.",
            code="image_too_large",
        )
    form = _identify(data)
    try:
        return _decode(form, data, limits)
    except InvalidImage:
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
    form = _by_signature(data[:32])
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


def _decode(form: _Format, data: bytes, limits: DataLimits) -> Image.Image:
    """Cut down, check, decode, convert, turn. Raises whatever the decoder raises."""
    picture = form.cut(data, limits)
    if picture.canvas:
        _check_shape(picture.canvas, limits)
    return upright(_pixels(form, picture, limits), orientation(picture.exif))


def _pixels(form: _Format, picture: Picture, limits: DataLimits) -> Image.Image:
    """The picture in RGB. The decoder's own copy of the pixels is gone when this returns: two at a time are enough."""
    with form.decoder(io.BytesIO(picture.data)) as image:
        _check_shape(image.size, limits)
        image.load()
        return to_rgb(image)


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
