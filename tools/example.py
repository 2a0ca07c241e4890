"""`python -m tools.example`: makes saft_core/example_photographs from samples/photos, by the product's own training.

The adapter is what POST /adapters makes of these photographs on the embedded base where nothing else is said.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from saft_core.clip.labels import check_labels
from saft_core.clip.loading import load_base
from saft_core.data.archive import read_archive
from saft_core.data.labelled import LabelledImage, collect
from saft_core.data.limits import DataLimits
from saft_core.data.near_duplicates import without_near_duplicates
from saft_core.data.probe_set import load_probe
from saft_core.data.samples import Sample
from saft_core.example import ANSWERS, CONTAINER, FOLDER, PHOTOGRAPHS
from saft_core.settings import Limits
from saft_core.templates import PLACEHOLDER
from saft_core.tuning.adapt import Adaptation, adapt
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.training_sets import TrainingSets

SAMPLES = Path("samples/photos")
PARTS = ("train", "test")
SPLITS = ("test", "held-out", "training")
"""The order in which mistakes are listed."""


def main() -> None:
    """Write the folder anew."""
    FOLDER.mkdir(exist_ok=True)
    PHOTOGRAPHS.write_bytes(packed(SAMPLES))
    write_sources(SAMPLES, FOLDER)
    task = task_of(PHOTOGRAPHS, DataLimits.from_attributes(Limits()))
    made = trained(task)
    CONTAINER.write_bytes(made.container)
    rows = ",\n".join(json.dumps(row) for row in answers_of(made, task))
    ANSWERS.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    figures = made.metrics
    print(f"{figures['zero_shot_right']} of {figures['test_images']} right before, {figures['right']} after;", end=" ")
    print(f"{len(made.mistakes)} mistakes, {sum(path.stat().st_size for path in FOLDER.rglob('*.*')):,} bytes")


def packed(samples: Path) -> bytes:
    """A zip file of the photographs, the same bytes of the same pictures; they are compressed already."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for part in PARTS:
            for path in sorted((samples / part).rglob("*.*")):
                archive.writestr(zipfile.ZipInfo(path.relative_to(samples).as_posix()), path.read_bytes())
    return file.getvalue()


def write_sources(samples: Path, out: Path) -> None:
    """Whose the packed pictures are, with the texts of their licences."""
    with (samples / "SOURCES.csv").open(encoding="utf-8", newline="") as stream:
        columns, *rows = csv.reader(stream)
    packed_rows = [row for row in rows if row[columns.index("part")] in PARTS]
    with (out / "SOURCES.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([columns, *packed_rows])
    licences = {row[columns.index("licence")] for row in packed_rows}
    shutil.rmtree(out / "LICENSES", ignore_errors=True)
    (out / "LICENSES").mkdir()
    for text in sorted((samples / "LICENSES").iterdir()):
        if text.stem in licences:
            shutil.copy(text, out / "LICENSES")


def task_of(photographs: Path, limits: DataLimits) -> TrainingSets:
    """What a job on the two datasets of an upload of the zip would be given."""
    files: dict[str, bytes] = {}

    def save(sha256: str, data: bytes, _: str) -> None:
        files[sha256] = data

    check = partial(check_labels, load_base(""), template=PLACEHOLDER, field="classes")
    with photographs.open("rb") as file:
        found = collect(read_archive(file, limits), limits, save, check)
    if found.rejected or found.test is None:
        raise SystemExit(f"not all of {photographs} can be used: {found.rejected}")
    labels = tuple(name for name, _ in found.classes)

    def samples(images: Sequence[LabelledImage]) -> Iterator[Sample]:
        for one in images:
            read = partial(files.__getitem__, one.sha256)
            yield Sample(labels.index(one.label), one.path, read, one.sha256, one.position)

    train, test = list(samples(found.images)), list(samples(found.test.images))
    return TrainingSets(labels, train, without_near_duplicates(test, train, limits))


def trained(task: TrainingSets) -> Adaptation:
    """The adapter of the embedded base's defaults."""
    base = load_base("")
    config = TrainingConfig.read(vars(base.defaults) | {"seed": 0})
    return adapt(base, task, config, DataLimits.from_attributes(Limits()), lambda _: None, probe=load_probe())


def answers_of(made: Adaptation, task: TrainingSets) -> list[tuple[str, str, str, str]]:
    """(hash, split, label, prediction) of every photograph: by split, in it by position."""
    places = {one.content(): one.position or 0 for one in (*task.train, *task.test)}
    ordered = sorted(made.answers.items(), key=lambda told: (SPLITS.index(told[1].split), places[told[0]]))
    return [(sha256, told.split, told.label, told.prediction) for sha256, told in ordered]


if __name__ == "__main__":
    main()
