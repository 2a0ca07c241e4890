from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from saft_core.clip.backbone import Base
from saft_core.serving.encoder import IMAGE, ROWS_A_THREAD, TEXT
from saft_core.serving.forward import Forward
from saft_core.serving.trials import changed_row, inputs_of
from saft_core.sparse.batch_delta import Row


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("kind", [IMAGE, TEXT])
@pytest.mark.parametrize("count", [1, 2 * ROWS_A_THREAD, 4 * ROWS_A_THREAD + 1])
@torch.inference_mode()
def test_rows_in_several_threads_are_answered_as_each_alone(tiny_base: Base, kind: str, count: int) -> None:
    forward = Forward(tiny_base)
    assert forward.mixes(kind)
    rows = [Row(None) if number % 3 == 2 else changed_row(tiny_base, number) for number in range(count)]
    inputs = inputs_of(tiny_base, kind, count)
    wanted = []
    for number, row in enumerate(rows):
        forward.merge(kind, row)
        wanted.append(forward.encoder.plain(kind, inputs[number : number + 1]))
    forward.unmerge()
    if count > 1:
        found = forward.encoder.encode(kind, inputs, rows)
        torch.testing.assert_close(found, torch.cat(wanted), atol=1e-5, rtol=0)
    alone = forward.encoder.encode(kind, inputs, [Row(None)] * count)
    torch.testing.assert_close(alone, forward.encoder.plain(kind, inputs), atol=1e-5, rtol=0)
    forward.close()


@pytest.mark.usefixtures("two_threads")
@torch.inference_mode()
def test_few_rows_go_through_one_thread_where_that_was_measured_to_take_less_time(tiny_base: Base) -> None:
    forward, seen = Forward(tiny_base), []
    plain = tiny_base.encode_pixels

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        seen.append((threading.current_thread().name.split("_")[0], torch.get_num_threads()))
        return plain(pixels)

    tiny_base.encode_pixels = encode  # type: ignore[method-assign]
    inputs = inputs_of(tiny_base, IMAGE, 2 * ROWS_A_THREAD)
    forward.encoder.encode(IMAGE, inputs[:1], [Row(None)])
    forward.encoder.few_rows_in_one_thread.add(IMAGE)
    forward.encoder.encode(IMAGE, inputs[:1], [Row(None)])
    forward.encoder.encode(IMAGE, inputs, [Row(None)] * len(inputs))
    forward.close()
    assert seen == [("MainThread", 2), ("saft-rows", 1), ("saft-rows", 1), ("saft-rows", 1)]


@pytest.mark.usefixtures("two_threads")
@torch.inference_mode()
def test_an_error_comes_when_no_thread_uses_the_weights_any_more(tiny_base: Base) -> None:
    forward, ended, first = Forward(tiny_base), threading.Event(), threading.Event()
    plain = tiny_base.encode_pixels

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        if not first.is_set():
            first.set()
            raise ValueError("the first")
        result = plain(pixels)
        ended.wait(0.2)
        ended.set()
        return result

    tiny_base.encode_pixels = encode  # type: ignore[method-assign]
    rows = 2 * ROWS_A_THREAD
    with pytest.raises(ValueError, match="the first"):
        forward.encoder.encode(IMAGE, inputs_of(tiny_base, IMAGE, rows), [Row(None)] * rows)
    assert ended.is_set()
    forward.close()
