"""Free photographs out of Debian's `gcompris-qt-data`: what the trunk's answers on photographs are held to.

The package holds Qt resource archives; beside the pictures lies a README that states source and licence of each file.
Only files that it calls CC0 or public domain are read.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from struct import unpack_from

from PIL import Image

ARCHIVES = ("categorization", "explore_monuments", "explore_world_animals", "explore_farm_animals", "details")
FREE = re.compile(r"CC0(-1\.0)?|public domain", re.IGNORECASE)

_HEADER = ">4s4I"
_ENTRY_BYTES = {1: 14, 2: 22, 3: 22}
_COMPRESSED, _FOLDER = 1, 2


@dataclass(frozen=True)
class Photograph:
    """One picture and where its README says it is from."""

    path: str
    licence: str
    source: str
    image: Image.Image


def load_photographs(folder: Path, samples: Path) -> list[Photograph]:
    """The free photographs of the package whose `.rcc` files are in `folder`, in the order of their paths.

    Those in `samples`, the table of where the sample pictures are from, are left out: nothing measured on trains.
    """
    with samples.open(encoding="utf-8", newline="") as file:
        taken = {row["path"] for row in csv.DictReader(file)}
    found = [photograph for name in ARCHIVES for photograph in _of_archive(read_rcc(folder / f"{name}.rcc"))]
    return sorted((photo for photo in found if photo.path not in taken), key=lambda photograph: photograph.path)


def _of_archive(files: Mapping[str, bytes]) -> Iterator[Photograph]:
    for readme, text in files.items():
        if PurePosixPath(readme).name != "README":
            continue
        for entry in re.split(r"\n\s*\n", text.decode()):
            yield from _of_entry(entry, PurePosixPath(readme).parent, files)


def _of_entry(entry: str, folder: PurePosixPath, files: Mapping[str, bytes]) -> Iterator[Photograph]:
    licence, source = (_field(entry, name) for name in ("Licen[sc]e", "Source"))
    if not FREE.fullmatch(licence):
        return
    for name in re.findall(r"[\w./-]+\.(?:webp|jpg|png)\b", entry.partition("Files:")[2]):
        path = str(folder / name)
        if path in files:
            with Image.open(io.BytesIO(files[path])) as opened:
                yield Photograph(path, licence, source, opened.convert("RGB"))


def _field(entry: str, name: str) -> str:
    match = re.search(rf"^{name}: *(.+?) *$", entry, re.MULTILINE)
    return match.group(1) if match else ""


def read_rcc(path: Path) -> dict[str, bytes]:
    """The files of a Qt resource archive by path. Raises ValueError when it is none, or compressed in another way."""
    data = path.read_bytes()
    magic, version, tree, contents, names = unpack_from(_HEADER, data)
    if magic != b"qres" or version not in _ENTRY_BYTES:
        raise ValueError(f"{path} is no Qt resource archive that can be read here")
    files: dict[str, bytes] = {}

    def name_at(offset: int) -> str:
        (length,) = unpack_from(">H", data, names + offset)
        start = names + offset + 6  # behind the length and a hash
        return data[start : start + 2 * length].decode("utf-16-be")

    def walk(index: int, above: str) -> None:
        entry = tree + index * _ENTRY_BYTES[version]
        name, flags = unpack_from(">IH", data, entry)
        here = f"{above}/{name_at(name)}" if index else ""
        if flags & _FOLDER:
            count, first = unpack_from(">II", data, entry + 6)
            for child in range(first, first + count):
                walk(child, here)
        else:
            (offset,) = unpack_from(">I", data, entry + 10)
            (length,) = unpack_from(">I", data, contents + offset)
            content = data[contents + offset + 4 : contents + offset + 4 + length]
            files[here] = zlib.decompress(content[4:]) if flags & _COMPRESSED else content

    walk(0, "")
    return files
