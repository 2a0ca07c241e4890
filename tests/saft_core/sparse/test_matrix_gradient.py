from __future__ import annotations

import pytest
import torch

from saft_core.sparse import matrix_gradient as module
from saft_core.sparse.matrix_gradient import Route, cheapest_route, costs, matrix_gradient
from saft_core.sparse.selected import Extent, SelectedEntries
from tests.fixtures.device import here

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    ("extent", "route"),
    [
        (Extent(3072, 768, 1930, 752, 3000), Route.MULTIPLIED),  # entries here and there
        (Extent(3072, 768, 1930, 752, 30_000), Route.SAMPLED),  # more of them in as many rows and columns
        (Extent(3072, 768, 400, 768, 300_000), Route.GATHERED),  # some rows, nearly whole
        (Extent(3072, 768, 3072, 768, 2_000_000), Route.DENSE),  # nearly everything
    ],
)
def test_the_model_chooses_by_what_is_touched(extent: Extent, route: Route) -> None:
    assert cheapest_route(1600, extent) is route


@pytest.mark.parametrize("entries", [3000, 30_000, 300_000, 2_000_000])
def test_a_gpu_takes_one_product_and_no_loop_of_short_ones(entries: int) -> None:
    extent = Extent(3072, 768, min(entries, 3072), min(entries, 768), entries)
    assert cheapest_route(1600, extent, "cuda") in (Route.DENSE, Route.GATHERED)


def test_more_entries_never_make_the_sampled_route_cheaper() -> None:
    prices = [costs(100, Extent(64, 64, 64, 64, entries))[Route.SAMPLED] for entries in range(64, 4096, 100)]
    assert prices == sorted(prices)


@pytest.mark.parametrize("route", list(Route))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fraction", [0.01, 0.5])
def test_every_route_gives_the_entries_of_the_product(route: Route, dtype: torch.dtype, fraction: float) -> None:
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(50, 17, generator=generator, dtype=torch.float64).to(here(), dtype)
    x = torch.randn(50, 23, generator=generator, dtype=torch.float64).to(here(), dtype)
    positions = (torch.rand(17 * 23, generator=generator) < fraction).nonzero().reshape(-1).to(here())
    entries = SelectedEntries(positions, (17, 23))
    expected = (gradient.double().t() @ x.double()).reshape(-1)[positions]
    found = matrix_gradient(gradient, x, entries.matrix, route).double()
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.15}[dtype]
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("rows", [3, 600])
@pytest.mark.parametrize("fraction", [0.01, 0.5])
def test_products_of_many_rows_are_multiplied_some_at_a_time(rows: int, fraction: float) -> None:
    generator = torch.Generator().manual_seed(0)
    gradient, x = (torch.randn(rows, width, generator=generator).double().to(here()) for width in (17, 23))
    positions = (torch.rand(17 * 23, generator=generator) < fraction).nonzero().reshape(-1).to(here())
    found = matrix_gradient(gradient, x, SelectedEntries(positions, (17, 23)).matrix, Route.MULTIPLIED)
    torch.testing.assert_close(found, (gradient.t() @ x).reshape(-1)[positions])


def test_products_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    gradient, x = torch.randn(50, 5).to(here()).bfloat16(), torch.randn(50, 6).to(here()).bfloat16()
    entries = SelectedEntries(torch.arange(0, 30, 3, device=here()), (5, 6)).matrix
    whole = matrix_gradient(gradient, x, entries, Route.MULTIPLIED)
    monkeypatch.setattr(module, "MULTIPLIED_NUMBERS_PER_CHUNK", 7 * 10)
    torch.testing.assert_close(matrix_gradient(gradient, x, entries, Route.MULTIPLIED), whole)


def test_dot_products_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = torch.randn(5, 40).to(here()).bfloat16(), torch.randn(6, 40).to(here()).bfloat16()
    entries = SelectedEntries(torch.arange(30, device=here()), (5, 6)).matrix
    whole = module._dots(left, right, entries)
    monkeypatch.setattr(module, "DOT_BYTES_PER_CHUNK", 8 * 40 * 7)
    assert torch.equal(module._dots(left, right, entries), whole)
    torch.testing.assert_close(whole, (left.float() @ right.float().t()).reshape(-1))
