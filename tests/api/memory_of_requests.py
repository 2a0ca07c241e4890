"""Run by test_memory.py in a process of its own: eight requests at once, and the memory they took at their peak."""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from saft_core.store.database import create_sessions
from tests.fixtures.memory import peak_bytes
from tests.fixtures.models import make_base
from tests.fixtures.rest import make_site, png

REQUESTS = 8
SIDE = 7_000


def large_png() -> bytes:
    """A file of 6 KB."""
    file = io.BytesIO()
    Image.new("1", (SIDE, SIDE)).save(file, "PNG", optimize=True)
    return file.getvalue()


def main(database_url: str) -> None:
    """Write by how many bytes the peak grew."""
    with tempfile.TemporaryDirectory() as folder:
        site = make_site(create_sessions(database_url), make_base("vit"), Path(folder))
        client = site.new_tenant("memory")
        body = {"labels": ["cat", "dog"], "images": [base64.b64encode(png()).decode()]}
        assert client.post("/classify", json=body).status_code == 200
        body["images"] = [base64.b64encode(large_png()).decode()] * 2
        before = peak_bytes()
        with ThreadPoolExecutor(REQUESTS) as pool:
            answers = list(pool.map(lambda _: client.post("/classify", json=body), range(REQUESTS)))
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        sys.stdout.write(str(peak_bytes() - before))


if __name__ == "__main__":
    main(sys.argv[1])
