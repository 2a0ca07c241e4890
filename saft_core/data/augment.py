"""Random parts of training images, as CoOp's protocol has them: a crop of 8 to 100% of the area, and a mirror image."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomHorizontalFlip, RandomResizedCrop

from saft_core.training_options import Augment


def random_view(image: Image.Image, side: int, augment: Augment, draw: tuple[int, ...]) -> Image.Image:
    """A part of `image` at side x side, mirrored half of the time with "crop_flip"; the same for the same `draw`."""
    seed = int(np.random.SeedSequence(draw).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        view: Image.Image = RandomResizedCrop(side, interpolation=InterpolationMode.BICUBIC)(image)
        if augment == "crop_flip":
            view = RandomHorizontalFlip()(view)
    return view
