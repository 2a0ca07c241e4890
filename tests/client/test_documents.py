"""The examples of docs/client.md and client/README.md, run as they stand against a real server."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.fixtures.client import written
from tests.fixtures.page import key_of
from tests.fixtures.rest import Site, labelled, png
from tests.fixtures.server import Server

ROOT = Path(__file__).parents[2]


@contextmanager
def worked_on(site: Site) -> Iterator[None]:
    """Jobs are done as they are ordered."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.05):
            while site.published:
                site.work(site.published.pop(0))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


def examples(page: Path) -> str:
    """All Python of a page, in its order."""
    return "".join(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("page", ["docs/client.md", "client/README.md"])
def test_every_example_runs(site: Site, client: TestClient, tmp_path: Path, page: str) -> None:
    written(tmp_path / "photos/train")
    written(tmp_path / "photos/test", labelled(seed=100) | {"cat/bad.png": b"no picture"})
    for number, name in enumerate(("one.png", "two.png")):
        (tmp_path / name).write_bytes(png(number))
    code = examples(ROOT / page)
    assert code.count("client.") > 5
    with Server(site.app) as server, worked_on(site):
        environment = os.environ | {
            "SAFT_URL": server.url,
            "SAFT_API_KEY": key_of(client),
            "PYTHONPATH": str(ROOT / "client/src"),
        }
        ran = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.search(r"^-?\d\.\d{3}  \S+\.png", ran.stdout, re.MULTILINE)
    if page == "docs/client.md":
        rows = list(csv.DictReader((tmp_path / "answers.csv").open()))
        assert [row["error"] != "" for row in rows] == [Path(row["file"]).name == "bad.png" for row in rows]
        assert "404 not_found" in ran.stdout
        assert "4 images, 1 left out" in ran.stdout
