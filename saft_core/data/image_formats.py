"""The image formats that may be uploaded: one table, FORMATS. To take another one, add a line.

A format is recognised by the first bytes of a file and never by its name. JPEG, PNG and WebP are decoded in this
process: what their files could cost is cut away before (jpeg.py, png.py). All others are decoded in a child process
(child_decoder.py), for which headers.py reads the size in pixels that the file claims.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from PIL import ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from saft_core.data import headers
from saft_core.data.child_decoder import BYTES_PER_PIXEL, PROCESS_BYTES
from saft_core.data.jpeg import cut_jpeg
from saft_core.data.picture import Picture
from saft_core.data.png import cut_png
from saft_core.errors import InvalidImage

Decoder: TypeAlias = type[ImageFile.ImageFile]
HEAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """One format.

    media_type: of IANA. is_of: whether a file that begins with these HEAD_BYTES is of the format. read: what is known
    before decoding; may raise anything on hostile bytes. decoder: Pillow's, named so that no other one is ever tried;
    None where a child process decodes. bytes_per_pixel: what decoding and conversion take at their peak, in the
    costliest mode that the format has; more_bytes: the same, whatever the size of the picture.
    """

    media_type: str
    is_of: Callable[[bytes], object]
    read: Callable[[bytes], Picture]
    decoder: Decoder | None
    bytes_per_pixel: int
    more_bytes: int = 0


def _starts(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern, re.DOTALL).match


def _in_child(
    media_type: str, is_of: Callable[[bytes], object], size: Callable[[bytes], tuple[int, int]]
) -> ImageFormat:
    return ImageFormat(media_type, is_of, lambda data: Picture(data, size(data)), None, BYTES_PER_PIXEL, PROCESS_BYTES)


FORMATS: tuple[ImageFormat, ...] = (
    ImageFormat("image/jpeg", _starts(rb"\xff\xd8\xff"), cut_jpeg, JpegImagePlugin.JpegImageFile, 12),
    ImageFormat("image/png", _starts(rb"\x89PNG\r\n\x1a\n"), cut_png, PngImagePlugin.PngImageFile, 14),
    ImageFormat(
        "image/webp",
        _starts(rb"RIFF....WEBP"),
        lambda data: Picture(data, headers.webp_size(data)),
        WebPImagePlugin.WebPImageFile,
        18,
    ),
    _in_child("image/gif", _starts(rb"GIF8[79]a"), headers.gif_size),
    # Two letters alone do not make a BMP, text starts so too: the size of its header has eight values.
    _in_child("image/bmp", _starts(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0"), headers.bmp_size),
    _in_child("image/tiff", _starts(rb"II\*\0|MM\0\*"), headers.tiff_size),
    _in_child("image/heic", lambda head: headers.heif_type(head) == "image/heic", headers.heif_size),
    _in_child("image/avif", lambda head: headers.heif_type(head) == "image/avif", headers.heif_size),
)
_ACCEPTED = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF"
_NOT_TAKEN = {
    "HEIF": _starts(rb"....ftyp(mif1|msf1|jpeg|j2ki)"),
    "Canon CR3": _starts(rb"....ftypcrx "),
    "JPEG 2000": _starts(rb"\0\0\0\x0cjP  "),
    "JPEG XL": _starts(rb"\0\0\0\x0cJXL |\xff\x0a"),
    "Photoshop": _starts(rb"8BPS"),
    "PDF": _starts(rb"%PDF-"),
    "SVG": _starts(rb"<svg"),
    "XML or SVG": _starts(rb"<\?xml"),
    "BigTIFF": _starts(rb"II\+\0|MM\0\+"),
}


def identify(data: bytes) -> ImageFormat:
    """The format of an image file. Raises InvalidImage with code `empty_file`, `unsupported_format`, `not_an_image`."""
    if not data:
        raise InvalidImage("The file is empty. Upload it once more.", code="empty_file")
    head = data[:HEAD_BYTES]
    found = next((form for form in FORMATS if form.is_of(head)), None)
    if found:
        return found
    other = next((name for name, is_of in _NOT_TAKEN.items() if is_of(head)), None)
    if other:
        raise InvalidImage(f"{other} files are not taken. Save it as {_ACCEPTED}.", code="unsupported_format")
    raise InvalidImage(f"The file is not an image. Send {_ACCEPTED}.", code="not_an_image")
