from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.serving.compiled_towers import Compilation
from saft_core.serving.encoder import IMAGE
from saft_core.serving.forward import KINDS, Forward
from saft_core.serving.measured_costs import measure
from tests.fixtures.models import bits

pytestmark = pytest.mark.gpu


def test_measuring_gives_the_costs_and_leaves_the_base_alone(tiny_base: Base) -> None:
    forward, before = Forward(tiny_base), bits(tiny_base.flat.buffer)
    for kind in KINDS:
        assert forward.mixes(kind)
        deque(measure(forward, kind, 8), maxlen=0)
        costs = forward.costs[kind]
        assert [rows for rows, _ in costs.forward] == [1, 2, 8]
        assert all(seconds > 0 for _, seconds in costs.forward)
    assert bits(tiny_base.flat.buffer) == before


def test_a_pass_that_fails_while_it_is_measured_leaves_nothing_in_the_base(
    tiny_vit: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, before = Forward(tiny_vit), bits(tiny_vit.flat.buffer)
    assert forward.mixes(IMAGE)
    encode = forward.encoder.encode

    def failing(kind: str, inputs: Any, rows: Any) -> Tensor:
        if forward.merged is not None:
            raise MemoryError
        return encode(kind, inputs, rows)

    monkeypatch.setattr(forward.encoder, "encode", failing)
    with pytest.raises(MemoryError):
        deque(measure(forward, IMAGE, 4), maxlen=0)
    assert bits(tiny_vit.flat.buffer) == before


@pytest.mark.cpu
def test_a_compiled_tower_is_measured_as_well(tiny_vit: Base) -> None:
    forward = Forward(tiny_vit, compilation=Compilation(1 << 30))
    forward.compiled.start()
    deque(measure(forward, IMAGE, 8), maxlen=0)
    assert [rows for rows, _ in forward.costs[IMAGE].compiled] == [1, 2, 8]
    assert forward.rows_by_route.total() == 0
