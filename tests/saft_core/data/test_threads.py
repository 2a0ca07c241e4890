from __future__ import annotations

import threading

import pytest
import torch

from saft_core.data import threads
from saft_core.data.threads import in_threads


@pytest.fixture(autouse=True)
def three_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available_cpus", lambda: 3)


def test_what_is_made_comes_in_order_and_of_several_threads_at_a_time() -> None:
    together = threading.Barrier(3, timeout=30)

    def work(number: int) -> int:
        if number < 3:
            together.wait()  # fails unless three are at it
        return -number

    assert in_threads(work, range(20)) == [-number for number in range(20)]


def test_torch_does_not_multiply_the_threads() -> None:
    before = torch.get_num_threads()
    assert set(in_threads(lambda _: torch.get_num_threads(), range(9))) == {1}
    assert torch.get_num_threads() == before


def test_the_first_that_fails_is_the_one_that_is_told() -> None:
    def work(number: int) -> int:
        if number in (2, 5):
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match="2"):
        in_threads(work, range(9))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_a_lone_one_need_no_thread(count: int) -> None:
    here = threading.get_ident()
    assert in_threads(lambda _: threading.get_ident(), range(count)) == [here] * count
