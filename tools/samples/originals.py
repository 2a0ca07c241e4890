"""The pictures that the packages hold, each with its author and licence as the package states them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from tools.pretrain.photographs import read_rcc

GCOMPRIS_ARCHIVES = (
    "categorization",
    "details",
    "erase",
    "explore_farm_animals",
    "explore_monuments",
    "explore_world_animals",
    "lang",
)

_GCOMPRIS = "/gcompris/src/activities/"
_WORDS = "lang/resource/words_sample/"
_STAMPS = "usr/share/tuxpaint/stamps/"
_SCRATCH = "usr/share/scratch/Media/"
_MATE = "usr/share/backgrounds/mate/nature/"

_PICTURE = re.compile(r"[\w./-]+\.(?:webp|jpg|png)\b")
_FIELD = re.compile(r"^(Copyright|License|Source|Comments?|Files): *", re.MULTILINE)

_MATE_AUTHORS = {
    "FreshFlower.jpg": "Jens Ansorg",
    "Garden.jpg": "Charles Barbin",
    "YellowFlower.jpg": "Charles Barbin",
}
"""As the package's `copyright` file has them."""


@dataclass(frozen=True)
class Original:
    """One picture of a package, its path there, and whose it is."""

    name: str
    """Its short name here: the collection, and the path within it."""
    package: str
    path: str
    author: str
    licence: str
    source: str
    read: Callable[[], bytes] = field(repr=False, compare=False)

    def open(self) -> Image.Image:
        """The decoded picture, RGBA."""
        with Image.open(io.BytesIO(self.read())) as opened:
            return opened.convert("RGBA")


def load_originals(tree: Path) -> dict[str, Original]:
    """Every picture with a stated licence in the tree that the packages were unpacked into, by short name."""
    found = [*_gcompris(tree / "usr/share/gcompris-qt/rcc"), *_stamps(tree), *_scratch(tree), *_mate(tree)]
    return {original.name: original for original in sorted(found, key=lambda original: original.name)}


def _gcompris(folder: Path) -> Iterator[Original]:
    for archive in GCOMPRIS_ARCHIVES:
        files = read_rcc(folder / f"{archive}.rcc")
        for readme, text in files.items():
            if PurePosixPath(readme).name == "README":
                yield from stated_in(text.decode(), PurePosixPath(readme).parent, files)
        for path, content in files.items():
            if _WORDS in path and path.endswith(".webp"):  # the package's `copyright` file has their licence
                yield _of_gcompris(path, content, "Art4Apps project", "CC-BY-SA-3.0", "http://www.art4apps.org/")


def stated_in(readme: str, folder: PurePosixPath, files: Mapping[str, bytes]) -> Iterator[Original]:
    """The pictures that the paragraphs of a README in `folder` name, of those that are in `files`.

    A paragraph is a handful of fields in any order: `Copyright`, `License`, `Source`, `Comment`, `Files`.
    """
    for paragraph in re.split(r"\n\s*\n", readme):
        parts = _FIELD.split(paragraph)
        fields = {name.rstrip("s"): value.strip() for name, value in zip(parts[1::2], parts[2::2], strict=True)}
        author, source = _author(fields)
        for picture in _PICTURE.findall(fields.get("File", "")):
            path = str(folder / picture)
            if path in files and author and "License" in fields:
                yield _of_gcompris(path, files[path], author, plain_licence(fields["License"]), source)


def _author(fields: Mapping[str, str]) -> tuple[str, str]:
    """Author and source; pictures made from another's say so in their comment."""
    author, source = fields.get("Copyright", "").removeprefix("© "), fields.get("Source", "")
    comment = fields.get("Comment", "")
    if comment.startswith("based on"):
        return f"{author}; {comment.partition(', source at ')[0]}", comment.partition(", source at ")[2]
    return author, source


def plain_licence(stated: str) -> str:
    """The licence as SPDX spells it (`CC-BY-SA 4.0` is `CC-BY-SA-4.0`), or `public domain`."""
    first = stated.splitlines()[0].strip()
    return "public domain" if first.lower() == "public domain" else first.replace(" ", "-")


def _of_gcompris(path: str, content: bytes, author: str, licence: str, source: str) -> Original:
    name = "gcompris/" + path.removeprefix(_GCOMPRIS)
    return Original(name, "gcompris-qt-data", path, author, licence, source, lambda: content)


def _stamps(tree: Path) -> Iterator[Original]:
    pictures = (path for path in (tree / _STAMPS).rglob("*.png") if not path.stem.endswith("_mirror"))
    for path in pictures:
        author, licence = "Bill Kendrick and the contributors to Tux Paint's stamps", "GPL-2.0-or-later"
        yield _of_file(tree, path, "stamps/", _STAMPS, "tuxpaint-stamps-default", author, licence)


def _scratch(tree: Path) -> Iterator[Original]:
    for path in _pictures((tree / _SCRATCH).rglob("*")):
        author = "Massachusetts Institute of Technology"
        yield _of_file(tree, path, "scratch/", _SCRATCH, "scratch", author, "CC-BY-SA-3.0")


def _mate(tree: Path) -> Iterator[Original]:
    for name, author in _MATE_AUTHORS.items():
        yield _of_file(tree, tree / _MATE / name, "mate/", _MATE, "mate-backgrounds", author, "GPL-2.0-or-later")


def _pictures(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if path.suffix in {".png", ".gif", ".jpg"})


def _of_file(tree: Path, path: Path, short: str, prefix: str, package: str, author: str, licence: str) -> Original:
    inside = path.relative_to(tree).as_posix()
    return Original(short + inside.removeprefix(prefix), package, inside, author, licence, "", path.read_bytes)
