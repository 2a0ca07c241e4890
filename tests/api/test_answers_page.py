"""The examples of docs/answers.md, run as they stand against a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from fastapi.testclient import TestClient

from tests.fixtures.rest import Site, png
from tests.fixtures.server import Server

PAGE = Path(__file__).parents[2] / "docs/answers.md"


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_every_example_runs(site: Site, client: TestClient, tmp_path: Path) -> None:
    site.new_adapter(client, "photos")
    picture = tmp_path / "penguin.png"
    picture.write_bytes(png(size=20))
    key = str(client.headers["authorization"]).removeprefix("Bearer ")
    with Server(site.app) as server:
        environment = os.environ | {"API": server.url, "KEY": key, "IMAGE": str(picture)}

        def run(*command: str) -> str:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        one, skipped, table, mixed = (run("bash", "-euc", example) for example in examples("sh"))
        (python,) = (run(sys.executable, "-c", example) for example in examples("python"))
    assert len(json.loads(one)["results"][0]["predictions"]) == 2
    told = json.loads(examples("json")[0])
    assert [result["error"] is None for result in json.loads(skipped)["results"]] == [True, False]
    found = json.loads(skipped)["results"][1]
    assert found.keys() == told.keys()
    assert found["error"]["detail"].startswith(told["error"]["detail"].removesuffix(" …"))
    assert found | {"error": 0} == told | {"error": 0}
    assert table.splitlines()[0] in PAGE.read_text().splitlines()
    assert [item["index"] for item in json.loads(mixed)["data"]] == [0, 1]
    assert python.split()[0] == "2"
