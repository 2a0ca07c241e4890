from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse import kernels
from saft_core.sparse.convolution_loops import Geometry


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5), (0, 5)])
def test_a_linear_layer_is_torchs(shape: tuple[int, ...], bias: bool) -> None:
    x, weight, added = random(*shape), random(7, 5), random(7) if bias else None
    y = kernels.linear(x, weight, added)
    torch.testing.assert_close(y, F.linear(x, weight, added))
    assert y.is_contiguous()


def test_operands_may_lie_transposed() -> None:
    x, weight = random(9, 4).t(), random(9, 7).t()
    torch.testing.assert_close(kernels.linear(x, weight), F.linear(x, weight))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_numbers_than_float32_are_left_to_torch(dtype: torch.dtype) -> None:
    x, weight = random(3, 5).to(dtype), random(7, 5).to(dtype)
    assert not kernels.takes(x, weight, None)
    assert torch.equal(kernels.linear(x, weight), F.linear(x, weight))


def test_the_processor_of_this_machine_is_taken() -> None:
    assert kernels.takes(random(3, 5), random(7, 5), random(7))


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_convolution_is_torchs_and_keeps_the_order_in_memory(
    form: torch.memory_format, groups: int, threads: int
) -> None:
    x, weight = random(2, 4, 9, 8).contiguous(memory_format=form), random(8, 4 // groups, 3, 3)
    geometry = Geometry((2, 2), (1, 1), (1, 1))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = kernels.convolution(x, weight, random(8), geometry, groups)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(y, F.conv2d(x, weight, random(8), *geometry, groups))
    assert y.is_contiguous(memory_format=form)


BIASES = {
    "with gaps": lambda n: random(2 * n)[::2],
    "expanded": lambda n: random(1).expand(n),
    "broadcast": lambda _: random(1),
}


@pytest.mark.parametrize("bias", [BIASES["with gaps"], BIASES["expanded"], BIASES["broadcast"]], ids=BIASES.keys())
def test_a_bias_that_lies_otherwise_is_added_as_torch_adds_it(bias: Callable[[int], Tensor]) -> None:
    x, weight = random(3, 5), random(7, 5)
    torch.testing.assert_close(kernels.linear(x, weight, bias(7)), F.linear(x, weight, bias(7)))


@pytest.mark.parametrize("bias", [BIASES["with gaps"], BIASES["expanded"]], ids=list(BIASES)[:2])
def test_so_is_that_of_a_convolution(bias: Callable[[int], Tensor]) -> None:
    x, weight, geometry = random(2, 4, 9, 8), random(8, 4, 3, 3), Geometry((1, 1), (0, 0), (1, 1))
    torch.testing.assert_close(
        kernels.convolution(x, weight, bias(8), geometry, 1), F.conv2d(x, weight, bias(8), *geometry, 1)
    )


@pytest.mark.parametrize("rows", [0, 3, kernels.MANY_ROWS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_product_with_a_transposed_matrix(rows: int, dtype: torch.dtype) -> None:
    left, right = random(rows, 5).to(dtype), random(rows, 9).to(dtype)[:, 2:]
    torch.testing.assert_close(kernels.transposed_product(left, right), left.t() @ right)
