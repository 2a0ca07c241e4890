"""Compiled loops over the entries of mixed batches, for what torch has no good operator for on a CPU.

A row's delta of a weight has few entries, so its product is few operations: what costs is to move activations. Torch's
operators want them transposed for a sparse product, and the result back again. The loops take them as they lie, few
tokens at a time, so that these are in the nearest cache when an entry asks for them.

Most take memory by its address: the work of most calls is so small that making an array of a tensor would take longer.
All of it is contiguous float32. `slices` is a `Slices`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from numba.extending import intrinsic

from saft_core.sparse.slices import Integers, Slices

FLOAT_BYTES = 4
Floats = npt.NDArray[np.float32]
_A_FLOAT = np.zeros(1, np.float32)
Function = TypeVar("Function", bound=Callable[..., Any])

MANY_TOKENS = 16
"""Of a row: for fewer it does not pay to sort its entries."""

# OpenMP first: it is the pool of torch's own threads, which wait spinning and would be in the way of another pool.
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


def compiled(parallel: bool = False, inline: bool = False) -> Callable[[Function], Function]:
    """Compile when first called; kept beside the module's bytecode, or in the user's cache where that is read-only.

    inline: as a part of each loop that calls it, where a call would take as long as what it does.
    """

    def compile_when_called(function: Function) -> Function:
        options = {"nogil": True, "error_model": "numpy", "parallel": parallel, "forceinline": inline}
        try:
            return cast("Function", numba.njit(function, cache=True, **options))
        except RuntimeError:  # nowhere to keep it: every start compiles anew, some seconds
            return cast("Function", numba.njit(function, **options))

    return compile_when_called


@compiled(parallel=True)
def add_at(weights: Floats, positions: Integers, values: Floats, originals: Floats) -> None:
    """Add `values` at these positions of `weights`, and keep in `originals` what was there."""
    for entry in numba.prange(len(positions)):
        position = np.uint64(positions[entry])
        originals[entry] = weights[position]
        weights[position] = originals[entry] + values[entry]


@compiled(parallel=True)
def write_at(weights: Floats, positions: Integers, values: Floats) -> None:
    """Write `values` at these positions of `weights`."""
    for entry in numba.prange(len(positions)):
        weights[np.uint64(positions[entry])] = values[entry]


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_: Any, address: Any, array: Any) -> Any:
    """An address as a pointer to numbers of the dtype of `array`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return numba.types.CPointer(array.dtype)(address, array), generate


@compiled()
def floats(address: int, length: int) -> Floats:
    """So many float32 numbers that lie at an address."""
    return numba.carray(_pointer(address, _A_FLOAT), (length,))  # type: ignore[no-any-return]


@compiled()
def numbers(address: int, length: int, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """So many numbers of the dtype of `like` that lie at an address."""
    return numba.carray(_pointer(address, like), (length,))  # type: ignore[no-any-return]


@compiled()
def row_delta(slices: Slices, row: int) -> tuple[Integers, Floats]:
    """A row's delta of the parameter: the positions of its entries, uint32, and what they add, at the row's strength.

    Unsigned: for a signed index the compiler would test whether it counts from the end.
    """
    begin, dtype = slices.bounds[slices.first, row], slices.dtype
    length = slices.bounds[slices.end, row] - begin
    stored = numba.carray(_pointer(slices.positions[row] + begin * dtype.itemsize, dtype), (length,))
    at_full_strength = floats(slices.values[row] + begin * FLOAT_BYTES, length)
    positions, values = np.empty(length, np.uint32), np.empty(length, np.float32)
    for entry in range(length):
        positions[entry] = stored[entry] - slices.offset
        values[entry] = at_full_strength[entry] * slices.strengths[row]
    return positions, values


@compiled()
def write_dense(differences: Floats, slices: Slices) -> None:
    """Write each row's entries into its line of `differences`, of zeros."""
    for row in range(len(differences)):
        positions, values = row_delta(slices, row)
        for entry in range(len(positions)):
            differences[row, positions[entry]] = values[entry]


@compiled(parallel=True)
def add_transposed(weights: Floats, slices: Slices) -> None:
    """Add each row's entries of a weight of lines (out, in) to `weights` (B, in, out)."""
    for row in numba.prange(len(weights)):
        positions, values = row_delta(slices, row)
        lines, columns = unravel(positions, weights.shape[1])
        for entry in range(len(values)):
            weights[row, columns[entry], lines[entry]] += values[entry]


@compiled()
def add_vector(y: int, channels: int, length: int, last: bool, slices: Slices) -> None:
    """`length` is how many numbers a channel has; channels come `last`, or before those."""
    size = channels * length
    for row in range(len(slices.strengths)):
        positions, values = row_delta(slices, row)
        target = floats(y + row * size * FLOAT_BYTES, size)
        if last:  # place by place, so that its channels are in the nearest cache
            for n in range(length):
                for entry in range(len(positions)):
                    target[np.uint64(n * channels) + positions[entry]] += values[entry]
        else:
            for entry in range(len(positions)):
                for n in range(length):
                    target[positions[entry] * np.uint64(length) + np.uint64(n)] += values[entry]


@compiled()
def add_layer_norm(
    y: int, x: int, mean: int, scale: int, tokens: int, width: int, weight: Slices, bias: Slices
) -> None:
    """`y` and `x` are (rows, tokens, width); `mean` and `scale` (rows, tokens)."""
    for row in range(len(weight.strengths)):
        positions, values = row_delta(weight, row)
        at = row * tokens * FLOAT_BYTES
        target = floats(y + at * width, tokens * width)
        source = floats(x + at * width, tokens * width)
        means, scales = floats(mean + at, tokens), floats(scale + at, tokens)
        for entry in range(len(positions)):
            for n in range(tokens):
                place = positions[entry] + np.uint64(n * width)
                target[place] += values[entry] * ((source[place] - means[n]) * scales[n])
    add_vector(y, width, tokens, True, bias)


@compiled()
def scale_and_shift(
    both: int, mean: int, variance: int, weight: int, bias: int, channels: int, eps: float,
    weight_delta: Slices, bias_delta: Slices,
) -> None:  # fmt: skip
    """`both` is (2, rows, channels) and is written; the others are (channels,)."""
    rows = len(weight_delta.strengths)
    scales = floats(both, rows * channels)
    shifts = floats(both + rows * channels * FLOAT_BYTES, rows * channels)
    means, variances = floats(mean, channels), floats(variance, channels)
    weights, biases = floats(weight, channels), floats(bias, channels)
    base_scale, base_shift = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for channel in range(channels):
        base_scale[channel] = weights[channel] / np.sqrt(variances[channel] + eps)
        base_shift[channel] = biases[channel] - means[channel] * base_scale[channel]
    for row in range(rows):
        scale, shift = scales[row * channels : (row + 1) * channels], shifts[row * channels : (row + 1) * channels]
        for channel in range(channels):
            scale[channel], shift[channel] = base_scale[channel], base_shift[channel]
        positions, values = row_delta(weight_delta, row)
        for entry in range(len(positions)):
            channel = positions[entry]
            scale[channel] += values[entry] / np.sqrt(variances[channel] + eps)
            shift[channel] = biases[channel] - means[channel] * scale[channel]
        positions, values = row_delta(bias_delta, row)
        for entry in range(len(positions)):
            shift[positions[entry]] += values[entry]


@compiled()
def unravel(positions: Integers, width: int) -> tuple[Integers, Integers]:
    """Line and column of each of these positions in a matrix with lines of `width`.

    By multiplication, which takes a third of the time that division does, and is exact: what is cut off lies half a
    column away from the next whole number, and 2**32 such steps are few for a double.
    """
    lines, columns = np.empty(len(positions), np.uint32), np.empty(len(positions), np.uint32)
    of_a_line = 1.0 / width
    for entry in range(len(positions)):
        lines[entry] = np.uint32((positions[entry] + 0.5) * of_a_line)
        columns[entry] = positions[entry] - lines[entry] * np.uint32(width)
    return lines, columns


@compiled()
def _by_input(outputs: Integers, inputs: Integers, values: Floats, width: int) -> tuple[Integers, Integers, Floats]:
    """The same entries in the order of their inputs, of which there are `width`: a counting sort."""
    places = np.zeros(width + 1, np.uint32)
    for entry in range(len(inputs)):
        places[inputs[entry] + np.uint32(1)] += np.uint32(1)
    for source in range(width):
        places[source + 1] += places[source]
    outputs_there, inputs_there, values_there = np.empty_like(outputs), np.empty_like(inputs), np.empty_like(values)
    for entry in range(len(inputs)):
        source = inputs[entry]
        place = places[source]
        outputs_there[place], inputs_there[place], values_there[place] = outputs[entry], source, values[entry]
        places[source] = place + np.uint32(1)
    return outputs_there, inputs_there, values_there


@compiled()
def _add_token(y: Floats, x: Floats, outputs: Integers, inputs: Integers, values: Floats) -> None:
    for entry in range(len(values)):
        y[outputs[entry]] += values[entry] * x[inputs[entry]]


@compiled()
def _add_four_tokens(y: Floats, x: Floats, outputs: Integers, inputs: Integers, values: Floats) -> None:
    """Four tokens for one reading of the entry. All reads come before all writes, so that none need wait for one."""
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
    for entry in range(len(values)):
        output, source, value = outputs[entry], inputs[entry], values[entry]
        sum0 = y0[output] + value * x0[source]
        sum1 = y1[output] + value * x1[source]
        sum2 = y2[output] + value * x2[source]
        sum3 = y3[output] + value * x3[source]
        y0[output], y1[output], y2[output], y3[output] = sum0, sum1, sum2, sum3


@compiled(parallel=True)
def add_linear(y: Floats, x: Floats, slices: Slices, transposed: bool, chunks: int) -> None:
    """Each chunk takes as many of the batch's tokens, a row's or several rows'.

    Entries come in the order of outputs, or of inputs if `transposed`. With more inputs than outputs, and enough tokens
    to pay for it, those in the order of outputs are sorted by input: then all of a token's outputs stay near.
    """
    rows, tokens, width = x.shape
    line = y.shape[2] if transposed else width
    for chunk in numba.prange(chunks):
        at, end = chunk * rows * tokens // chunks, (chunk + 1) * rows * tokens // chunks
        while at < end:
            row, token = at // tokens, at % tokens
            stop = min(tokens, token + end - at)
            at += stop - token
            positions, values = row_delta(slices, row)
            outputs, inputs = unravel(positions, line)
            if transposed:
                outputs, inputs = inputs, outputs
            elif width > y.shape[2] and stop - token >= MANY_TOKENS:
                outputs, inputs, values = _by_input(outputs, inputs, values, width)
            while token + 4 <= stop:
                _add_four_tokens(y[row, token:stop], x[row, token:stop], outputs, inputs, values)
                token += 4
            for last in range(token, stop):
                _add_token(y[row, last], x[row, last], outputs, inputs, values)


@compiled(parallel=True)
def add_embeddings(y: Floats, tokens: Integers, slices: Slices) -> None:
    """Of each token the entries of its line of the table."""
    rows, length, width = y.shape
    for row in numba.prange(rows):
        positions, values = row_delta(slices, row)
        for n in range(length):
            begin = tokens[row, n] * width
            entry = np.searchsorted(positions, begin)
            while entry < len(positions) and positions[entry] < begin + width:
                y[row, n, positions[entry] - begin] += values[entry]
                entry += 1
