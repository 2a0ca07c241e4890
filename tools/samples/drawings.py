"""Drawings of the classes: from the two icon sets that the base is never trained on, and a few of the packages."""

from __future__ import annotations

import io
import json
from pathlib import Path

from tools.pretrain.render import on_white, rasterise
from tools.pretrain.sources import Icon, check_licence, load_emoji, read_set
from tools.samples.catalogue import DRAWINGS
from tools.samples.originals import Original
from tools.samples.pictures import DRAWN_SIZE, MARGIN

SETS = ("twemoji", "fxemoji")
"""In the order in which they are asked for a concept."""


def load_icons(icons: Path) -> dict[str, list[list[Original]]]:
    """By class and then by set, the icons that show it; `icons` is a `node_modules` folder."""
    table = load_emoji(icons)
    found: dict[str, list[list[Original]]] = {name: [] for name in DRAWINGS}
    for set_name in SETS:
        icon_of = {icon.emoji.label: icon for icon in read_set(icons, set_name, table) if icon.emoji}
        source = credit(icons / "@iconify-json" / set_name)
        for name, labels in DRAWINGS.items():
            found[name].append([drawn(icon_of[label], label, *source) for label in labels if label in icon_of])
    return found


def credit(folder: Path) -> tuple[str, str, str]:
    """Package with its version, author and licence of an icon set."""
    info = json.loads((folder / "info.json").read_text())
    version = json.loads((folder / "package.json").read_text())["version"]
    return f"@iconify-json/{folder.name} {version}", info["author"]["name"], check_licence(folder.name, info)


def drawn(icon: Icon, label: str, package: str, author: str, licence: str) -> Original:
    """An icon as a picture of its set; `label` says what it shows."""
    path = f"icons.json: {icon.name}"
    return Original(f"{icon.set_name}/{label}", package, path, author, licence, "", lambda: _png(icon))


def _png(icon: Icon) -> bytes:
    pixels = rasterise(icon.svg, DRAWN_SIZE - 2 * MARGIN)
    if pixels is None:
        raise ValueError(f"{icon.set_name} draws nothing for {icon.name}")
    stream = io.BytesIO()
    on_white(pixels).save(stream, "PNG")
    return stream.getvalue()
