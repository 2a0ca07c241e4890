from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from PIL import Image

from saft_core.data.samples import Sample
from saft_core.tuning.loaders import PixelLoader
from tests.fixtures.models import to_pixels
from tests.fixtures.tasks import LIMITS, colour_samples


class Counted:
    """Samples whose reads are counted."""

    def __init__(self) -> None:
        self.reads = 0
        self.samples = [Sample(one.label, one.path, self._reader(one)) for one in colour_samples(2)]

    def _reader(self, sample: Sample) -> Callable[[], bytes]:
        def read() -> bytes:
            self.reads += 1
            return sample.read()

        return read


def pixels(images: Sequence[Image.Image]) -> torch.Tensor:
    return torch.stack([to_pixels(image) for image in images])


@pytest.mark.parametrize(("cache_bytes", "reads"), [(1 << 20, 6), (0, 12)])
def test_views_are_made_of_images_that_are_decoded_once_where_memory_allows(cache_bytes: int, reads: int) -> None:
    counted = Counted()
    loader = PixelLoader(counted.samples, pixels, LIMITS, cache_bytes=cache_bytes)
    for _ in range(2):
        made, targets = loader.views(range(6), lambda image, position: image.resize((8, 8)).rotate(90 * position))
        assert targets.tolist() == [0, 0, 1, 1, 2, 2]
    assert counted.reads == reads
    plain = loader.batch([1])[0][0]
    assert not torch.equal(made[1], plain)
