from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from saft_core import quiet_openvino
from saft_core.clip.backbone import Base
from saft_core.serving import compiled_towers, tower_graph
from saft_core.serving.adapters import BASE
from saft_core.serving.compiled_towers import ENOUGH_ROWS, Compilation
from saft_core.serving.costs import Costs
from saft_core.serving.encoder import IMAGE, TEXT
from saft_core.serving.forward import Forward, Part
from saft_core.serving.measured_costs import measure
from saft_core.serving.tower_graph import CompiledTower, base_bytes
from saft_core.serving.trials import changed_row, inputs_of
from saft_core.sparse.batch_delta import Row
from tests.fixtures.batches import batch

CAPACITY_BYTES = 1 << 30


@pytest.fixture
def forward(tiny_base: Base) -> Iterator[Forward]:
    """One with the base's tower compiled."""
    costs = Costs(((1, 1.0), (64, 64.0)), mixed_seconds=0.0, compiled=((1, 0.5), (64, 32.0)))
    made = Forward(tiny_base, costs, compilation=Compilation(CAPACITY_BYTES))
    made.compiled.start()
    yield made
    made.close()


def parts_of(base: Base, *adapters: int, rows: int = 2) -> list[Part]:
    """So many pictures for each of these adapters."""
    return [Part((str(n), 1.0), changed_row(base, n), inputs_of(base, IMAGE, rows)) for n in adapters]


def ask_often(forward: Forward, part: Part, rows: int = ENOUGH_ROWS) -> None:
    """Ask for so many rows, and wait until a tower that is being compiled has its place."""
    forward.compiled.asked(IMAGE, part.key, part.row, rows)
    end = time.monotonic() + 60
    while forward.compiled._building is not None and time.monotonic() < end:
        time.sleep(0.01)
        forward.compiled.asked(IMAGE, BASE, Row(None), 1)


def plain(forward: Forward, part: Part) -> Tensor:
    """What the fine-tuned model gives."""
    forward.unmerge()
    base, delta = forward.base, part.row.delta
    with torch.inference_mode():
        if delta is None:
            return base.encode_pixels(part.inputs)
        with base.flat.added(delta.positions.long(), delta.scaled(part.row.strength)):
            return base.encode_pixels(part.inputs)


def test_the_base_answers_by_its_compiled_tower_from_the_start(forward: Forward) -> None:
    part = Part(BASE, Row(None), inputs_of(forward.base, IMAGE, 3))
    answer = forward.run(IMAGE, [part])[0]
    torch.testing.assert_close(answer, plain(forward, part), atol=1e-5, rtol=0)
    assert dict(forward.rows_by_route) == {"base": 0, "swap": 0, "mixed": 0, "compiled": 3}


def test_an_adapter_that_is_asked_for_often_gets_a_tower_and_answers_as_before(forward: Forward) -> None:
    before = forward.base.flat.sha256()
    part, other = parts_of(forward.base, 0, 1)
    first = forward.run(IMAGE, [part])[0]
    assert forward.rows_by_route["swap"] == 2
    ask_often(forward, part)
    assert forward.compiled.loads == 2
    answers = forward.run(IMAGE, [part, other, Part(BASE, Row(None), part.inputs)])
    assert forward.rows_by_route["compiled"] == 4
    torch.testing.assert_close(answers[0], first, atol=1e-5, rtol=0)
    for answer, asked in zip(answers, [part, other, Part(BASE, Row(None), part.inputs)], strict=True):
        torch.testing.assert_close(answer, plain(forward, asked), atol=1e-5, rtol=0)
    forward.unmerge()
    assert forward.base.flat.sha256() == before


def test_another_strength_is_another_model(forward: Forward) -> None:
    (part,) = parts_of(forward.base, 0)
    ask_often(forward, part)
    half = Part(("0", 0.5), Row(part.row.delta, 0.5), part.inputs)
    torch.testing.assert_close(forward.run(IMAGE, [half])[0], plain(forward, half), atol=1e-5, rtol=0)
    assert forward.rows_by_route["compiled"] == 0


def test_batches_of_adapters_with_and_without_a_tower_answer_each_by_its_own(forward: Forward) -> None:
    parts = batch(forward.base, IMAGE)
    wanted = [plain(forward, part) for part in parts]
    for asked in parts:
        ask_often(forward, asked)
        for answer, right in zip(forward.run(IMAGE, parts), wanted, strict=True):
            torch.testing.assert_close(answer, right, atol=1e-5, rtol=0)
    assert forward.compiled.loads == len({part.key for part in parts})


def test_a_place_goes_to_who_is_asked_for_twice_as_often(tiny_base: Base) -> None:
    a, b = parts_of(tiny_base, 0, 1)
    largest = Forward(tiny_base, compilation=Compilation(CAPACITY_BYTES))
    largest.compiled.start()
    assert largest.compiled._graph is not None
    room = largest.compiled.nbytes + largest.compiled._graph.compiled_bytes(a.row)
    forward = Forward(tiny_base, compilation=Compilation(room))
    forward.compiled.start()
    ask_often(forward, a)
    ask_often(forward, b, 2 * ENOUGH_ROWS - 1)
    assert (forward.compiled.find(IMAGE, a.key) is None, forward.compiled.find(IMAGE, b.key) is None) == (False, True)
    ask_often(forward, b, 1)
    assert (forward.compiled.find(IMAGE, a.key) is None, forward.compiled.find(IMAGE, b.key) is None) == (True, False)
    assert forward.compiled.find(IMAGE, BASE) is not None
    assert forward.compiled.nbytes <= room
    for each in (forward, largest):
        each.close()


def test_what_was_asked_long_ago_counts_less(forward: Forward, monkeypatch: pytest.MonkeyPatch) -> None:
    (part,) = parts_of(forward.base, 0)
    monkeypatch.setattr(compiled_towers, "HALF_LIFE_SECONDS", 1e-9)
    for _ in range(4):
        ask_often(forward, part, ENOUGH_ROWS // 2)
    assert forward.compiled.loads == 1


@pytest.mark.parametrize("capacity_bytes", [0, 1 << 20])
def test_without_memory_for_it_nothing_is_compiled(tiny_base: Base, capacity_bytes: int) -> None:
    assert base_bytes(tiny_base) > 1 << 20
    forward = Forward(tiny_base, compilation=Compilation(capacity_bytes))
    forward.compiled.start()
    (part,) = parts_of(tiny_base, 0)
    ask_often(forward, part)
    forward.run(IMAGE, [part])
    assert forward.compiled.nbytes == forward.compiled.loads == forward.rows_by_route["compiled"] == 0


def test_a_tower_that_fails_is_used_no_more_and_the_request_is_answered(
    forward: Forward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (part,) = parts_of(forward.base, 0)
    ask_often(forward, part)

    def fail(*_: Any) -> Tensor:
        raise RuntimeError("no memory")

    monkeypatch.setattr(CompiledTower, "__call__", fail)
    torch.testing.assert_close(forward.run(IMAGE, [part])[0], plain(forward, part), atol=1e-5, rtol=0)
    monkeypatch.undo()
    assert "no memory" in caplog.text
    ask_often(forward, part)
    assert forward.compiled.find(IMAGE, part.key) is None


@pytest.mark.parametrize("key", [BASE, ("0", 1.0)])
def test_a_tower_that_answers_otherwise_is_never_used(
    tiny_base: Base, key: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forward = Forward(tiny_base, compilation=Compilation(CAPACITY_BYTES))
    call = CompiledTower.__call__
    if key != BASE:
        forward.compiled.start()
    monkeypatch.setattr(CompiledTower, "__call__", lambda tower, pixels: call(tower, pixels).roll(1, 1))
    if key == BASE:
        forward.compiled.start()
    else:
        ask_often(forward, parts_of(tiny_base, 0)[0])
    monkeypatch.undo()
    assert forward.compiled.find(IMAGE, key) is None
    assert "would differ" in caplog.text
    forward.close()


def test_a_tower_that_takes_no_more_rows_than_it_was_traced_with_is_never_used(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forward = Forward(tiny_base, compilation=Compilation(CAPACITY_BYTES))
    call = CompiledTower.__call__
    monkeypatch.setattr(CompiledTower, "__call__", lambda tower, pixels: call(tower, pixels)[:2])
    forward.compiled.start()
    assert forward.compiled.find(IMAGE, BASE) is None
    assert "its embeddings would be" in caplog.text
    forward.close()


def test_a_tower_that_fails_while_it_is_measured_is_dropped_and_all_else_is_measured(
    forward: Forward, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Tensor:
        raise RuntimeError("no memory")

    monkeypatch.setattr(CompiledTower, "__call__", fail)
    deque(measure(forward, IMAGE, 4), maxlen=0)
    assert forward.compiled.find(IMAGE, BASE) is None
    assert [rows for rows, _ in forward.costs[IMAGE].forward] == [1, 2, 4]
    assert forward.costs[IMAGE].compiled == ()


def test_counters_never_go_back(forward: Forward) -> None:
    (part,) = parts_of(forward.base, 0)
    forward.run(IMAGE, [part])
    before = forward.rows_by_route.copy()
    ask_often(forward, part)  # its tower is compared with the engine's own passes
    assert forward.rows_by_route == before


def test_memory_that_a_call_takes_is_measured(tiny_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = itertools.count(step=1 << 28)
    monkeypatch.setattr(compiled_towers, "_resident_bytes", lambda: next(taken))
    forward = Forward(tiny_base, compilation=Compilation(CAPACITY_BYTES))
    forward.compiled.start()
    (part,) = parts_of(tiny_base, 0)
    assert forward.compiled._graph is not None
    assert forward.compiled.nbytes > 1 << 28
    assert forward.compiled._graph.compiled_bytes(part.row) > 1 << 28
    forward.close()


def test_a_precision_that_the_processor_does_not_have_is_said_and_the_kernels_answer(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(tower_graph._TYPES, "bfloat16", "f16")
    forward = Forward(tiny_base, compilation=Compilation(CAPACITY_BYTES, "bfloat16"))
    forward.compiled.start()
    assert forward.compiled.find(IMAGE, BASE) is None
    assert "not in bfloat16" in caplog.text
    forward.close()


def test_texts_have_no_compiled_tower(forward: Forward) -> None:
    parts = batch(forward.base, TEXT)
    forward.run(TEXT, parts)
    assert forward.rows_by_route["compiled"] == 0


def test_without_openvino_the_engine_goes_on(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quiet_openvino, "is_installed", lambda: False)
    caplog.set_level("INFO")
    forward = Forward(tiny_base, compilation=Compilation(CAPACITY_BYTES))
    forward.compiled.start()
    (part,) = parts_of(tiny_base, 0)
    torch.testing.assert_close(forward.run(IMAGE, [part])[0], plain(forward, part), atol=1e-5, rtol=0)
    assert "pip install 'saft[openvino]'" in caplog.text
