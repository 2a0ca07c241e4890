from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saft_core.clip.flat import FlatParameters
from saft_core.sparse.parameters import SparseParameters
from tests.fixtures.device import here
from tests.fixtures.selected_gradients import check, some_of_each

pytestmark = pytest.mark.gpu


class Padded(nn.Module):
    """Zeros around its input, as TensorFlow pads at stride 2, or on some sides alone."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.widths = widths

    def forward(self, x: Tensor) -> Tensor:
        """`x` (B, channels, H, W), a little larger."""
        return F.pad(x, self.widths)


class Residual(nn.Module):
    """What its layers give is added to, in place."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """As `x` (B, channels, H, W)."""
        y: Tensor = self.layers(x)
        y += x
        return y


def normed(channels: int, *activation: nn.Module) -> nn.Sequential:
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean, norm.running_var = torch.randn(channels), torch.rand(channels) + 0.5
    return nn.Sequential(norm, *activation)


CONVOLUTIONAL: dict[str, Callable[[], nn.Module]] = {
    "inverted residual": lambda: Residual(
        nn.Conv2d(4, 16, 1, bias=False), normed(16, nn.ReLU6(inplace=True)),
        nn.Conv2d(16, 16, 5, padding=2, groups=16, bias=False), normed(16, nn.ReLU6(inplace=True)),
        nn.Conv2d(16, 4, 1, bias=False), normed(4),
    ),
    "at stride 2, padded": lambda: nn.Sequential(
        nn.Conv2d(4, 8, 1, bias=False), normed(8, nn.ReLU(inplace=True)), Padded(0, 1, 1, 2),
        nn.Conv2d(8, 8, 3, stride=2, groups=8, bias=False), normed(8, nn.Hardtanh(-0.5, 1.5, inplace=True)),
        Padded(1, 0, 2, 0), nn.Conv2d(8, 8, 3, padding=(3, 0), groups=8),
    ),
    "activations of other kinds": lambda: nn.Sequential(
        normed(4, nn.ReLU()), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 6, 3), normed(6, nn.GELU()), normed(6),
        normed(6, nn.SiLU(inplace=True)),
    ),
    "a norm comes last": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), normed(6, nn.ReLU(inplace=True))),
}  # fmt: skip


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("make", CONVOLUTIONAL.values(), ids=CONVOLUTIONAL.keys())
def test_norms_with_their_activations(
    make: Callable[[], nn.Module], density: float, memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    module = make().eval()
    flat = FlatParameters(module.double().to(here()))
    x = torch.randn(3, 4, 9, 8, dtype=torch.float64).to(here()).contiguous(memory_format=memory_format)
    check(flat, lambda: module(x).sin().sum(), some_of_each(flat, density))


@pytest.mark.cpu
@pytest.mark.parametrize("density", [0.0, 0.03, 0.3])
@pytest.mark.parametrize("make", CONVOLUTIONAL.values(), ids=CONVOLUTIONAL.keys())
def test_norms_and_frozen_layers_in_float32_by_the_kernels(make: Callable[[], nn.Module], density: float) -> None:
    torch.manual_seed(0)
    module = make().eval()
    flat = FlatParameters(module)
    few = np.random.default_rng(0).choice(len(flat), int(density * len(flat)), replace=False)
    x = torch.randn(3, 4, 24, 20).contiguous(memory_format=torch.channels_last)
    check(flat, lambda: module(x).sin().sum(), np.unique([0, *few]).astype(np.int64), relative=1e-2)


@pytest.mark.parametrize("selected", ["weight", "bias", "neither"])
def test_a_norm_of_which_one_parameter_is_selected(selected: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 6, 3), normed(6, nn.ReLU(inplace=True)), nn.Conv2d(6, 2, 1)).eval()
    flat = FlatParameters(module.double().to(here()))
    wanted = {"weight": ["1.0.weight"], "bias": ["1.0.bias"], "neither": []}[selected]
    indices = [slot.offset + 2 for slot in flat.slots if slot.name in ["0.weight", *wanted]]
    x = torch.randn(3, 4, 9, 8, dtype=torch.float64).to(here()).contiguous(memory_format=torch.channels_last)
    check(flat, lambda: module(x).sin().sum(), np.array(indices))


@pytest.mark.parametrize("use", [lambda y, norm: y + norm(y), lambda y, norm: norm(y) + y.sigmoid() + norm(y.neg())])
def test_what_a_norm_read_may_be_used_elsewhere(use: Callable[[Tensor, nn.Module], Tensor]) -> None:
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(4, 6, 3), normed(6, nn.ReLU6(inplace=True)).eval()
    flat = FlatParameters(nn.Sequential(convolution, norm).double().to(here()))
    x = torch.randn(3, 4, 9, 8, dtype=torch.float64).to(here()).contiguous(memory_format=torch.channels_last)
    check(flat, lambda: use(convolution(x), norm).sin().sum(), some_of_each(flat, 0.3))


@pytest.mark.cpu
def test_what_an_activation_gave_is_not_written_to_before_its_backward_pass() -> None:
    """As torch's own ReLU in place, it needs its result."""
    module = nn.Sequential(nn.Conv2d(4, 6, 1), normed(6, nn.ReLU6(inplace=True))).eval()
    flat = FlatParameters(module)
    x = torch.randn(2, 4, 5, 5).contiguous(memory_format=torch.channels_last)
    with SparseParameters(flat, np.array([0])).trained(), pytest.raises(RuntimeError, match="inplace operation"):
        module(x).add_(1).sum().backward()
