"""HEIC and AVIF, the two kinds of the HEIF container: what they claim, and how they are decoded.

Their decoders are large programs in C that walk far more than pixels, and a file may claim a small picture and hold a
large one. So the claim alone is read here, with work bounded by the file's size, and decoding is done by a process of
its own (decoder_process.py) whose memory is bounded by that claim: one that crashes or grows costs its own picture.

A container is a tree of boxes: four bytes of size with their own eight included, four of type, the content.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from saft_core.data.containers import MAX_PROFILE_BYTES, Picture
from saft_core.errors import InvalidImage, Unavailable

BYTES_PER_PIXEL = 24
"""Of the decoder's process and ours together, at 10 bits with transparency; 8 bits without take half of it."""
PROCESS_BYTES = 64 << 20
"""What the decoder's process holds beside pixels and the file."""
MAX_BOXES = 20_000
SECONDS = 90
"""Twelve megapixels take one."""

_PROGRAM = Path(__file__).with_name("decoder_process.py")
_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_MAX_FTYP_BYTES = 256


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture with the colours and the turn that its file gives it."""

    image: Image.Image
    profile: bytes
    orientation: int


def heif_type(head: bytes) -> str | None:
    """`image/avif` or `image/heic` by the brands that a file begins with, None for any other file."""
    if head[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(head[:4], "big"), _MAX_FTYP_BYTES, len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    for brand in brands:  # the major one first
        if brand in _AVIF:
            return "image/avif"
        if brand in _HEIC:
            return "image/heic"
    return None


def cut_heif(data: bytes) -> Picture:
    """The file as it is, and as its canvas the largest picture or part of one that it claims to hold.

    Raises InvalidImage for too many boxes, ValueError or struct.error where the claim is missing or cut off.
    """
    sizes = [_claim(body) for body in _inside(data, (b"meta", b"iprp", b"ipco", b"ispe"))]
    return Picture(data, canvas=max(sizes, key=lambda size: size[0] * size[1]))


def decode_apart(media_type: str, data: bytes, max_pixels: int, memory_bytes: int) -> Decoded:
    """The first picture of a file, decoded by a process that may hold `memory_bytes`.

    Raises InvalidImage for more than `max_pixels` and for a process that fails, Unavailable where none starts.
    """
    limits = [str(max_pixels), str(memory_bytes + len(data))]
    command = [sys.executable, "-I", str(_PROGRAM), media_type, *limits]
    try:
        # Without our environment: it has keys in it that a decoder does not need.
        done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS, check=True, env={})  # noqa: S603
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise InvalidImage(
            f"The {media_type} file is cut off or damaged, or it is larger than it says. Export it again, or as JPEG.",
            code="damaged_image",
        ) from error
    except OSError as error:
        raise Unavailable("no process can be started to decode the image; try again in a moment") from error
    start = done.stdout.index(b"\n") + 1
    head = json.loads(done.stdout[:start])
    pixels = start + head["profile"]
    profile = done.stdout[start:pixels] if head["profile"] <= MAX_PROFILE_BYTES else b""
    image = Image.frombytes(head["mode"], tuple(head["size"]), memoryview(done.stdout)[pixels:])
    return Decoded(image, profile, head["orientation"])


def _claim(body: bytes) -> tuple[int, int]:
    """(width, height) of an `ispe` box, which has four bytes of version and flags first."""
    width, height = struct.unpack_from(">LL", body, 4)
    return width, height


def _inside(data: bytes, path: tuple[bytes, ...]) -> Iterator[bytes]:
    """The contents of all boxes at a path of types. `meta` has four bytes of version and flags before its boxes."""
    left = MAX_BOXES

    def walk(start: int, end: int, path: tuple[bytes, ...]) -> Iterator[bytes]:
        nonlocal left
        while start + 8 <= end:
            left -= 1
            if left < 0:
                raise InvalidImage(
                    f"The image file has more than {MAX_BOXES} boxes. Export it again.", code="damaged_image"
                )
            size, kind = struct.unpack_from(">L4s", data, start)
            header = 8
            if size == 1:
                (size,) = struct.unpack_from(">Q", data, start + 8)
                header = 16
            stop = end if size == 0 else start + size
            if (size and size < header) or stop > end:
                raise struct.error("a box that does not fit into the one around it")
            if kind == path[0]:
                inner = start + header + (4 if kind == b"meta" else 0)
                if len(path) == 1:
                    yield data[inner:stop]
                else:
                    yield from walk(inner, stop, path[1:])
            start = stop

    return walk(0, len(data), path)
