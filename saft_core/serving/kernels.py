"""What both routes do on a CPU that torch has no good operator for, as compiled loops.

A row's difference of a weight has few entries, so its product is few operations: what costs is to move activations.
Torch's operators want them transposed for a sparse product, and the result back again. These loops take them as they
lie, two tokens at a time, so that both are still in the nearest cache when an entry asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
import torch
from numba.extending import intrinsic
from torch import Tensor

if TYPE_CHECKING:
    from saft_core.serving.plan import Entries

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

# OpenMP first: it is the pool of torch's own threads, which wait spinning and would be in the way of another pool.
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


@contextmanager
def added(buffer: Tensor, indices: Tensor, differences: Tensor) -> Iterator[None]:
    """As `FlatParameters.added`, in half its time: one pass over the entries each way, and no copies of them."""
    weights, positions, values = buffer.detach().numpy(), indices.numpy(), differences.numpy()
    originals = np.empty_like(values)
    _use_torchs_threads()
    _add_at(weights, positions, values, originals)
    try:
        yield
    finally:
        _write_at(weights, positions, originals)


@dataclass(frozen=True, eq=False)
class Sources:
    """Where the adapters of a batch's rows lie in memory; whoever holds this must hold the adapters.

    positions, values: int64 (B,), the addresses of each row's arrays; anything for a row without an adapter.
    like:      an array of the positions' dtype.
    strengths: float32 (B,).
    """

    positions: Integers
    values: Integers
    like: Integers
    strengths: Floats

    def entries(
        self, firsts: Integers, starts: Integers, shifts: Integers, dtype: type[np.integer[Any]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One parameter's positions, scaled values and rows, each (E,), ordered by row and then as in the adapter.

        Those of row b begin at its adapter's `firsts[b]` and go to `starts[b]` until `starts[b + 1]`; `shifts[b]` is
        added to their positions.
        """
        total = int(starts[-1])
        positions, rows, values = np.empty(total, dtype), np.empty(total, dtype), np.empty(total, np.float32)
        found = (positions, values, rows)
        _use_torchs_threads()
        _gather(self.positions, self.values, self.like, self.strengths, firsts, starts, shifts, *found)
        return torch.from_numpy(positions), torch.from_numpy(values), torch.from_numpy(rows)


def add_linear(y: Tensor, x: Tensor, entries: Entries) -> None:
    """Add `x @ (difference of the row).T` to `y` (B, T, out), for `x` (B, T, in); both contiguous float32."""
    _add_linear(y.numpy(), x.numpy(), *_arrays(entries), _use_torchs_threads())


def add_convolution(
    y: Tensor, x: Tensor, kernel: torch.Size, entries: Entries, *, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    """Add a convolution with the differences to `y` (B, out, H, W), for `x` (B, in, H', W'); both contiguous float32.

    `kernel` is the shape of the weight, (out, in, kh, kw).
    """
    _use_torchs_threads()
    _add_convolution(y.numpy(), x.numpy(), *_arrays(entries), tuple(kernel), stride, padding)


def _arrays(entries: Entries) -> tuple[Integers, Floats, Integers]:
    return entries.positions.numpy(), entries.values.numpy(), entries.starts


def _use_torchs_threads() -> int:
    """Have the loops that this thread starts use as many threads as torch does; how many that is."""
    torchs = torch.get_num_threads()
    threads: int = min(torchs, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(threads)
    if torch.get_num_threads() != torchs:  # numba's own start gives OpenMP in this thread all cores
        torch.set_num_threads(torchs)
    return threads


def _compiled(parallel: bool = False) -> Callable[[Function], Function]:
    """Compile when first called; kept beside the module's bytecode, or in the user's cache where that is read-only."""

    def compile_when_called(function: Function) -> Function:
        options = {"nogil": True, "error_model": "numpy", "parallel": parallel}
        try:
            return cast("Function", numba.njit(function, cache=True, **options))
        except RuntimeError:  # nowhere to keep it: every start compiles anew, some seconds
            return cast("Function", numba.njit(function, **options))

    return compile_when_called


@_compiled(parallel=True)
def _add_at(weights: Floats, positions: Integers, values: Floats, originals: Floats) -> None:
    for entry in numba.prange(len(positions)):
        position = np.uint64(positions[entry])
        originals[entry] = weights[position]
        weights[position] = originals[entry] + values[entry]


@_compiled(parallel=True)
def _write_at(weights: Floats, positions: Integers, values: Floats) -> None:
    for entry in numba.prange(len(positions)):
        weights[np.uint64(positions[entry])] = values[entry]


@_compiled()
def _split(positions: Integers, first: int, width: int) -> tuple[Integers, Integers]:
    """Output and input of each entry of a (out, width) weight whose own positions begin at `first`.

    Unsigned: for a signed index the compiler would test whether it counts from the end.
    """
    outputs, inputs = np.empty(len(positions), np.uint32), np.empty(len(positions), np.uint32)
    for entry in range(len(positions)):
        position = np.uint32(positions[entry] - first)
        outputs[entry] = position // np.uint32(width)
        inputs[entry] = position - outputs[entry] * np.uint32(width)
    return outputs, inputs


@_compiled()
def _add_token(y: Floats, x: Floats, outputs: Integers, inputs: Integers, values: Floats) -> None:
    for entry in range(len(values)):
        y[outputs[entry]] += values[entry] * x[inputs[entry]]


@_compiled()
def _add_two_tokens(y: Floats, x: Floats, outputs: Integers, inputs: Integers, values: Floats) -> None:
    """Both tokens for one reading of the entry, neither addition waiting for the other."""
    here, there, x_here, x_there = y[0], y[1], x[0], x[1]
    for entry in range(len(values)):
        output, source, value = outputs[entry], inputs[entry], values[entry]
        here[output] += value * x_here[source]
        there[output] += value * x_there[source]


@_compiled(parallel=True)
def _add_linear(y: Floats, x: Floats, positions: Integers, values: Floats, starts: Integers, chunks: int) -> None:
    """Each chunk takes as many of the batch's tokens, a row's or several rows'."""
    rows, tokens, width = x.shape
    size = y.shape[2] * width
    for chunk in numba.prange(chunks):
        at, end = chunk * rows * tokens // chunks, (chunk + 1) * rows * tokens // chunks
        while at < end:
            row, token = at // tokens, at % tokens
            stop = min(tokens, token + end - at)
            at += stop - token
            part = slice(starts[row], starts[row + 1])
            own = values[part]
            outputs, inputs = _split(positions[part], row * size, width)
            for pair in range(token, stop, 2):
                last = min(pair + 2, stop)
                if last - pair == 2:
                    _add_two_tokens(y[row, pair:last], x[row, pair:last], outputs, inputs, own)
                else:
                    _add_token(y[row, pair], x[row, pair], outputs, inputs, own)


@_compiled(parallel=True)
def _add_convolution(
    y: Floats, x: Floats, positions: Integers, values: Floats, starts: Integers,
    shape: tuple[int, ...], stride: tuple[int, int], padding: tuple[int, int],
) -> None:  # fmt: skip
    """An entry adds one scaled, shifted plane of `x` to one of `y`."""
    size = shape[0] * shape[1] * shape[2] * shape[3]
    for row in numba.prange(len(x)):
        for entry in range(starts[row], starts[row + 1]):
            left, k_x = divmod(positions[entry] - row * size, shape[3])
            left, k_y = divmod(left, shape[2])
            output, channel = divmod(left, shape[1])
            _add_plane(y[row, output], x[row, channel], values[entry], k_y - padding[0], k_x - padding[1], stride)


@_compiled()
def _add_plane(y: Floats, x: Floats, value: float, down: int, right: int, stride: tuple[int, int]) -> None:
    """`y[i, j] += value * x[i * stride + down, j * stride + right]`, `x` being zero outside."""
    top, bottom = _inside(len(y), len(x), down, stride[0])
    first, last = _inside(y.shape[1], x.shape[1], right, stride[1])
    for i in range(top, bottom):
        source, target = x[i * stride[0] + down], y[i]
        if stride[1] == 1:
            for j in range(first, last):
                target[j] += value * source[j + right]
        else:
            for j in range(first, last):
                target[j] += value * source[j * stride[1] + right]


@_compiled()
def _inside(length: int, source_length: int, shift: int, stride: int) -> tuple[int, int]:
    """From which to before which of `length` positions `position * stride + shift` lies within the source."""
    return max(0, -(shift // stride)), min(length, (source_length - 1 - shift) // stride + 1)


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_: Any, address: Any, like: Any) -> Any:
    """A number as a pointer to numbers of the dtype of `like`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return numba.types.CPointer(like.dtype)(address, like), generate


@_compiled(parallel=True)
def _gather(
    their_positions: Integers, their_values: Integers, like: Integers, strengths: Floats,
    firsts: Integers, starts: Integers, shifts: Integers,
    positions: Integers, values: Floats, rows: Integers,
) -> None:  # fmt: skip
    for row in numba.prange(len(firsts)):
        first, begin, end = firsts[row], starts[row], starts[row + 1]
        source = numba.carray(_pointer(their_positions[row], like), (first + end - begin,))
        source_values = numba.carray(_pointer(their_values[row], values), (first + end - begin,))
        for entry in range(begin, end):
            positions[entry] = source[first + entry - begin] + shifts[row]
            values[entry] = source_values[first + entry - begin] * strengths[row]
            rows[entry] = row
