"""Run by test_images.py in a process of its own: what decoding a file was said to take, and took, in bytes."""

from __future__ import annotations

import sys
from pathlib import Path

from saft_core.data.images import decode_image, open_image
from tests.fixtures.memory import peak_bytes
from tests.saft_core.data.uploads import LIMITS, encoded, picture

for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF"):  # what is loaded once is not the picture's
    decode_image(encoded(picture(), form), LIMITS)
opened = open_image(Path(sys.argv[1]).read_bytes(), LIMITS)
before = peak_bytes()
opened.decode()
sys.stdout.write(f"{opened.memory_bytes} {peak_bytes() - before}")
