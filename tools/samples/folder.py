"""Writes the folder of samples: the pictures, and the list that says where each is from."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image

from tools.samples.choice import PARTS, Sample
from tools.samples.originals import Original
from tools.samples.packages import PACKAGES
from tools.samples.pictures import drawing, photograph, save

COLUMNS = ("part", "class", "file", "package", "path", "author", "licence", "source")


def write(samples: Iterable[Sample], out: Path) -> None:
    """Writes the pictures and `SOURCES.csv`; earlier pictures are replaced, whatever else lies in `out` stays."""
    for part in PARTS:
        shutil.rmtree(out / part, ignore_errors=True)
    rows = []
    for sample in samples:
        prepare: Callable[[Image.Image], Image.Image] = drawing if sample.part == "shifted" else photograph
        save(prepare(sample.original.open()), out / sample.file)
        rows.append(_row(sample))
    with (out / "SOURCES.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([COLUMNS, *rows])


def _row(sample: Sample) -> tuple[str, ...]:
    return (sample.part, sample.label, sample.file, *origin(sample.original))


def origin(original: Original) -> tuple[str, ...]:
    """Where a picture is from: the last five of `COLUMNS`."""
    package = f"{original.package} {PACKAGES[original.package]}" if original.package in PACKAGES else original.package
    return (package, original.path, original.author, original.licence, original.source)
