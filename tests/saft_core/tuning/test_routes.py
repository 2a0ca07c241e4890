from __future__ import annotations

import pytest
import torch

from saft_core.tuning.routes import Entries, Extent, Route, cheapest, costs


@pytest.mark.parametrize(
    ("extent", "route"),
    [
        (Extent(3072, 768, 1930, 752, 3000), Route.MULTIPLIED),  # entries here and there
        (Extent(3072, 768, 1930, 752, 20_000), Route.SAMPLED),  # more of them in as many rows and columns
        (Extent(3072, 768, 400, 768, 300_000), Route.GATHERED),  # some rows, nearly whole
        (Extent(3072, 768, 3072, 768, 2_000_000), Route.DENSE),  # nearly everything
    ],
)
def test_the_model_chooses_by_what_is_touched(extent: Extent, route: Route) -> None:
    assert cheapest(1600, extent) is route


@pytest.mark.parametrize("entries", [3000, 20_000, 300_000, 2_000_000])
def test_a_gpu_takes_one_product_and_no_loop_of_short_ones(entries: int) -> None:
    extent = Extent(3072, 768, min(entries, 3072), min(entries, 768), entries)
    assert cheapest(1600, extent, "cuda") in (Route.DENSE, Route.GATHERED)


def test_more_entries_never_make_the_sampled_route_cheaper() -> None:
    prices = [costs(100, Extent(64, 64, 64, 64, entries))[Route.SAMPLED] for entries in range(64, 4096, 100)]
    assert prices == sorted(prices)


def test_entries_of_a_matrix_know_their_places() -> None:
    entries = Entries(torch.tensor([1, 4, 5, 11]), (3, 4))
    matrix = entries.matrix
    assert (matrix.extent.rows, matrix.extent.columns, matrix.extent.entries) == (3, 3, 4)
    assert matrix.rows[matrix.at_row].tolist() == [0, 1, 1, 2]
    assert matrix.columns[matrix.at_column].tolist() == [1, 0, 1, 3]
    assert matrix.row_starts.tolist() == [0, 1, 3, 4]
    assert entries.of(torch.arange(12).view(3, 4)).tolist() == [1, 4, 5, 11]
