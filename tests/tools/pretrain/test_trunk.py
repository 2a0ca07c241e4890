from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tools.pretrain.trunk import WEIGHTS, load_trunk, space_of


class Trunk(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(6, 4)


def test_classes_lie_in_the_space_as_their_weights_lie_to_each_other() -> None:
    torch.manual_seed(0)
    trunk = Trunk()
    space = space_of(trunk, width=3)  # four centred rows span three directions: nothing is lost
    weights = trunk.classifier.weight.detach()
    centred = weights - weights.mean(0)
    cosines = nn.functional.cosine_similarity(centred[:, None], centred[None], dim=-1)
    torch.testing.assert_close(space.classes @ space.classes.T, cosines)
    projected = nn.functional.normalize(centred @ space.projection, dim=1)
    torch.testing.assert_close(projected, space.classes)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).parent.mkdir(parents=True)
    torch.save({"weight": torch.zeros(2)}, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match="are not those of"):
        load_trunk(tmp_path)
