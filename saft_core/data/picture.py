"""What is known of an image file before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picture:
    """The first picture of an image file.

    data: the bytes for the decoder. size: (width, height) in pixels that the header claims, where the decoder must not
    be opened to learn it; else None. exif, profile: its EXIF block and ICC profile, unchecked, where they were taken
    out of `data`; else empty, and the decoder gives them. buffered: whether the decoder also keeps the whole picture in
    its coded form, as of a JPEG of several scans.
    """

    data: bytes
    size: tuple[int, int] | None = None
    exif: bytes = b""
    profile: bytes = b""
    buffered: bool = False
