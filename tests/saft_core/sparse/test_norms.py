from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from saft_core.sparse.norms import add_layer_norm, scale_and_shift
from saft_core.sparse.param_delta import ParamDelta
from tests.fixtures.device import here
from tests.fixtures.param_deltas import COUNTS, Make, either, randn, random_slices

pytestmark = pytest.mark.gpu


def _weight_and_bias(make: Make, which: str) -> tuple[tuple[ParamDelta | None, ParamDelta | None], Tensor, Tensor]:
    """ParamDelta of both, or of one alone, and the same densely, (B, 40) each."""
    (weight, weights), (bias, biases) = make((40,), COUNTS, seed=1), make((40,), COUNTS, seed=2)
    if which == "weight":
        return (weight, None), weights, torch.zeros_like(biases)
    if which == "bias":
        return (None, bias), torch.zeros_like(weights), biases
    return (weight, bias), weights, biases


@either
@pytest.mark.parametrize("which", ["weight", "bias", "both"])
@pytest.mark.parametrize("tokens", [(), (5,)])
def test_layer_norm(make: Make, which: str, tokens: tuple[int, ...]) -> None:
    delta, weights, biases = _weight_and_bias(make, which)
    x = randn(3, *tokens, 40)
    weight, bias = randn(40), randn(40)
    wanted = [F.layer_norm(x[row], (40,), weight + weights[row], bias + biases[row]) for row in range(3)]
    y, mean, scale = torch.native_layer_norm(x, (40,), weight, bias, 1e-5)
    add_layer_norm(y, x, mean, scale, *delta)
    assert_close(y, torch.stack(wanted))


def normalised(x: Tensor, scale_and_shift: tuple[Tensor, Tensor]) -> Tensor:
    scale, shift = (each.view(*each.shape, *[1] * (x.dim() - 2)) for each in scale_and_shift)
    return x * scale + shift


@either
@pytest.mark.parametrize("which", ["weight", "bias", "both"])
@pytest.mark.parametrize("plane", [(), (5,), (2, 3)])
def test_batch_norm(make: Make, which: str, plane: tuple[int, ...]) -> None:
    delta, weights, biases = _weight_and_bias(make, which)
    x, mean, variance = randn(3, 40, *plane), randn(40), torch.rand(40).to(here()) + 0.1
    weight, bias = randn(40), randn(40)

    def normed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.batch_norm(x, mean, variance, weight, bias, eps=1e-3)

    wanted = [normed(x[row : row + 1], weight + weights[row], bias + biases[row]) for row in range(3)]
    for memory in (x, x.movedim(1, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 1)):
        y = normalised(memory, scale_and_shift(3, mean, variance, weight, bias, 1e-3, *delta))
        assert_close(y, torch.cat(wanted))


@pytest.mark.cpu
def test_batch_norm_without_parameters_of_its_own() -> None:
    delta, weights = random_slices((40,), COUNTS)
    x, mean, variance = randn(3, 40, 2, 3), randn(40), torch.rand(40).to(here()) + 0.1
    wanted = [F.batch_norm(x[row : row + 1], mean, variance, 1 + weights[row]) for row in range(3)]
    assert_close(normalised(x, scale_and_shift(3, mean, variance, None, None, 1e-5, delta, None)), torch.cat(wanted))
