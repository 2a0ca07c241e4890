"""Decodes an image file in a child process (decoder_process.py) whose memory and time are limited.

For formats that few people upload, or whose decoders are large programs in C that read far more than pixels: whatever
an attacker finds in one of them, a file that crashes, grows or hangs costs its own picture. A process takes a tenth of
a second to start, which is why JPEG, PNG and WebP, the formats of most uploads, are decoded in this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from saft_core.data.decoder_process import TOO_MANY_PIXELS
from saft_core.data.pixels import SIXTEEN_BITS, GreyScale
from saft_core.errors import InvalidImage, Unavailable

BYTES_PER_PIXEL = 24
"""Of the child process and this one together, at the costliest depth; 8 bits without transparency take half of it."""
PROCESS_BYTES = 64 << 20
"""What the child process holds beside pixels and the file."""
CPU_SECONDS = 30
"""Of the child process; twelve megapixels of HEIC take one."""
SECONDS = 90
"""Until the child process is killed, however few of them it was given a CPU."""

_PROGRAM = Path(__file__).with_name("decoder_process.py")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels as the file holds them, with its ICC profile, its EXIF orientation and the scale of deep greys."""

    image: Image.Image
    profile: bytes = b""
    orientation: int = 1
    greys: GreyScale = SIXTEEN_BITS


def decode_in_child(media_type: str, data: bytes, max_pixels: int, memory_bytes: int) -> Decoded:
    """The first picture of a file, decoded by a process that may hold `memory_bytes` beside the file.

    Raises InvalidImage with code `damaged_image` where the process fails, DecompressionBombError (of Pillow) for more
    than `max_pixels`, Unavailable where no process starts.
    """
    limits = map(str, (max_pixels, memory_bytes + len(data), CPU_SECONDS))
    command = [sys.executable, "-I", str(_PROGRAM), media_type, *limits]
    try:
        # Without our environment: it has keys in it that a decoder does not need.
        done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS, check=True, env={})  # noqa: S603
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if getattr(error, "returncode", None) == TOO_MANY_PIXELS:
            raise Image.DecompressionBombError from error
        raise InvalidImage(
            f"The {media_type} file is cut off or damaged, or it is larger than it says. Export it again, or as JPEG.",
            code="damaged_image",
        ) from error
    except OSError as error:
        raise Unavailable("no process can be started to decode the image; try again in a moment") from error
    start = done.stdout.index(b"\n") + 1
    head = json.loads(done.stdout[:start])
    pixels = start + head["profile"]
    image = Image.frombytes(head["mode"], tuple(head["size"]), memoryview(done.stdout)[pixels:])
    greys = GreyScale(head["white"], head["is_inverted"])
    return Decoded(image, done.stdout[start:pixels], head["orientation"], greys)
