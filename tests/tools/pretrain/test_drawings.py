"""What the drawings train, and that the shipped folder answers as the trained parts do."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from saft_core.clip.loading import load_base
from tools.pretrain.drawings import DrawingConfig, Drawings, Head, Photographs, frozen_maps, learn_drawings
from tools.pretrain.export import export, put_together
from tools.pretrain.model import WIDTH, build_model
from tools.pretrain.phrases import EMOJI, Phrases
from tools.pretrain.trunk import NAME, Space, space_of


@pytest.fixture(scope="module")
def trunk() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(NAME, pretrained=False).eval()


@pytest.fixture(scope="module")
def space(trunk: nn.Module) -> Space:
    return space_of(trunk, WIDTH)


def _maps(count: int) -> Tensor:
    return torch.rand(count, 192, 5, 5, generator=torch.Generator().manual_seed(count)).half()


def test_classes_lie_where_the_classifier_puts_them(trunk: nn.Module, space: Space) -> None:
    weights = trunk.get_parameter("classifier.weight").detach()
    centred = weights - weights.mean(0)
    projected = centred @ space.projection
    assert_close(F.normalize(projected, dim=1), space.classes, atol=1e-4, rtol=1e-3)


def test_drawings_come_to_their_words_and_photographs_stay(trunk: nn.Module, space: Space, tmp_path: Path) -> None:
    head = Head(trunk, space.projection, torch.zeros(len(space.projection)))
    drawings = Drawings(_maps(8), names=[[row] for row in range(8)], kinds=[[]] * 8)
    photographs = Photographs(_maps(6), _maps(6) / 2)
    places = F.normalize(torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(0)), dim=1)
    phrases = Phrases(tuple("abcdefgh"), places, (EMOJI,) * 8)
    config = DrawingConfig(steps=25, batch_size=8, blend=1.0)
    new, words = learn_drawings(head, drawings, photographs, phrases, config, tmp_path / "checkpoint", lambda _: None)

    def near(of: Head, to: Tensor) -> float:
        return float((of(drawings.maps.float()) * to).sum(1).mean())

    with torch.inference_mode():
        assert near(new, words) > near(head, places) + 0.03
        assert (new(photographs.maps.float()) * head(photographs.maps.float())).sum(1).min() > 0.8
    assert_close(words.norm(dim=1), torch.ones(8))
    assert all(torch.equal(a, b) for a, b in zip(new.buffers(), head.buffers(), strict=True))  # batch norm's statistics


def test_the_folder_answers_as_the_parts_do(trunk: nn.Module, space: Space, tmp_path: Path) -> None:
    head = Head(trunk, space.projection, torch.zeros(len(space.projection)))
    export(put_together(build_model(), trunk, head), tmp_path)
    base = load_base(str(tmp_path))
    pixels = base.pixels([Image.effect_noise((200, 160), 60).convert("RGB")])
    with torch.inference_mode():
        wanted = head(frozen_maps(trunk, lambda _: pixels, 1).float())
        assert F.cosine_similarity(base.encode_pixels(pixels), wanted).item() > 0.999  # half precision in between
    assert base.defaults.template == "a photo of a {}."
