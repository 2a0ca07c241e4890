"""The compiled loops of convolutions, as those in loops.py.

numba keeps what it compiled until this file changes: touch it when a loop changes that it calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from saft_core.sparse.loops import FLOAT_BYTES, Floats, compiled, floats, row_delta, unravel
from saft_core.sparse.slices import Integers, Slices


class Geometry(NamedTuple):
    """Where a two-dimensional convolution looks, in places down and right."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


SHORT_PLANE = 512
"""Places that are taken at once by an entry of a 1 x 1 kernel: more would not stay in the near caches."""


@compiled(parallel=True)
def add_convolution(
    rows: int, y: int, x: int, sizes: tuple[int, ...], groups: int,
    shape: tuple[int, ...], geometry: Geometry, slices: Slices,
) -> None:  # fmt: skip
    """An entry adds one scaled, shifted plane of `x` to one of `y`. `sizes` are heights and widths of y's and x's.

    `shape` is that of the weight, (out, in / groups, kh, kw).
    """
    stride, padding, _ = geometry
    height, width, source_height, source_width = sizes
    if shape[2] * shape[3] == 1 and stride == (1, 1) and padding == (0, 0):  # a plane is one long line then
        height, width, source_height, source_width = 1, height * width, 1, source_height * source_width
    plane, source_plane = height * width, source_height * source_width
    spans = _spans(shape, geometry, (height, width), (source_height, source_width))
    of_group = shape[0] // groups
    for row in numba.prange(rows):
        target = floats(y + row * shape[0] * plane * FLOAT_BYTES, shape[0] * plane)
        source_size = groups * shape[1] * source_plane
        source = floats(x + row * source_size * FLOAT_BYTES, source_size)
        positions, values = row_delta(slices, row)
        planes, taps = unravel(positions, shape[2] * shape[3])
        outputs, channels = unravel(planes, shape[1])
        for entry in range(len(values)):
            value, span = values[entry], taps[entry]
            to = np.int64(outputs[entry]) * plane
            channel = np.int64(channels[entry])
            if groups > 1:
                channel += np.int64(outputs[entry]) // of_group * shape[1]
            at = channel * source_plane + spans[span, 0] * source_width + spans[span, 1]
            for i in range(spans[span, 2], spans[span, 3]):
                line, source_line = to + i * width, at + i * stride[0] * source_width
                if stride[1] == 1:
                    for j in range(spans[span, 4], spans[span, 5]):
                        target[np.uint64(line + j)] += value * source[np.uint64(source_line + j)]
                else:
                    for j in range(spans[span, 4], spans[span, 5]):
                        target[np.uint64(line + j)] += value * source[np.uint64(source_line + j * stride[1])]


@compiled(parallel=True)
def add_convolution_last(
    rows: int, y: int, x: int, sizes: tuple[int, ...], groups: int,
    shape: tuple[int, ...], geometry: Geometry, slices: Slices,
) -> None:  # fmt: skip
    """As `add_convolution` for channels that come last in memory.

    It goes line by line, so that a line of `y` and what it sees of `x` are in the nearest cache for all entries.
    """
    stride, padding, _ = geometry
    height, width, source_height, source_width = sizes
    pointwise = shape[2] * shape[3] == 1 and stride == (1, 1) and padding == (0, 0)
    if pointwise and height * width <= SHORT_PLANE:
        height, width, source_height, source_width = 1, height * width, 1, source_height * source_width
    spans = _spans(shape, geometry, (height, width), (source_height, source_width))
    out_width, in_width, of_group = shape[0], groups * shape[1], shape[0] // groups
    for row in numba.prange(rows):
        size, source_size = height * width * out_width, source_height * source_width * in_width
        target = floats(y + row * size * FLOAT_BYTES, size)
        source = floats(x + row * source_size * FLOAT_BYTES, source_size)
        positions, values = row_delta(slices, row)
        planes, taps = unravel(positions, shape[2] * shape[3])
        outputs, channels = unravel(planes, shape[1])
        for i in range(height):
            for entry in range(len(values)):
                value, span = values[entry], taps[entry]
                if spans[span, 2] <= i < spans[span, 3]:
                    output, channel = np.int64(outputs[entry]), np.int64(channels[entry])
                    if groups > 1:
                        channel += output // of_group * shape[1]
                    line = i * width * out_width + output
                    source_line = (i * stride[0] + spans[span, 0]) * source_width + spans[span, 1]
                    source_line = source_line * in_width + channel
                    for j in range(spans[span, 4], spans[span, 5]):
                        place = np.uint64(line + j * out_width)
                        target[place] += value * source[np.uint64(source_line + j * stride[1] * in_width)]


@compiled(parallel=True)
def depthwise_gradient(sums: Floats, gradient: Floats, x: Floats, geometry: Geometry) -> None:
    """Add the gradient of a depthwise weight (kh, kw, channels) to `sums`, in so many chunks of the rows.

    gradient, x: (rows, height, width, channels), of what the convolution gives and of what it takes; float32 or float64
    as `sums` is. Each row is summed up by itself first, for accuracy.
    """
    (down, right), padding, dilation = geometry
    rows, height, width, channels = gradient.shape
    for chunk in numba.prange(len(sums)):
        for row in range(chunk * rows // len(sums), (chunk + 1) * rows // len(sums)):
            of_row = np.zeros_like(sums[chunk])
            for i in range(height):
                for k in range(of_row.shape[0]):
                    line = i * down + k * dilation[0] - padding[0]
                    if line < 0 or line >= x.shape[1]:
                        continue
                    for j in range(width):
                        of_place = gradient[row, i, j]
                        for tap in range(of_row.shape[1]):
                            place = j * right + tap * dilation[1] - padding[1]
                            if place < 0 or place >= x.shape[2]:
                                continue
                            seen, total = x[row, line, place], of_row[k, tap]
                            for channel in range(channels):
                                total[channel] += of_place[channel] * seen[channel]
            sums[chunk] += of_row


def reach(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many places a convolution has along a dimension of so many."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@compiled()
def _spans(
    shape: tuple[int, ...], geometry: Geometry, size: tuple[int, int], source_size: tuple[int, int]
) -> Integers:  # fmt: skip
    """For each tap of a kernel: how far it looks down and right, from and before which row, and which column.

    Beyond those it would look outside of the source, where there are zeros.
    """
    stride, padding, dilation = geometry
    spans = np.empty((shape[2] * shape[3], 6), np.int64)
    for tap in range(len(spans)):
        down = tap // shape[3] * dilation[0] - padding[0]
        right = tap % shape[3] * dilation[1] - padding[1]
        spans[tap, 0], spans[tap, 1] = down, right
        spans[tap, 2], spans[tap, 3] = inside(size[0], source_size[0], down, stride[0])
        spans[tap, 4], spans[tap, 5] = inside(size[1], source_size[1], right, stride[1])
    return spans


@compiled()
def inside(length: int, source_length: int, shift: int, stride: int) -> tuple[int, int]:
    """From which to before which of `length` positions `position * stride + shift` lies within the source."""
    return max(0, -(shift // stride)), min(length, (source_length - 1 - shift) // stride + 1)
