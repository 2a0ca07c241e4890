from __future__ import annotations

import torch

from saft_core.sparse.selected import SelectedEntries


def test_entries_of_a_matrix_know_their_places() -> None:
    entries = SelectedEntries(torch.tensor([1, 4, 5, 11]), (3, 4))
    matrix = entries.matrix
    assert (matrix.extent.rows, matrix.extent.columns, matrix.extent.entries) == (3, 3, 4)
    assert matrix.rows[matrix.at_row].tolist() == [0, 1, 1, 2]
    assert matrix.columns[matrix.at_column].tolist() == [1, 0, 1, 3]
    assert matrix.row_starts.tolist() == [0, 1, 3, 4]
    assert entries.of(torch.arange(12).view(3, 4)).tolist() == [1, 4, 5, 11]


def test_channels_find_the_entries_in_the_small_weight() -> None:
    shape = (4, 3, 2, 2)
    positions = torch.tensor([13, 15, 20, 40])
    channels = SelectedEntries(positions, shape).channels
    weight = torch.arange(48).view(shape)
    small = weight[channels.outputs][:, channels.inputs]
    assert small.reshape(-1)[channels.positions].tolist() == positions.tolist()
    assert (len(channels.outputs), len(channels.inputs)) == (2, 3)
