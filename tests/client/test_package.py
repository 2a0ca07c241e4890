"""The client as it is installed: a wheel of its own, and a part of the service's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "client/src/saft_client"


def test_the_wheel_has_the_package_and_needs_httpx_and_httpx_sse_alone(tmp_path: Path) -> None:
    copy = shutil.copytree(ROOT / "client", tmp_path / "client", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    build = "import setuptools.build_meta as b; print(b.build_wheel('dist'))"
    built = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(copy / "dist" / built.stdout.splitlines()[-1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/METADATA"))
    modules = {path.name for path in SOURCE.iterdir() if path.is_file()}
    assert names == {f"saft_client/{name}" for name in modules}
    assert "py.typed" in modules
    assert re.findall(r"^Requires-Dist: ([\w-]+)", metadata, re.MULTILINE) == ["httpx", "httpx-sse"]


def test_nothing_but_httpx_and_httpx_sse_is_imported() -> None:
    look = (
        "import sys, httpx, httpx_sse; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import saft_client\n"
    )
    look += "new = {name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
    command = [sys.executable, "-I", "-c", look + "print(*new)", str(SOURCE.parent)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["saft_client"]


def test_the_service_carries_the_same_files_and_both_agree_on_what_they_need() -> None:
    service, client = (tomllib.loads((folder / "pyproject.toml").read_text()) for folder in (ROOT, ROOT / "client"))
    setup = service["tool"]["setuptools"]
    assert "saft_client" in setup["packages"]
    assert ROOT / setup["package-dir"]["saft_client"] == SOURCE
    assert "py.typed" in setup["package-data"]["saft_client"]
    assert set(client["project"]["dependencies"]) <= set(service["project"]["dependencies"])
