"""Near-duplicates are found however they were saved, and what is merely alike is told apart."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saft_core.data.limits import DataLimits
from saft_core.data.near_duplicates import (
    MAX_DIFFERENCE,
    representatives,
    thumbnails,
    tolerance,
    without_near_duplicates,
)
from saft_core.data.samples import Sample
from saft_core.errors import InvalidImage
from saft_core.settings import Limits
from tests.fixtures.samples import CLASSES, of_class

LIMITS = DataLimits.from_attributes(Limits())
Change = Callable[[Image.Image], tuple[Image.Image, str, dict[str, Any]]]
CHANGES: dict[str, Change] = {
    "a poorer JPEG": lambda image: (image, "JPEG", {"quality": 50}),
    "WebP": lambda image: (image, "WEBP", {"quality": 75}),
    "PNG": lambda image: (image, "PNG", {}),
    "half the size": lambda image: (image.resize((image.width // 2, image.height // 2)), "JPEG", {"quality": 85}),
}


@cache
def photographs() -> list[Path]:
    """Some that do not get as small as the thumbnails when they are halved."""
    found = []
    for path in (path for name in CLASSES for path in of_class("train", name)):
        with Image.open(path) as opened:
            if min(opened.size) >= 100:
                found.append(path)
    return found[::3]


def sample(path: Path, change: Change | None = None) -> Sample:
    data = path.read_bytes()
    if change is not None:
        with Image.open(path) as opened:
            image, form, options = change(opened.convert("RGB"))
        file = io.BytesIO()
        image.save(file, form, **options)
        data = file.getvalue()
    return Sample(0, path.name, lambda: data)


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_picture_that_was_saved_anew_is_the_same_picture(name: str) -> None:
    originals = [sample(path) for path in photographs()]
    again = [sample(path, CHANGES[name]) for path in photographs()]
    found = representatives([*originals, *again], LIMITS)
    missed = sum(one != other for one, other in zip(found, found[len(originals) :], strict=False))
    assert missed <= (0.05 * len(originals) if name == "half the size" else 0)
    assert len(set(found)) == len(originals) + missed
    assert len(without_near_duplicates(again, originals, LIMITS)) == missed


def test_different_pictures_are_different_and_the_order_says_nothing() -> None:
    samples = [sample(path) for path in photographs()]
    found = representatives(samples, LIMITS)
    assert found == [one.content() for one in samples]
    assert representatives(samples[::-1], LIMITS) == found[::-1]
    half = len(samples) // 2
    assert without_near_duplicates(samples[half:], samples[:half], LIMITS) == samples[half:]


def frame(seed: int, mark: int | None = None) -> Sample:
    """One scene by a fixed camera: the sensor's noise, and a mark in one of the cells on the diagonal or none."""
    scene = np.kron(np.random.default_rng(0).integers(60, 180, (8, 8, 3)), np.ones((16, 16, 1)))
    if mark is not None:
        scene[16 * mark : 16 * mark + 8, 16 * mark : 16 * mark + 8] += 60
    scene += np.random.default_rng(seed).normal(0, 4, scene.shape)
    file = io.BytesIO()
    Image.fromarray(scene.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return Sample(0, f"{seed}.png", file.getvalue)


@pytest.mark.parametrize("marks", [range(8), [None] * 8])
def test_the_frames_of_a_fixed_camera_are_not_one_picture(marks: Sequence[int | None]) -> None:
    frames = [frame(seed, mark) for seed, mark in enumerate(marks)]
    assert tolerance(thumbnails(frames, LIMITS)) < MAX_DIFFERENCE
    assert len(set(representatives(frames, LIMITS))) == 8


def test_the_same_scene_taken_twice_among_others_is_one_picture() -> None:
    others = [sample(path) for path in photographs()]
    found = representatives([frame(1), frame(2), *others], LIMITS)
    assert found[0] == found[1]
    assert len(set(found)) == 1 + len(others)


def test_nothing_is_alike_where_there_is_nothing() -> None:
    one = sample(photographs()[0])
    assert representatives([], LIMITS) == []
    assert representatives([one, one], LIMITS) == [one.content()] * 2
    assert without_near_duplicates([one], [], LIMITS) == [one]
    assert without_near_duplicates([], [one], LIMITS) == []


def test_a_file_that_is_no_image_is_an_error() -> None:
    with pytest.raises(InvalidImage):
        representatives([Sample(0, "broken.png", lambda: b"nothing")], LIMITS)
