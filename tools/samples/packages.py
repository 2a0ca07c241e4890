"""The Debian packages that the pictures come from: which versions, and how they are unpacked.

`apt-get download NAME=VERSION` puts them into a folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

PACKAGES: Mapping[str, str] = {
    "gcompris-qt-data": "3.1-2",
    "mate-backgrounds": "1.26.0-1",
    "scratch": "1.4.0.6~dfsg1-6.1",
    "tuxpaint-stamps-default": "2022.06.04-1",
}
"""Package name to version: another version may hold other pictures, and then the samples are others."""


def unpack(packages: Path, into: Path) -> None:
    """Unpacks every package found in `packages` into one tree. Raises FileNotFoundError when one is missing."""
    for name, version in PACKAGES.items():
        archive = packages / f"{name}_{version}_all.deb"
        if not archive.exists():
            raise FileNotFoundError(f"{archive} is missing: run `apt-get download {name}={version}` in {packages}")
        subprocess.run(["dpkg-deb", "-x", archive, into], check=True)
