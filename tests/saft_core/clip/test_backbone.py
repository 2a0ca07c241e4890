from __future__ import annotations

import torch

from saft_core.clip.backbone import Base
from tests.fixtures.models import make_base


def test_texts_beyond_the_context_are_cut(tiny_vit: Base) -> None:
    words = " ".join(["cat"] * 500)
    with torch.inference_mode():
        assert tiny_vit.encode_texts([words]).shape == (1, 16)


def test_a_base_is_described_in_a_line() -> None:
    base = make_base("resnet")
    described = base.describe()
    for words in (
        "tiny-resnet",
        base.fingerprint[:12],
        "on cpu",
        f"{base.parameter_count:,} parameters",
        "GELU and ReLU",
    ):
        assert words in described
    assert "\n" not in described
