"""The parameters that a training selects entries of, and these entries.

An autograd function of this package takes its layer's usual tensors, which need no gradient of their own, and `values`
(k,), a leaf of autograd that stands for the selected entries of a parameter: their numbers are in the parameter
already, and what backward gives is the gradient of `values`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function


class SelectedEntries:
    """The selected entries of one parameter.

    positions: int64 (k,), ascending row-major positions within the parameter. shape: the parameter's own.
    """

    def __init__(self, positions: Tensor, shape: tuple[int, ...]) -> None:
        self.positions = positions
        self.shape = shape

    def __len__(self) -> int:
        return len(self.positions)

    def of(self, gradient: Tensor) -> Tensor:
        """The entries (k,) of a dense `gradient` of the parameter's shape."""
        return gradient.reshape(-1).index_select(0, self.positions)

    @cached_property
    def matrix(self) -> MatrixEntries:
        """The same entries, with the parameter seen as a matrix (first dimension, all others)."""
        out_features, in_features = self.shape[0], max(1, math.prod(self.shape[1:]))
        rows, at_row = (self.positions // in_features).unique(return_inverse=True)
        columns, at_column = (self.positions % in_features).unique(return_inverse=True)
        extent = Extent(out_features, in_features, len(rows), len(columns), len(self.positions))
        return MatrixEntries(rows, columns, at_row, at_column, extent)

    @cached_property
    def channels(self) -> Channels:
        """The same entries, with the parameter seen as a convolution's weight."""
        return Channels.touched_by(self)


@dataclass(frozen=True)
class Extent:
    """Sizes of a selection within a matrix: its shape, the rows and columns it touches, and its entries."""

    out_features: int
    in_features: int
    rows: int
    columns: int
    entries: int


@dataclass(frozen=True, eq=False)
class MatrixEntries:
    """Selected entries of a matrix: entry i lies in row `rows[at_row[i]]` and column `columns[at_column[i]]`.

    rows: int64 (R,) and columns: int64 (C,), ascending, the touched ones. at_row, at_column: int64 (k,).
    """

    rows: Tensor
    columns: Tensor
    at_row: Tensor
    at_column: Tensor
    extent: Extent

    @cached_property
    def row_starts(self) -> Tensor:
        """Where each touched row's entries begin, int64 (R + 1,): the compressed-row form."""
        counts = torch.bincount(self.at_row, minlength=len(self.rows))
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a convolution's weight (out, in, kh, kw) that its selected entries touch.

    outputs, inputs: int64, ascending. positions: int64 (k,), each entry within the weight of these channels alone.
    """

    outputs: Tensor
    inputs: Tensor
    positions: Tensor

    @classmethod
    def touched_by(cls, entries: SelectedEntries) -> Channels:
        """Those of the entries of a weight of four dimensions."""
        _, in_channels, height, width = entries.shape
        window = height * width
        outputs, at_output = (entries.positions // (in_channels * window)).unique(return_inverse=True)
        inputs, at_input = (entries.positions // window % in_channels).unique(return_inverse=True)
        return cls(outputs, inputs, (at_output * len(inputs) + at_input) * window + entries.positions % window)


@dataclass(frozen=True, eq=False)
class SelectedParameter:
    """A parameter with its selected entries; `values` (k,) is the leaf whose gradient backward computes."""

    parameter: Tensor
    values: Tensor
    entries: SelectedEntries

    def dense(self) -> Tensor:
        """The parameter as an operand of any function: its dense gradient is computed, and the entries of it kept."""
        return _DenseGradient.apply(self.values, self.parameter, self.entries)  # type: ignore[no-any-return]


class _DenseGradient(Function):
    """Hands a parameter out as it is, takes its dense gradient, keeps the entries and lets it go."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, parameter: Tensor, entries: SelectedEntries) -> Tensor:
        ctx.entries, ctx.dtype = entries, values.dtype
        return parameter.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.entries.of(gradient).to(ctx.dtype), None, None


class Selection:
    """The parameters with selected entries, by the `id` of each."""

    def __init__(self, selected: Mapping[int, SelectedParameter]) -> None:
        self._selected = selected

    def of(self, operand: Any) -> SelectedParameter | None:
        """The selection within `operand`, if it is a selected parameter."""
        return self._selected.get(id(operand)) if isinstance(operand, Tensor) else None

    def dense(self, operand: Any) -> Any:
        """`operand`, every selected parameter in it, in lists and tuples too, as `SelectedParameter.dense`."""
        if type(operand) in (list, tuple):
            return type(operand)(map(self.dense, operand))
        selected = self.of(operand)
        return operand if selected is None else selected.dense()

    def split(self, parameter: Tensor | None, sizes: Sequence[int]) -> Sequence[Tensor | None]:
        """A parameter in parts of these lengths along its first dimension."""
        return [None] * len(sizes) if parameter is None else self.dense(parameter).split(sizes)
