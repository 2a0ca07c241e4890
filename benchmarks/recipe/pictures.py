"""Sets of pictures by style and class, and how a seed divides them: shots of one style to train on, all else to test.

A set is a folder with a folder a style, which holds a folder of pictures a class: PACS as it is published, or the
bundled samples, whose train and test parts are one style here.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from saft_core.data.samples import Sample

SHOTS = 16
NEW_CLASSES = "new classes"

ByClass = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class Labelled:
    """Picture files with the positions of their classes in `labels`, which are words."""

    labels: tuple[str, ...]
    files: Sequence[Path]
    targets: Sequence[int]

    @property
    def samples(self) -> list[Sample]:
        """As training takes them, read when asked for."""
        return [
            Sample(target, file.name, file.read_bytes) for file, target in zip(self.files, self.targets, strict=True)
        ]


@dataclass(frozen=True)
class Split:
    """One task under one seed: what trains, and tests by name. No picture is in two of them."""

    train: Labelled
    tests: Mapping[str, Labelled]


@dataclass(frozen=True)
class Pictures:
    """One set: its styles, and each style's files by class."""

    name: str
    styles: Mapping[str, ByClass]

    @classmethod
    def of_folders(cls, root: Path) -> Pictures:
        """A folder a style, which holds a folder a class."""
        return cls(root.name, {style.name: _by_class(style) for style in _folders(root)})

    @classmethod
    def of_samples(cls, root: Path) -> Pictures:
        """The bundled samples: photographs (train and test), and drawings of the same classes."""
        train, test = _by_class(root / "train"), _by_class(root / "test")
        photographs = {name: [*files, *test[name]] for name, files in train.items()}
        return cls("samples", {"photographs": photographs, "drawings": _by_class(root / "shifted")})

    def only(self, classes: Collection[str]) -> Pictures:
        """These classes of every style."""
        styles = {
            style: {name: files for name, files in by_class.items() if name in classes}
            for style, by_class in self.styles.items()
        }
        return Pictures(self.name, styles)

    def split(self, style: str, seed: int, new: Pictures, shots: int = SHOTS) -> Split:
        """Shots of `style` drawn by the seed; the rest of it, the other styles and the first style of `new` test."""
        drawn = {name: _shuffled(files, f"{seed}/{style}/{name}") for name, files in self.styles[style].items()}
        others = {other: _label(files) for other, files in self.styles.items() if other != style}
        unknown = {name: files for name, files in next(iter(new.styles.values())).items() if name not in drawn}
        return Split(
            train=_label({name: files[:shots] for name, files in drawn.items()}),
            tests={style: _label({name: files[shots:] for name, files in drawn.items()})}
            | others
            | ({NEW_CLASSES: _label(unknown)} if unknown else {}),
        )


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


def _by_class(style: Path) -> dict[str, list[Path]]:
    return {folder.name: sorted(folder.iterdir()) for folder in _folders(style)}


def _shuffled(files: Sequence[Path], salt: str) -> list[Path]:
    order = list(files)
    random.Random(salt).shuffle(order)  # noqa: S311 - a split, not a secret
    return order


def _label(by_class: ByClass) -> Labelled:
    rows = [(file, position) for position, files in enumerate(by_class.values()) for file in files]
    labels = tuple(name.replace("_", " ") for name in by_class)
    return Labelled(labels, [file for file, _ in rows], [position for _, position in rows])
