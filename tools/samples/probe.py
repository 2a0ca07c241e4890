"""The probe set: everyday things, a photograph and a drawing of each, that no sample shows and no base of ours saw.

Looked at one by one, before any model saw them.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image

from tools.pretrain.sources import load_emoji, read_set
from tools.samples.drawings import credit, drawn
from tools.samples.folder import COLUMNS, origin
from tools.samples.originals import Original
from tools.samples.pictures import drawing, photograph

SET = "twemoji"
SIDE, QUALITY = 160, 80
"""Of the longer side, in pixels, and of WebP: what a small base sees."""

CONCEPTS: Mapping[str, tuple[str, str]] = {
    "American football": ("sports/football", "american football"),
    "Christmas tree": ("seasonal/christmas/Christmas_Tree_photo", "Christmas tree"),
    "basketball": ("sports/basketball", "basketball"),
    "bell pepper": ("food/vegetables/pepper", "bell pepper"),
    "broccoli": ("food/vegetables/broccoli", "broccoli"),
    "camel": ("animals/mammals/camel/dromedary", "camel"),
    "camera": ("hobbies/camera_35mm", "camera"),
    "carrot": ("food/vegetables/carrot", "carrot"),
    "corn": ("food/vegetables/corn", "ear of corn"),
    "dolphin": ("animals/mammals/aquatic/dolphin", "dolphin"),
    "drum": ("hobbies/music/percussion/drumkit", "drum"),
    "eggplant": ("food/vegetables/eggplant", "eggplant"),
    "elephant": ("animals/mammals/elephant", "elephant"),
    "fire": ("naturalforces/fire", "fire"),
    "frog": ("animals/amphibians/frog", "frog"),
    "garlic": ("food/vegetables/garlic", "garlic"),
    "gorilla": ("animals/mammals/apes/gorilla", "gorilla"),
    "grasshopper": ("animals/insects/grasshopper", "cricket"),
    "guitar": ("hobbies/music/string/guitar_classical", "guitar"),
    "hippopotamus": ("animals/mammals/hippopotamus", "hippopotamus"),
    "lizard": ("animals/lizards/iguana", "lizard"),
    "lobster": ("animals/fish/lobster", "lobster"),
    "monkey": ("animals/mammals/apes/chimp", "monkey"),
    "moon": ("space/moon/moon_full", "full moon"),
    "mushroom": ("food/vegetables/mushroom", "mushroom"),
    "onion": ("food/vegetables/onion", "onion"),
    "potato": ("food/vegetables/potato", "potato"),
    "rhinoceros": ("animals/mammals/rhino_black", "rhinoceros"),
    "scissors": ("household/arttools/scissors_small_open", "scissors"),
    "soccer ball": ("sports/soccer", "soccer ball"),
    "stethoscope": ("medical/stethoscope", "stethoscope"),
    "syringe": ("medical/syringe", "syringe"),
    "tennis ball": ("sports/tennis_ball", "tennis"),
    "tomato": ("food/vegetables/tomato", "tomato"),
    "tree": ("plants/trees/tree336", "deciduous tree"),
    "trophy": ("sports/trophy_cup", "trophy"),
    "trumpet": ("hobbies/music/brass/trumpet", "trumpet"),
    "violin": ("hobbies/music/string/violin", "violin"),
    "whale": ("animals/mammals/aquatic/whale", "whale"),
}
"""Concept to the stamp that is a photograph of it, and the label of the emoji that draws it."""


def make_probe(originals: Mapping[str, Original], icons: Path, out: Path) -> int:
    """Makes the folder `out`, one folder a concept and `SOURCES.csv`; how many pictures it holds.

    Raises KeyError when a picture is not in the packages.
    """
    for concept in CONCEPTS:
        shutil.rmtree(out / concept, ignore_errors=True)
    rows = list(_pictures(originals, icons, out))
    with (out / "SOURCES.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([COLUMNS[1:], *rows])
    return len(rows)


def _pictures(originals: Mapping[str, Original], icons: Path, out: Path) -> Iterator[tuple[str, ...]]:
    emoji = {icon.emoji.label: icon for icon in read_set(icons, SET, load_emoji(icons)) if icon.emoji}
    source = credit(icons / "@iconify-json" / SET)
    for concept, (stamp, label) in CONCEPTS.items():
        taken = originals[f"stamps/{stamp}.png"]
        yield _saved(photograph(taken.open()), concept, out / concept / "photograph.webp", taken)
        taken = drawn(emoji[label], label, *source)
        yield _saved(drawing(taken.open()), concept, out / concept / "drawing.webp", taken)


def _saved(picture: Image.Image, concept: str, path: Path, original: Original) -> tuple[str, ...]:
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "WEBP", quality=QUALITY, method=6)
    return (concept, f"{concept}/{path.name}", *origin(original))
