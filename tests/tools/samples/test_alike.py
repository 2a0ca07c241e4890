from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tools.samples.alike import alike


@pytest.fixture
def scene() -> Image.Image:
    return _scene(0)


def _scene(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 240, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((240, 180), Image.Resampling.BICUBIC)


def _saved(folder: Path, *pictures: Image.Image) -> list[Path]:
    paths = [folder / f"{number}.webp" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path, quality=80)
    return paths


def test_smaller_mirrored_and_framed_copies_are_alike(tmp_path: Path, scene: Image.Image) -> None:
    smaller, mirrored = scene.resize((80, 60)), ImageOps.mirror(scene)
    framed = ImageOps.expand(scene, 30, "white")
    paths = _saved(tmp_path, scene, smaller, mirrored, framed)

    assert len(alike(paths)) == 6


def test_other_pictures_are_not(tmp_path: Path, scene: Image.Image) -> None:
    assert alike(_saved(tmp_path, scene, _scene(1), _scene(2), ImageOps.flip(scene))) == []


def test_an_empty_picture_is_like_another_empty_one(tmp_path: Path, scene: Image.Image) -> None:
    empty = Image.new("RGB", (20, 20), "white")
    paths = _saved(tmp_path, empty, empty.resize((50, 30)), scene)

    assert alike(paths) == [(paths[0], paths[1])]
