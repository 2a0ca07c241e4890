from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ui.pictures import THUMBNAIL_PIXELS, Picture, strip, thumbnail


def file(mode: str, kind: str, size: tuple[int, int] = (600, 300)) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "JPEG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("RGBA", "PNG"),
        ("P", "GIF"),
        ("1", "PNG"),
        ("LA", "PNG"),
        ("I;16", "PNG"),
    ],
)
def test_a_thumbnail_is_small_and_keeps_its_shape(mode: str, kind: str) -> None:
    head, _, payload = thumbnail(file(mode, kind)).partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(payload))) as small:
        assert small.size == (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS // 2)


@pytest.mark.parametrize("content", [b"", b"no image", file("RGB", "PNG")[:60]])
def test_a_file_that_cannot_be_read_shows_its_name_instead(content: bytes) -> None:
    assert thumbnail(content) == ""
    assert "cat/1.png" in strip([Picture(content, "cat/1.png")])


def test_order_is_kept_and_names_are_escaped() -> None:
    html = strip([Picture(file("RGB", "PNG"), f'"{i}"<i>', f"{i} · <b>") for i in range(3)], "<h1>")
    assert html.index("0 · ") < html.index("1 · ") < html.index("2 · ")
    assert "<h1>" not in html
    assert "<i>" not in html
    assert "<b>" not in html


REPOSITORY = Path(__file__).parents[2]
LARGE = """
import io, sys
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from tests.fixtures.memory import peak_bytes
from ui.pictures import thumbnail

file = io.BytesIO()
Image.new(sys.argv[1], (5000, 5000)).save(file, "PNG")
thumbnail(file.getvalue())
before = peak_bytes()
with ThreadPoolExecutor(6) as pool:
    assert all(pool.map(thumbnail, [file.getvalue()] * 6))
print(peak_bytes() - before)
"""


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_large_pictures_at_once_cost_no_more_memory_than_one(mode: str) -> None:
    more = subprocess.run(
        [sys.executable, "-c", LARGE, mode], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert int(more.stdout) < 5000 * 5000 * 4
