from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse import affine
from saft_core.sparse.affine import NOTHING, Affine
from saft_core.sparse.call import Call, Function

pytestmark = pytest.mark.parametrize("threads", [1, 2])


@pytest.fixture(autouse=True)
def of_torch(threads: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(affine, "MANY_NUMBERS", 0)  # so that two threads share even these
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    yield
    torch.set_num_threads(before)


def activations() -> Tensor:
    values = torch.randn(3, 5, 7, 4, generator=torch.Generator().manual_seed(0)) * 4
    values[0, 0, 0, 0] = math.nan
    return values.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("rows", [1, 3], ids=["all rows alike", "each row its own"])
@pytest.mark.parametrize(
    ("function", "kwargs"),
    [
        (F.relu, {"inplace": True}),
        (F.relu6, {"inplace": True}),
        (F.hardtanh, {"min_val": -1.5, "max_val": 2.5, "inplace": True}),
    ],
)
def test_the_activation_behind_is_computed_with_it(function: Function, kwargs: Mapping[str, Any], rows: int) -> None:
    y, scale, shift = activations(), torch.randn(rows, 5), torch.randn(rows, 5)
    wanted = function(y * scale[:, :, None, None] + shift[:, :, None, None], **kwargs)
    result = Affine(y, scale, shift).write(Call(function, (y,), kwargs))
    assert result is y
    torch.testing.assert_close(y, wanted, equal_nan=True)


@pytest.mark.parametrize(
    "call",
    [
        NOTHING,
        Call(F.relu, (torch.zeros(1),), {"inplace": True}),
        Call(F.relu, (), {"inplace": True}),
        Call(F.gelu, (), {}),
        Call(F.hardtanh, (1, 2, 3, 4, 5, 6), {}),
    ],
    ids=["nothing", "of another tensor", "of none", "another function", "of another form"],
)
def test_before_anything_else_it_is_computed_alone(call: Call) -> None:
    y, scale, shift = activations(), torch.randn(1, 5), torch.randn(1, 5)
    wanted = y * scale[:, :, None, None] + shift[:, :, None, None]
    assert Affine(y, scale, shift).write(call) is None
    torch.testing.assert_close(y, wanted, equal_nan=True)


def test_an_activation_that_keeps_its_input_is_left_to_torch() -> None:
    y = activations()
    assert Affine(y, torch.ones(1, 5), torch.zeros(1, 5)).write(Call(F.relu, (y,), {})) is None
    assert float(y.nan_to_num().min()) < 0
