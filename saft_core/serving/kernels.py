"""What both routes do on a CPU that torch has no good operator for.

A row's difference of a weight has few entries, so its product is few operations: what costs is to move activations.
Torch's operators want them transposed for a sparse product, and the result back again. The compiled loops (loops.py)
take them as they lie, few tokens at a time, so that these are in the nearest cache when an entry asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from saft_core.serving import convolution_loops, loops
from saft_core.serving.loops import Integers


@contextmanager
def added(buffer: Tensor, indices: Tensor, differences: Tensor) -> Iterator[None]:
    """As `FlatParameters.added`, in half its time: one pass over the entries each way, and no copies of them."""
    weights, positions, values = buffer.detach().numpy(), indices.numpy(), differences.numpy()
    originals = np.empty_like(values)
    use_torchs_threads()
    loops.add_at(weights, positions, values, originals)
    try:
        yield
    finally:
        loops.write_at(weights, positions, originals)


class Sources:
    """Where the adapters of a batch's rows lie in memory.

    rows: of each row positions, ascending, all of one integer dtype; values, float32; and the strength that these are
          multiplied by. None for a row without an adapter.
    """

    def __init__(self, rows: Sequence[tuple[Tensor, Tensor, float] | None]) -> None:
        self._held = rows  # as long as their addresses are used
        of_rows = [(0, 0, 1.0) if row is None else (row[0].data_ptr(), row[1].data_ptr(), row[2]) for row in rows]
        positions, values, strengths = zip(*of_rows, strict=True)
        like = next((row[0].numpy()[:0] for row in rows if row is not None), np.empty(0, np.int32))
        self.arguments = np.array(positions), np.array(values), like, np.array(strengths, np.float32)


class Pieces(NamedTuple):
    """The differing entries of one parameter, where they lie: nothing is copied together before it is used.

    Those of row b are entries `bounds[first, b]` to `bounds[end, b]` of its adapter; bounds: int64 (slots + 1, B). The
    parameter begins at `offset` of the base's flat buffer. Per row there are `mean` entries.
    """

    sources: Sources
    bounds: Integers
    first: int
    end: int
    offset: int
    mean: float

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As the loops take them: addresses, the positions' dtype, strengths; bounds, first and end; and the offset."""
        return *self.sources.arguments, self.bounds, self.first, self.end, self.offset


def dense(pieces: Pieces, batch: int, size: int) -> Tensor:
    """The differences of a parameter of `size` entries, float32 (batch, size)."""
    differences = torch.zeros(batch, size)
    loops.write_dense(differences.numpy(), pieces.arguments)
    return differences


def own_transposed(weight: Tensor, pieces: Pieces, batch: int) -> Tensor:
    """Each row's own weight, transposed: (batch, in, out) of float32 (out, in)."""
    weights = weight.t().contiguous().expand(batch, -1, -1).contiguous()
    loops.add_transposed(weights.numpy(), pieces.arguments)
    return weights


def add_vector(y: Tensor, pieces: Pieces, *, last: bool = False) -> None:
    """Add each row's differences of a vector (channels,) to `y` (B, channels, ...), or `last` (B, ..., channels)."""
    channels = y.shape[-1 if last else 1]
    loops.add_vector(y.data_ptr(), channels, y.numel() // (y.shape[0] * channels), last, pieces.arguments)


def add_spread(y: Tensor, pieces: Pieces) -> None:
    """Add each row's differences of a parameter (n, m) to contiguous float32 `y` (n, B, m)."""
    outer, rows, inner = y.shape
    loops.add_spread(y.data_ptr(), outer, rows, inner, pieces.arguments)


def add_layer_norm(y: Tensor, x: Tensor, mean: Tensor, scale: Tensor, weight: Pieces, bias: Pieces) -> None:
    """Add to `y`, a layer norm of `x`, what the differences of its weight and of its bias add.

    All contiguous float32: y, x (B, ..., width); mean, scale (B, ..., 1), of each token.
    """
    tokens, width = mean.numel() // y.shape[0], y.shape[-1]
    addresses = y.data_ptr(), x.data_ptr(), mean.data_ptr(), scale.data_ptr()
    loops.add_layer_norm(*addresses, tokens, width, weight.arguments, bias.arguments)


def add_linear(y: Tensor, x: Tensor, pieces: Pieces, *, transposed: bool = False) -> None:
    """Add `x @ (difference of the row).T` to `y` (B, T, out), for `x` (B, T, in); both contiguous float32.

    `transposed`: the parameter is (in, out) instead of (out, in), and the product is `x @ (difference of the row)`.
    """
    loops.add_linear(y.numpy(), x.numpy(), pieces.arguments, transposed, torch.get_num_threads())


def add_convolution(
    y: Tensor, x: Tensor, kernel: torch.Size, pieces: Pieces, *,
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], last: bool,
) -> None:  # fmt: skip
    """Add a convolution with the differences to `y` (B, out, H, W), for `x` (B, in, H', W'); both float32.

    Both contiguous, or in memory (B, H, W, channels) if `last`. `kernel` is the shape of the weight,
    (out, in / groups, kh, kw).
    """
    sizes, groups = (*y.shape[2:], *x.shape[2:]), x.shape[1] // kernel[1]
    layout = sizes, groups, tuple(kernel), (stride, padding, dilation)
    loop = convolution_loops.add_convolution_last if last else convolution_loops.add_convolution
    loop(len(y), y.data_ptr(), x.data_ptr(), *layout, pieces.arguments)


def scale_and_shift(
    batch: int, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float,
    of_weight: Pieces, of_bias: Pieces,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """A batch norm outside of training as each row's factors and summands, float32 (batch, channels) both."""
    both = torch.empty(2, batch, len(mean))
    mean, variance, weight, bias = (values.contiguous() for values in (mean, variance, weight, bias))
    of_base = mean.data_ptr(), variance.data_ptr(), weight.data_ptr(), bias.data_ptr()
    loops.scale_and_shift(both.data_ptr(), *of_base, len(mean), eps, of_weight.arguments, of_bias.arguments)
    return both[0], both[1]


def own_depthwise(
    x: Tensor, weight: Tensor, pieces: Pieces, *,
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int],
) -> Tensor:  # fmt: skip
    """A convolution of each channel by itself, of each row of `x` (B, channels, H, W) with its own weight.

    Both float32 with the channels last in memory. weight: the base's, (channels, 1, kh, kw).
    """
    kernel = weight.shape[2:]
    weights = own_transposed(weight.flatten(1), pieces, len(x)).unflatten(1, kernel)
    geometry = stride, padding, dilation
    size = [convolution_loops.reach(x.shape[2 + d], kernel[d], *(each[d] for each in geometry)) for d in (0, 1)]
    y = torch.empty(len(x), x.shape[1], *size, memory_format=torch.channels_last)
    in_memory, seen = (values.permute(0, 2, 3, 1).numpy() for values in (y, x))
    convolution_loops.depthwise(in_memory, seen, weights.numpy(), geometry)
    return y


def add_embeddings(y: Tensor, tokens: Tensor, pieces: Pieces) -> None:
    """Add the differences of a table (vocabulary, width) to `y` = table[tokens], contiguous float32 (B, T, width)."""
    loops.add_embeddings(y.numpy(), tokens.contiguous().numpy(), pieces.arguments)


def use_torchs_threads() -> None:
    """Have the loops that this thread starts from now on use as many threads as torch does."""
    torchs = torch.get_num_threads()
    numba.set_num_threads(min(torchs, numba.config.NUMBA_NUM_THREADS))
    if torch.get_num_threads() != torchs:  # numba's own start gives OpenMP in this thread all cores
        torch.set_num_threads(torchs)
