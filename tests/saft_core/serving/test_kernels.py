from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch.testing import assert_close

from saft_core.serving import kernels
from saft_core.serving.loops import MANY_TOKENS
from tests.fixtures.differences import random_pieces

OUT, IN = 7, 5


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    kernels.use_torchs_threads()
    yield request.param
    torch.set_num_threads(before)
    kernels.use_torchs_threads()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("tokens", [1, 2, 5])
@pytest.mark.parametrize("counts", [[9], [3, 0, 20], [0, 0], [OUT * IN, 1, 2, 3, 4, 5, 6]])
def test_every_token_of_every_row_gets_its_own_product(tokens: int, counts: list[int]) -> None:
    pieces, weights = random_pieces((OUT, IN), counts)
    x, y = torch.randn(len(counts), tokens, IN), torch.randn(len(counts), tokens, OUT)
    wanted = y + x @ weights.transpose(1, 2)
    kernels.add_linear(y, x, pieces)
    assert_close(y, wanted)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("tokens", [MANY_TOKENS - 1, MANY_TOKENS, 2 * MANY_TOKENS + 3])
def test_many_tokens_and_more_inputs_than_outputs(tokens: int) -> None:
    pieces, weights = random_pieces((5, 70), [90, 0, 350, 1])
    x, y = torch.randn(4, tokens, 70), torch.randn(4, tokens, 5)
    wanted = y + x @ weights.transpose(1, 2)
    kernels.add_linear(y, x, pieces)
    assert_close(y, wanted)


@pytest.mark.usefixtures("threads")
def test_added_entries_are_taken_out_bit_for_bit_even_after_an_error() -> None:
    buffer, indices, differences = torch.randn(50), torch.tensor([0, 3, 4, 30, 49]), torch.randn(5) * 1e7
    before, wanted = buffer.clone(), buffer.index_add(0, indices, differences)

    def fail() -> None:
        with kernels.added(buffer, indices, differences):
            assert torch.equal(buffer, wanted)
            raise ValueError("within")

    with pytest.raises(ValueError, match="within"):
        fail()
    assert torch.equal(buffer, before)


def test_positions_may_be_of_64_bits() -> None:
    pieces, weights = random_pieces((OUT, IN), [4, 9], dtype=torch.int64)
    x, y = torch.randn(2, 3, IN), torch.zeros(2, 3, OUT)
    kernels.add_linear(y, x, pieces)
    assert_close(y, x @ weights.transpose(1, 2))


def test_a_base_that_asks_for_gradients_is_refused() -> None:
    pieces, _ = random_pieces((OUT, IN), [4])
    x = torch.randn(1, 3, IN)
    y = torch.nn.functional.linear(x, torch.randn(OUT, IN, requires_grad=True))
    with pytest.raises(RuntimeError, match="requires grad"):
        kernels.add_linear(y, x, pieces)


def test_the_first_loop_of_a_process_leaves_torch_its_number_of_threads() -> None:
    code = (
        "import torch; from saft_core.serving import kernels; torch.set_num_threads(1); buffer = torch.zeros(3)\n"
        "with kernels.added(buffer, torch.tensor([1]), torch.ones(1)): print(torch.get_num_threads())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1"]
