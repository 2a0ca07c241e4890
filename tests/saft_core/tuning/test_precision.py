from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from saft_core.tuning.precision import logits, passes


def embeddings(rows: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, 64, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_logits_are_exact_within_autocast() -> None:
    images, texts, scale = embeddings(5, 0), embeddings(3, 1), torch.tensor(100.0)
    expected = scale * images @ texts.T
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not torch.equal((scale * images @ texts.T).float(), expected)
        assert torch.equal(logits(scale, images, texts), expected)
        of_half = logits(scale, images.bfloat16(), texts.bfloat16())
    assert of_half.dtype == torch.float32
    assert torch.equal(of_half, scale * images.bfloat16().float() @ texts.bfloat16().float().T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_keep_a_better_format(dtype: torch.dtype) -> None:
    assert logits(torch.tensor(1.0, dtype=dtype), embeddings(2, 0).to(dtype), embeddings(2, 1).to(dtype)).dtype == dtype


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_passes_on_a_gpu_take_operators_that_give_the_same_bits_and_put_them_back() -> None:
    def fused() -> list[bool]:
        return [torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled()]

    before = [torch.backends.cudnn.deterministic, *fused()]
    with passes(torch.device("cuda")):
        assert torch.backends.cudnn.deterministic
        assert not any(fused())
        assert torch.backends.cuda.math_sdp_enabled()
    assert [torch.backends.cudnn.deterministic, *fused()] == before
