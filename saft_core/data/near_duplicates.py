"""Near-duplicates: image files of the same bytes, or of one picture saved again in another format, quality or size.

Of two near-duplicates one must not be trained on while accuracy is measured on the other. Images are compared by the
mean colours of 8 x 8 cells. A library of perceptual hashes is not used, since a hash of bits has no tolerance that
follows the set, which the frames of a fixed camera need.
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
"""Cells of a thumbnail in each direction."""
MAX_DIFFERENCE = 8.0
"""The largest difference of a cell, in levels of 255, between two near-duplicates.

On 300 photographs and 300 sketches of PACS, saved anew as JPEG of quality 50, as WebP, or at half or a third of the
size, no cell differed by more; the nearest other picture had one that differed by 9 or more (photographs: 59). Of
pictures of fewer than 100 pixels some are missed.
"""
MEDIAN_SHARE = 0.1
"""The same, as a share of the median difference in the set: images of a fixed camera differ little."""
SAMPLED = 256
"""Images of a set that this median is taken of."""

Thumbnails = npt.NDArray[np.float32]


def thumbnails(samples: Sequence[Sample], limits: DataLimits) -> Thumbnails:
    """The mean colours of each image's cells, float32 (N, SIDE * SIDE * 3), 0 to 255. Raises InvalidImage."""
    rows = in_threads(lambda sample: _thumbnail(decode_image(sample.read(), limits, side=4 * SIDE)), samples)
    return np.stack(rows) if rows else np.empty((0, SIDE * SIDE * 3), dtype=np.float32)


def _thumbnail(image: Image.Image) -> npt.NDArray[np.float32]:
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.float32).reshape(-1)


def tolerance(found: Thumbnails) -> float:
    """By how many levels of 255 the cells of near-duplicates may differ, in a set with these thumbnails."""
    few = found[:SAMPLED]
    apart = np.abs(few[:, None] - few[None, :]).max(axis=2)[np.triu_indices(len(few), 1)]
    return min(MAX_DIFFERENCE, MEDIAN_SHARE * float(np.median(apart))) if len(apart) else 0.0


def representatives(samples: Sequence[Sample], limits: DataLimits) -> list[str]:
    """For each sample, the content hash of the image that represents it: the same for near-duplicates.

    Images are taken in the order of their hashes, so the order of `samples` does not matter. Each joins the first
    representative that it is a near-duplicate of, or becomes one itself. So a long series, in which each image differs
    little from the one before, does not become one group.

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


def without_near_duplicates(samples: Sequence[Sample], others: Sequence[Sample], limits: DataLimits) -> list[Sample]:
    """Those of `samples` that are no near-duplicate of any of `others`, whose thumbnails give the tolerance.

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
    """Indices of the rows of `found`, among those that the mask marks, whose cells differ from row `place` by `limit`.

    found: (N, cells) float32; among: (N,) bool; means: (N,), the mean of each row of `found`, by which most rows are
    ruled out quickly: two means differ by no more than the cells do.
    """
    (alike,) = np.nonzero(among & (np.abs(means - means[place]) <= limit))
    apart = np.abs(found[alike] - found[place]).max(axis=1, initial=0.0)
    return np.asarray(alike[apart <= limit])
