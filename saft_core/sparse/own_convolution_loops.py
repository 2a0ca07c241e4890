"""The compiled loops of convolutions in which each row of the batch has a weight of its own.

All memory is float32, channels last: x (B, H', W', in), y (B, H, W, out), and weights (B, kh, kw, in, out), or
(B, kh, kw, channels) of a depthwise one. An output is scaled, shifted and cut off while it is still in a register.

At least as many outputs as a vector has lanes: where their number is no multiple of it, the last vector lies over the
one before it, and writes some of its numbers once more. So do the last places of a line.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba

from saft_core.sparse.convolution_loops import inside
from saft_core.sparse.loops import FLOAT_BYTES, compiled
from saft_core.sparse.vectors import LANES, add_product, broadcast, clamp, load, load_one, prefetch, store, zeros

PLACES, FEW_PLACES = 8, 4
"""Places of a line that share what is loaded of a weight: as many sums as registers can hold."""


class Own(NamedTuple):
    """A convolution of `rows` rows as its loops take it: addresses, and sizes in numbers. No tuples: numba's take none.

    inputs:       of a place of x that meet one output; 1 where it is depthwise.
    scale, shift: the address of each row's factors and summands (rows, out); those of row b are `normed * b` behind it:
                  0 where all rows have the same.
    low, high:    what all outputs are cut off at.
    """

    rows: int
    y: int
    x: int
    weights: int
    height: int
    width: int
    source_height: int
    source_width: int
    outputs: int
    inputs: int
    lines: int
    columns: int
    down: int
    right: int
    above: int
    before: int
    gap_down: int
    gap_right: int
    scale: int
    shift: int
    normed: int
    low: float
    high: float


class _Line(NamedTuple):
    """One line of the outputs: where it begins, what it sees, and its row's weight, scale and shift, in bytes.

    to_place, to_seen, down, right: from a place to the next, from what it sees to what the next one does, and from what
                                    one tap of the kernel sees to what the next tap below it and beside it does.
    top, bottom:                    from and before which line of the kernel it sees something.
    first, end:                     from and before which place all of the kernel's columns see something.
    """

    y: int
    x: int
    weights: int
    scale: int
    shift: int
    to_place: int
    to_seen: int
    down: int
    right: int
    top: int
    bottom: int
    first: int
    end: int


@compiled(inline=True)
def _taps(begin: int, length: int, taps: int, gap: int) -> tuple[int, int]:
    """From and before which of so many taps one lies within `length`; they are `gap` apart, the first at `begin`."""
    return max(0, -(begin // gap)), min(taps, (length - 1 - begin) // gap + 1)


@compiled(inline=True)
def _line(own: Own, number: int, channels: int, size: int) -> _Line:
    """`channels`: the inputs of a place. `size`: of a row's weight, in numbers."""
    row, i = number // own.height, number % own.height
    begin, left = i * own.down - own.above, -own.before
    top, bottom = _taps(begin, own.source_height, own.lines, own.gap_down)
    first, _ = inside(own.width, own.source_width, left, own.right)
    _, end = inside(own.width, own.source_width, (own.columns - 1) * own.gap_right + left, own.right)
    place = channels * FLOAT_BYTES
    return _Line(
        own.y + number * own.width * own.outputs * FLOAT_BYTES,
        own.x + ((row * own.source_height + begin) * own.source_width + left) * place,
        own.weights + row * size * FLOAT_BYTES,
        own.scale + row * own.normed * FLOAT_BYTES,
        own.shift + row * own.normed * FLOAT_BYTES,
        own.outputs * FLOAT_BYTES, own.right * place, own.gap_down * own.source_width * place, own.gap_right * place,
        top, bottom, first, end,
    )  # fmt: skip


@compiled(parallel=True)
def convolve(own: Own) -> None:
    """In one group."""
    for number in numba.prange(own.rows * own.height):
        line = _line(own, number, own.inputs, own.outputs * own.inputs * own.lines * own.columns)
        _convolve_line(own, line)


@compiled(inline=True)
def _convolve_line(own: Own, line: _Line) -> None:
    j = 0
    while j < own.width:
        if line.first <= j < line.end and line.end - line.first >= PLACES:
            j = min(j, line.end - PLACES)
            for begin in range(0, own.outputs, LANES):
                _convolve_places(own, line, min(begin, own.outputs - LANES), j)
            j += PLACES
        else:
            taps = _taps(j * own.right - own.before, own.source_width, own.columns, own.gap_right)
            for begin in range(0, own.outputs, LANES):
                _convolve_place(own, line, min(begin, own.outputs - LANES), j, taps)
            j += 1


@compiled(inline=True)
def _convolve_places(own: Own, line: _Line, output: int, j: int) -> None:
    to_input, next_seen = own.lines * own.columns * own.outputs * FLOAT_BYTES, line.to_seen
    a, b, c, d, e, f, g, h = zeros(), zeros(), zeros(), zeros(), zeros(), zeros(), zeros(), zeros()
    for k in range(line.top, line.bottom):
        for tap in range(own.columns):
            x = line.x + j * next_seen + k * line.down + tap * line.right
            weight = line.weights + ((k * own.columns + tap) * own.outputs + output) * FLOAT_BYTES
            for _ in range(own.inputs):
                w = load(weight)
                a, b = add_product(a, load_one(x), w), add_product(b, load_one(x + next_seen), w)
                c, d = add_product(c, load_one(x + 2 * next_seen), w), add_product(d, load_one(x + 3 * next_seen), w)
                e, f = add_product(e, load_one(x + 4 * next_seen), w), add_product(f, load_one(x + 5 * next_seen), w)
                g, h = add_product(g, load_one(x + 6 * next_seen), w), add_product(h, load_one(x + 7 * next_seen), w)
                x, weight = x + FLOAT_BYTES, weight + to_input
    _store_four(own, line, output, j, a, b, c, d)
    _store_four(own, line, output, j + 4, e, f, g, h)


@compiled(inline=True)
def _convolve_place(own: Own, line: _Line, output: int, j: int, taps: tuple[int, int]) -> None:
    a, to_input = zeros(), own.lines * own.columns * own.outputs * FLOAT_BYTES
    for k in range(line.top, line.bottom):
        for tap in range(taps[0], taps[1]):
            x = line.x + j * line.to_seen + k * line.down + tap * line.right
            weight = line.weights + ((k * own.columns + tap) * own.outputs + output) * FLOAT_BYTES
            for _ in range(own.inputs):
                a = add_product(a, load_one(x), load(weight))
                x, weight = x + FLOAT_BYTES, weight + to_input
    _store_one(own, line, output, j, a)


@compiled(parallel=True)
def convolve_depthwise(own: Own) -> None:
    """Each channel by itself."""
    for number in numba.prange(own.rows * own.height):
        _depthwise_line(own, _line(own, number, own.outputs, own.outputs * own.lines * own.columns))


@compiled(inline=True)
def _depthwise_line(own: Own, line: _Line) -> None:
    """Place by place, so that their channels stay in the nearest cache."""
    j = 0
    while j < own.width:
        if line.first <= j < line.end and line.end - line.first >= FEW_PLACES:
            j = min(j, line.end - FEW_PLACES)
            for begin in range(0, own.outputs, LANES):
                _depthwise_places(own, line, min(begin, own.outputs - LANES), j)
                _fetch(own, line, begin, j)
            j += FEW_PLACES
        else:
            taps = _taps(j * own.right - own.before, own.source_width, own.columns, own.gap_right)
            for begin in range(0, own.outputs, LANES):
                _depthwise_place(own, line, min(begin, own.outputs - LANES), j, taps)
            j += 1


@compiled(inline=True)
def _fetch(own: Own, line: _Line, channel: int, j: int) -> None:
    """What the next line of outputs sees there and this one did not: the processor does not foresee it."""
    below = line.x + j * line.to_seen + own.lines * line.down + channel * FLOAT_BYTES
    place = own.outputs * FLOAT_BYTES
    for down in range(own.down):
        for right in range(FEW_PLACES * own.right):
            prefetch(below + down * own.source_width * place + right * place)


@compiled(inline=True)
def _depthwise_places(own: Own, line: _Line, channel: int, j: int) -> None:
    """The common forms with numbers that the compiler knows: it unrolls their loops, which takes half of the time."""
    columns, beside = own.columns, line.to_seen == line.right
    if columns == 3 and beside:
        _depthwise_four(own, line, channel, j, 3, line.right)
    elif columns == 5 and beside:
        _depthwise_four(own, line, channel, j, 5, line.right)
    elif columns == 3:
        _depthwise_four(own, line, channel, j, 3, line.to_seen)
    elif columns == 5:
        _depthwise_four(own, line, channel, j, 5, line.to_seen)
    else:
        _depthwise_four(own, line, channel, j, columns, line.to_seen)


@compiled(inline=True)
def _depthwise_four(own: Own, line: _Line, channel: int, j: int, columns: int, next_seen: int) -> None:
    a, b, c, d = zeros(), zeros(), zeros(), zeros()
    seen = line.x + j * next_seen + channel * FLOAT_BYTES
    for k in range(line.top, line.bottom):
        for tap in range(columns):
            x = seen + k * line.down + tap * line.right
            w = load(line.weights + ((k * columns + tap) * own.outputs + channel) * FLOAT_BYTES)
            a, b = add_product(a, load(x), w), add_product(b, load(x + next_seen), w)
            c, d = add_product(c, load(x + 2 * next_seen), w), add_product(d, load(x + 3 * next_seen), w)
    _store_four(own, line, channel, j, a, b, c, d)


@compiled(inline=True)
def _depthwise_place(own: Own, line: _Line, channel: int, j: int, taps: tuple[int, int]) -> None:
    a, seen = zeros(), line.x + j * line.to_seen + channel * FLOAT_BYTES
    for k in range(line.top, line.bottom):
        for tap in range(taps[0], taps[1]):
            weight = line.weights + ((k * own.columns + tap) * own.outputs + channel) * FLOAT_BYTES
            a = add_product(a, load(seen + k * line.down + tap * line.right), load(weight))
    _store_one(own, line, channel, j, a)


@compiled(inline=True)
def _store_four(own: Own, line: _Line, output: int, j: int, a: Any, b: Any, c: Any, d: Any) -> None:
    scale, shift = load(line.scale + output * FLOAT_BYTES), load(line.shift + output * FLOAT_BYTES)
    low, high = broadcast(own.low), broadcast(own.high)
    y, to_place = line.y + j * line.to_place + output * FLOAT_BYTES, line.to_place
    store(y, clamp(add_product(shift, a, scale), low, high))
    store(y + to_place, clamp(add_product(shift, b, scale), low, high))
    store(y + 2 * to_place, clamp(add_product(shift, c, scale), low, high))
    store(y + 3 * to_place, clamp(add_product(shift, d, scale), low, high))


@compiled(inline=True)
def _store_one(own: Own, line: _Line, output: int, j: int, a: Any) -> None:
    scale, shift = load(line.scale + output * FLOAT_BYTES), load(line.shift + output * FLOAT_BYTES)
    value = clamp(add_product(shift, a, scale), broadcast(own.low), broadcast(own.high))
    store(line.y + j * line.to_place + output * FLOAT_BYTES, value)
