"""Each product by the compiled loops and by the operators that every device has, against the dense computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from saft_core.sparse.linear import FrozenLinear, add_linear, add_matmul
from saft_core.sparse.loops import MANY_TOKENS
from saft_core.sparse.param_delta import use_torchs_threads
from tests.fixtures.param_deltas import COUNTS, Make, either, randn, random_slices

pytestmark = pytest.mark.gpu

OUT, IN = 7, 5


@either
def test_linear(make: Make) -> None:
    delta, weights = make((6, 8), COUNTS)
    x, y = randn(3, 5, 8), randn(3, 5, 6)
    wanted = y + x @ weights.transpose(1, 2)
    add_linear(y, x, delta)
    assert_close(y, wanted)


@either
def test_matmul(make: Make) -> None:
    delta, matrices = make((8, 6), COUNTS)
    x, y = randn(3, 5, 8), randn(3, 5, 6)
    wanted = y + x @ matrices
    add_matmul(y, x, delta)
    assert_close(y, wanted)


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    use_torchs_threads()
    yield request.param
    torch.set_num_threads(before)
    use_torchs_threads()


@pytest.mark.cpu
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("tokens", [1, 2, 5])
@pytest.mark.parametrize("counts", [[9], [3, 0, 20], [0, 0], [OUT * IN, 1, 2, 3, 4, 5, 6]])
def test_every_token_of_every_row_gets_its_own_product(tokens: int, counts: list[int]) -> None:
    slices, weights = random_slices((OUT, IN), counts)
    x, y = torch.randn(len(counts), tokens, IN), torch.randn(len(counts), tokens, OUT)
    wanted = y + x @ weights.transpose(1, 2)
    add_linear(y, x, slices)
    assert_close(y, wanted)


@pytest.mark.cpu
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("tokens", [MANY_TOKENS - 1, MANY_TOKENS, 2 * MANY_TOKENS + 3])
def test_many_tokens_and_more_inputs_than_outputs(tokens: int) -> None:
    slices, weights = random_slices((5, 70), [90, 0, 350, 1])
    x, y = torch.randn(4, tokens, 70), torch.randn(4, tokens, 5)
    wanted = y + x @ weights.transpose(1, 2)
    add_linear(y, x, slices)
    assert_close(y, wanted)


@pytest.mark.cpu
def test_positions_may_be_of_64_bits() -> None:
    slices, weights = random_slices((OUT, IN), [4, 9], dtype=torch.int64)
    x, y = torch.randn(2, 3, IN), torch.zeros(2, 3, OUT)
    add_linear(y, x, slices)
    assert_close(y, x @ weights.transpose(1, 2))


@pytest.mark.cpu
def test_a_base_that_asks_for_gradients_is_refused() -> None:
    slices, _ = random_slices((OUT, IN), [4])
    x = torch.randn(1, 3, IN)
    y = torch.nn.functional.linear(x, torch.randn(OUT, IN, requires_grad=True))
    with pytest.raises(RuntimeError, match="requires grad"):
        add_linear(y, x, slices)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_a_frozen_layer_has_torchs_derivatives_of_its_input_the_second_among_them(shape: tuple[int, ...]) -> None:
    weight, bias, x = randn(7, 5), randn(7), randn(*shape)

    def derivatives(linear: Callable[[Tensor], Tensor]) -> list[Tensor]:
        at = x.clone().requires_grad_()
        y = linear(at)
        (first,) = torch.autograd.grad(y.pow(3).sum(), at, create_graph=True)
        return [y, first, *torch.autograd.grad(first.pow(2).sum(), at)]

    for ours, torchs in zip(
        derivatives(lambda at: FrozenLinear.apply(at, weight, bias)),
        derivatives(lambda at: F.linear(at, weight, bias)),
        strict=True,
    ):
        assert_close(ours, torchs, rtol=1e-4, atol=1e-3)
