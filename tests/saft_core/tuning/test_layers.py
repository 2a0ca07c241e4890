from __future__ import annotations

import pytest
import torch

from saft_core.tuning import layers
from saft_core.tuning.layers import Channels, matrix_gradient
from saft_core.tuning.routes import Entries, Route
from tests.fixtures.device import here

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("route", list(Route))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fraction", [0.01, 0.5])
def test_every_route_gives_the_entries_of_the_product(route: Route, dtype: torch.dtype, fraction: float) -> None:
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(50, 17, generator=generator, dtype=torch.float64).to(here(), dtype)
    x = torch.randn(50, 23, generator=generator, dtype=torch.float64).to(here(), dtype)
    positions = (torch.rand(17 * 23, generator=generator) < fraction).nonzero().reshape(-1).to(here())
    entries = Entries(positions, (17, 23))
    expected = (gradient.double().t() @ x.double()).reshape(-1)[positions]
    found = matrix_gradient(gradient, x, entries.matrix, route).double()
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.15}[dtype]
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_products_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    gradient, x = torch.randn(50, 5).to(here()).double(), torch.randn(50, 6).to(here()).double()
    entries = Entries(torch.arange(0, 30, 3, device=here()), (5, 6)).matrix
    whole = matrix_gradient(gradient, x, entries, Route.MULTIPLIED)
    monkeypatch.setattr(layers, "MULTIPLIED_NUMBERS_PER_CHUNK", 7 * 10)
    torch.testing.assert_close(matrix_gradient(gradient, x, entries, Route.MULTIPLIED), whole)


def test_dot_products_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = torch.randn(5, 40).to(here()).bfloat16(), torch.randn(6, 40).to(here()).bfloat16()
    entries = Entries(torch.arange(30, device=here()), (5, 6)).matrix
    whole = layers._dots(left, right, entries)
    monkeypatch.setattr(layers, "DOT_BYTES_PER_CHUNK", 8 * 40 * 7)
    assert torch.equal(layers._dots(left, right, entries), whole)
    torch.testing.assert_close(whole, (left.float() @ right.float().t()).reshape(-1))


def test_channels_find_the_entries_in_the_small_weight() -> None:
    shape = (4, 3, 2, 2)
    positions = torch.tensor([13, 15, 20, 40])
    channels = Channels(Entries(positions, shape))
    weight = torch.arange(48).view(shape)
    small = weight[channels.outputs][:, channels.inputs]
    assert small.reshape(-1)[channels.positions].tolist() == positions.tolist()
    assert (len(channels.outputs), len(channels.inputs)) == (2, 3)
