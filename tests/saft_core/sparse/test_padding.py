from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse.call import Call, Unsupported
from saft_core.sparse.padding import gradient
from saft_core.sparse.selected import Selection


def pixels(form: torch.memory_format = torch.channels_last) -> Tensor:
    return torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=form)


@pytest.mark.parametrize("widths", [(0, 1, 0, 1), (1, 2, 2, 1), (0, 0, 0, 0), (3, 0, 0, 2)])
def test_padding_and_its_gradient_are_torchs(widths: tuple[int, int, int, int]) -> None:
    ours, torchs = pixels().requires_grad_(), pixels().requires_grad_()
    found, wanted = gradient(Selection({}), Call(F.pad, (ours, widths), {"value": 0.0})), F.pad(torchs, widths)
    assert torch.equal(found, wanted)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for y in (found, wanted):
        y.pow(3).sum().backward()
    assert ours.grad is not None
    assert torchs.grad is not None
    assert torch.equal(ours.grad, torchs.grad)


@pytest.mark.parametrize(
    "call",
    [
        Call(F.pad, (pixels(), (1, 1, 1, 1)), {"value": 1.0}),
        Call(F.pad, (pixels(), (1, 1, 1, 1), "reflect"), {}),
        Call(F.pad, (pixels(), (1, -1, 0, 0)), {}),
        Call(F.pad, (pixels(), (1, 1)), {}),
        Call(F.pad, (pixels(torch.contiguous_format), (1, 1, 1, 1)), {}),
    ],
    ids=["with ones", "mirrored", "cut off", "on two sides", "channels first"],
)
def test_any_other_padding_is_left_to_torch(call: Call) -> None:
    with pytest.raises(Unsupported):
        gradient(Selection({}), call)
