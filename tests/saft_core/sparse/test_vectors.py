from __future__ import annotations

import math

import numpy as np
import pytest

from saft_core.sparse.loops import FLOAT_BYTES, compiled
from saft_core.sparse.vectors import LANES, add_product, broadcast, clamp, load, load_one, prefetch, store, zeros


@compiled()
def _computed(y: int, x: int, low: float, high: float) -> None:
    prefetch(x)
    value = add_product(load(x), load_one(x + FLOAT_BYTES), load(x + FLOAT_BYTES))
    store(y, clamp(value, broadcast(low), broadcast(high)))
    store(y + LANES * FLOAT_BYTES, add_product(zeros(), broadcast(low), broadcast(high)))


@pytest.mark.parametrize("begin", [0, 1, 3])
def test_a_loop_computes_with_vectors_wherever_they_lie(begin: int) -> None:
    x = np.random.default_rng(0).normal(size=LANES + 4).astype(np.float32)[begin:]
    x[2] = math.nan
    y = np.full(2 * LANES + begin + 1, 7, np.float32)
    _computed(y.ctypes.data + begin * FLOAT_BYTES, x.ctypes.data, -0.5, 0.75)
    wanted = np.clip(x[:LANES] + x[1] * x[1 : LANES + 1], -0.5, 0.75)
    np.testing.assert_allclose(y[begin : begin + LANES], wanted, rtol=1e-6)
    assert (y[begin + LANES : -1] == -0.375).all()
    assert (y[:begin] == 7).all()
    assert y[-1] == 7
