"""Decodes one image file: `python -I decoder_process.py TYPE MAX_PIXELS DATA_BYTES CPU_SECONDS`, by child_decoder.py.

The file comes on stdin. On stdout goes one line of JSON, the ICC profile and the pixels. The JSON has `mode` and `size`
(as Pillow has them), `orientation` (that of EXIF), `profile` (its bytes) and, for deep greys, `white` and `is_inverted`
(see pixels.py). Whatever is wrong ends the process with a status that is not 0, TOO_MANY_PIXELS among them. It imports
nothing of ours, so that it starts in a tenth of a second, and it may hold DATA_BYTES of memory and compute for
CPU_SECONDS, however the file lies about its size.
"""

from __future__ import annotations

import importlib
import io
import json
import resource
import sys
from typing import Any

CODE_BYTES = 320 << 20
"""Address space of the interpreter and the libraries, beside their data."""
MODES = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "LAB", "I", "F", "I;16", "I;16B"})
"""Modes whose pixels are passed on as they are; the others become RGB or RGBA."""
TOO_MANY_PIXELS = 65
"""Exit status."""
DECODERS = {
    "image/avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "image/bmp": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "image/gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "image/heic": ("pi_heif.as_plugin", "HeifImageFile"),
    "image/tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "PIL.AvifImagePlugin": {"DEFAULT_MAX_THREADS": 1},
    "pi_heif.options": {"DECODE_THREADS": 1, "THUMBNAILS": False, "DEPTH_IMAGES": False, "AUX_IMAGES": False},
}
ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 274, 258, 262, 0


def main() -> None:
    """Decode what the command line says."""
    media_type, max_pixels, data_bytes, cpu_seconds = sys.argv[1], *map(int, sys.argv[2:])
    _limit(resource.RLIMIT_DATA, data_bytes)
    _limit(resource.RLIMIT_AS, data_bytes + CODE_BYTES)
    _limit(resource.RLIMIT_CPU, cpu_seconds)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    module, name = DECODERS[media_type]
    decoder = getattr(importlib.import_module(module), name)
    for loaded in OPTIONS.keys() & sys.modules.keys():
        vars(sys.modules[loaded]).update(OPTIONS[loaded])
    with decoder(io.BytesIO(sys.stdin.buffer.read())) as image:
        _check(image, max_pixels)
        image.load()
        _check(image, max_pixels)
        _write(image, media_type)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _check(image: Any, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        sys.exit(TOO_MANY_PIXELS)


def _write(image: Any, media_type: str) -> None:
    # libheif turns the picture by itself, and in HEIC EXIF has no say. Pillow turns TIFF, and leaves AVIF to us.
    turn = image.getexif().get(ORIENTATION, 1) if media_type == "image/avif" else 1
    profile = image.info.get("icc_profile") or b""
    tags = getattr(image, "tag_v2", {})
    plain = _plain(image)
    head = {
        "mode": plain.mode,
        "size": plain.size,
        "orientation": turn,
        "profile": len(profile),
        "white": 4095 if tags.get(BITS_PER_SAMPLE) == (12,) else 65535,
        "is_inverted": tags.get(PHOTOMETRIC) == WHITE_IS_ZERO,
    }
    for part in (json.dumps(head).encode(), b"\n", profile, plain.tobytes()):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _plain(image: Any) -> Any:
    """The picture in a mode that stands for itself, without a palette or a colour that means transparent."""
    if image.has_transparency_data:
        return image if image.mode in ("LA", "RGBA") else image.convert("RGBA")
    return image if image.mode in MODES else image.convert("RGB")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(TOO_MANY_PIXELS if type(error).__name__ == "DecompressionBombError" else 1)
