"""Fetching, up to the door of the registries: the programs that speak to them write down here what they are told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tools.pretrain.packages import DEBIAN, NPM, fetch
from tools.pretrain.sources import EMOJI_SETS, HELD_OUT_SETS, ICON_SETS


def program(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", "utf-8")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """npm, apt-get and dpkg-deb; what pip would install counts as being there."""
    folder = tmp_path / "programs"
    note = f'echo "$(basename $0) $*" >> {tmp_path}/told'
    program(folder, "npm", note)
    program(folder, "apt-get", f"{note}; touch wordnet-base_1.deb")
    program(folder, "dpkg-deb", f"{note}; mkdir -p $3/usr/share/wordnet")
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/python.done").touch()
    return folder


def told(tmp_path: Path) -> list[str]:
    return (tmp_path / "told").read_text("utf-8").splitlines()


def test_every_set_of_icons_is_fetched_and_no_other() -> None:
    sets = {f"@iconify-json/{name}" for name in (*EMOJI_SETS, *ICON_SETS, *HELD_OUT_SETS)}
    assert sets == {name for name in NPM if name.startswith("@iconify-json/")}


@pytest.mark.usefixtures("programs")
def test_packages_are_fetched_in_their_versions_and_run_no_code_of_their_own(tmp_path: Path) -> None:
    packages = fetch(tmp_path / "root")
    wanted = json.loads((packages.npm.parent / "package.json").read_text("utf-8"))
    assert wanted["dependencies"] == dict(NPM)
    npm, apt, dpkg = told(tmp_path)
    assert npm.startswith("npm install ")
    assert "--ignore-scripts" in npm
    assert apt == f"apt-get download -qq {' '.join(DEBIAN)}"
    assert dpkg == f"dpkg-deb --extract {tmp_path}/root/archives/wordnet-base_1.deb {packages.debian}"
    assert packages.wordnet.is_dir()


def test_what_is_there_is_not_fetched_again_and_what_failed_is(tmp_path: Path, programs: Path) -> None:
    working = (programs / "apt-get").read_text("utf-8")
    program(programs, "apt-get", "exit 100")
    with pytest.raises(subprocess.CalledProcessError):
        fetch(tmp_path / "root")
    (programs / "apt-get").write_text(working, "utf-8")
    fetch(tmp_path / "root")
    fetch(tmp_path / "root")
    assert [line.split()[0] for line in told(tmp_path)] == ["npm", "apt-get", "dpkg-deb"]
