"""Decodes one HEIC or AVIF file in a process of its own: `python -I decoder_process.py TYPE MAX_PIXELS DATA_BYTES`.

The file comes on stdin. On stdout goes one line of JSON (mode, size, orientation, profile: its bytes), the colour
profile and the pixels. Whatever is wrong ends it with a status that is not 0. It imports nothing of ours, so that it
starts in a tenth of a second, and it may hold DATA_BYTES of memory and compute for CPU_SECONDS, however the file lies
about its size.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from typing import Any

CPU_SECONDS = 60
CODE_BYTES = 320 << 20
"""Address space of the interpreter and the libraries, beside their data."""
MODES = frozenset({"L", "LA", "RGB", "RGBA"})
ORIENTATION = 274


def main() -> None:
    """Decode what the command line says."""
    media_type, max_pixels, data_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _limit(resource.RLIMIT_DATA, data_bytes)
    _limit(resource.RLIMIT_AS, data_bytes + CODE_BYTES)
    _limit(resource.RLIMIT_CPU, CPU_SECONDS)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    opener = {"image/heic": _heic, "image/avif": _avif}[media_type]
    with opener(sys.stdin.buffer.read()) as image:
        if image.width * image.height > max_pixels:
            sys.exit(2)
        image.load()
        if image.width * image.height > max_pixels:
            sys.exit(2)
        # libheif turns the picture itself, and as the format has it EXIF has no say; libavif leaves that to us.
        turn = image.getexif().get(ORIENTATION, 1) if media_type == "image/avif" else 1
        profile = image.info.get("icc_profile") or b""
        plain = image if image.mode in MODES else image.convert("RGBA" if image.has_transparency_data else "RGB")
        head = {"mode": plain.mode, "size": plain.size, "orientation": turn, "profile": len(profile)}
        for part in (json.dumps(head).encode(), b"\n", profile, plain.tobytes()):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _heic(data: bytes) -> Any:
    from pi_heif import options  # noqa: PLC0415 (of the two only the one that is needed is loaded)
    from pi_heif.as_plugin import HeifImageFile  # noqa: PLC0415

    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    opener: Any = HeifImageFile
    return opener(io.BytesIO(data))


def _avif(data: bytes) -> Any:
    from PIL import AvifImagePlugin  # noqa: PLC0415

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return AvifImagePlugin.AvifImageFile(io.BytesIO(data))


if __name__ == "__main__":
    main()
