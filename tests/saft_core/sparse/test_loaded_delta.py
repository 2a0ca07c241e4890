from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from saft_core.clip.backbone import Base
from saft_core.clip.flat import FlatParameters
from saft_core.sparse.loaded_delta import merged
from tests.fixtures.batches import everywhere
from tests.fixtures.device import here

pytestmark = pytest.mark.gpu


def test_an_adapter_in_memory_takes_eight_bytes_an_entry(tiny_vit: Base) -> None:
    delta = everywhere(tiny_vit, 0)
    assert len(delta) > 500
    assert delta.nbytes == 8 * len(delta) + 8 * (len(tiny_vit.flat.slots) + 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("positions", [torch.int32, torch.int64])
def test_what_is_merged_is_taken_out_bit_for_bit_even_after_an_error(
    dtype: torch.dtype, positions: torch.dtype
) -> None:
    flat = FlatParameters(nn.Linear(50, 1, bias=False).to(here(), dtype))
    indices, values = torch.tensor([0, 3, 4, 30, 49]).to(here(), positions), (torch.randn(5) * 1e7).to(here(), dtype)
    before, wanted = flat.buffer.clone(), flat.buffer.index_add(0, indices.long(), values)

    def fail() -> None:
        with merged(flat, indices, values):
            assert torch.equal(flat.buffer, wanted)
            raise ValueError("within")

    with pytest.raises(ValueError, match="within"):
        fail()
    assert torch.equal(flat.buffer, before)


@pytest.mark.cpu
def test_the_first_loop_of_a_process_leaves_torch_its_number_of_threads() -> None:
    code = (
        "import torch\nfrom saft_core.clip.flat import FlatParameters\n"
        "from saft_core.sparse.loaded_delta import merged\n"
        "torch.set_num_threads(1); flat = FlatParameters(torch.nn.Linear(3, 1))\n"
        "with merged(flat, torch.tensor([1]), torch.ones(1)): print(torch.get_num_threads())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1"]
