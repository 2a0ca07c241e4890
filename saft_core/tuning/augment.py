"""Augmentation of training images as in CoOp's protocol: a random crop of 8 to 100% of the area, and a random flip.

`Augment` lists what `config.augment` may say, `random_view` does it by torchvision.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomHorizontalFlip, RandomResizedCrop

from saft_core.training_options import Augment


def random_view(image: Image.Image, side: int, augment: Augment, draw: tuple[int, ...]) -> Image.Image:
    """A random crop of `image`, resized to (side, side) pixels, with "crop_flip" mirrored half of the time.

    draw: seeds the random numbers; the same `draw` gives the same crop.
    """
    seed = int(np.random.SeedSequence(draw).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        view: Image.Image = RandomResizedCrop(side, interpolation=InterpolationMode.BICUBIC)(image)
        if augment == "crop_flip":
            view = RandomHorizontalFlip()(view)
    return view
