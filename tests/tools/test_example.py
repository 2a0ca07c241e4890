from __future__ import annotations

import zipfile
from pathlib import Path

from saft_core.example import FOLDER, PHOTOGRAPHS
from tools.example import packed, write_sources

SAMPLES = Path(__file__).parents[2] / "samples/photos"


def test_the_shipped_photographs_are_the_samples(tmp_path: Path) -> None:
    assert PHOTOGRAPHS.read_bytes() == packed(SAMPLES)
    with zipfile.ZipFile(PHOTOGRAPHS) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"train", "test"}
        assert len(archive.namelist()) == 286


def test_the_shipped_sources_are_those_of_the_samples(tmp_path: Path) -> None:
    write_sources(SAMPLES, tmp_path)
    written = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(written) > 2
    for path in written:
        assert path.read_bytes() == (FOLDER / path.relative_to(tmp_path)).read_bytes()
