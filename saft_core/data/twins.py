"""Images that are one picture: equal bytes, or saved anew in another format, quality or size.

Of such a pair one must not be trained on and the other measured on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from saft_core.data.images import decode_image
from saft_core.data.limits import DataLimits
from saft_core.data.samples import Sample
from saft_core.data.threads import in_threads

SIDE = 8
"""Cells of a thumbnail, across and down."""
MOST = 8.0
"""Levels of 255 by which no cell of two twins differs.

On 300 photographs and 300 sketches of PACS, saved anew as JPEG of quality 50, as WebP, or at half or a third of the
size, no cell differed by more; the nearest other picture had one that differed by 9 or more (photographs: 59). Of
pictures of fewer than 100 pixels some are missed.
"""
SHARE = 0.1
"""The same as a share of what two pictures of the set differ by: those of a fixed camera differ by little."""
SAMPLED = 256

Thumbnails = npt.NDArray[np.float32]


def thumbnails(samples: Sequence[Sample], limits: DataLimits) -> Thumbnails:
    """Mean colours of the cells, 0 to 255, (N, SIDE * SIDE * 3). Raises InvalidImage naming the file."""
    rows = in_threads(lambda sample: _thumbnail(decode_image(sample.read(), limits, side=4 * SIDE)), samples)
    return np.stack(rows) if rows else np.empty((0, SIDE * SIDE * 3), dtype=np.float32)


def _thumbnail(image: Image.Image) -> npt.NDArray[np.float32]:
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.float32).reshape(-1)


def tolerance(found: Thumbnails) -> float:
    """By how many levels the cells of twins may differ in a set with these thumbnails."""
    few = found[:SAMPLED]
    apart = np.abs(few[:, None] - few[None, :]).max(axis=2)[np.triu_indices(len(few), 1)]
    return min(MOST, SHARE * float(np.median(apart))) if len(apart) else 0.0


def pictures(samples: Sequence[Sample], limits: DataLimits) -> list[str]:
    """For each sample the content hash that stands for its picture: equal for twins, whatever the order of the samples.

    In the order of their hashes each image joins the first picture that it is a twin of. So a long series of which
    each image is only a little unlike the one before is not one picture.

    Raises InvalidImage.
    """
    first = {sample.content(): sample for sample in samples}
    contents = sorted(first)
    found = thumbnails([first[content] for content in contents], limits)
    limit, means = tolerance(found), found.mean(axis=1)
    picture_of = dict[str, str]()
    leads = np.zeros(len(contents), dtype=np.bool_)
    for place, content in enumerate(contents):
        near = _within(found, means, place, leads, limit)
        picture_of[content] = contents[near[0]] if len(near) else content
        leads[place] = not len(near)
    return [picture_of[sample.content()] for sample in samples]


def without_twins(samples: Sequence[Sample], others: Sequence[Sample], limits: DataLimits) -> list[Sample]:
    """Those of `samples` that are no twin of any of `others`; how alike twins are, the others say.

    Raises InvalidImage.
    """
    contents = {other.content() for other in others}
    rest = [sample for sample in samples if sample.content() not in contents]
    known = thumbnails(others, limits)
    found = np.concatenate([known, thumbnails(rest, limits)])
    limit, means = tolerance(known), found.mean(axis=1)
    among = np.arange(len(found)) < len(known)
    places = range(len(known), len(found))
    return [one for one, at in zip(rest, places, strict=True) if not len(_within(found, means, at, among, limit))]


def _within(
    found: Thumbnails, means: npt.NDArray[np.float32], place: int, among: npt.NDArray[np.bool_], limit: float
) -> npt.NDArray[np.intp]:
    """The places, of those that `among` marks, whose cells all differ from those at `place` by `limit` at most.

    means: of each row of `found`; two means differ by no more than the cells do, and are quickly compared.
    """
    (alike,) = np.nonzero(among & (np.abs(means - means[place]) <= limit))
    apart = np.abs(found[alike] - found[place]).max(axis=1, initial=0.0)
    return np.asarray(alike[apart <= limit])
