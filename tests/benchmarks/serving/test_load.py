from __future__ import annotations

import threading
from collections import Counter

import pytest

from benchmarks.serving.load import Window, closed_loop, figures, zipf


def test_every_item_is_asked_for_once_by_as_many_callers_as_wanted() -> None:
    together = threading.Barrier(4)
    asked: Counter[int] = Counter()

    def call(item: int) -> None:
        together.wait(10)  # passes only while four callers are at it
        asked[item] += 1

    window = closed_loop(call, range(12), 4)
    assert asked == Counter(range(12))
    assert len(window.latencies) == 12
    assert window.seconds >= max(window.latencies)


def test_an_error_of_a_call_ends_the_load() -> None:
    with pytest.raises(ZeroDivisionError):
        closed_loop(lambda item: 1 / item, [1, 0], 2)


def test_figures_are_medians_over_windows() -> None:
    windows = [Window(2.0, [0.1] * 10), Window(1.0, [0.2] * 10), Window(5.0, [0.9] * 10)]
    found = figures(windows)
    assert (found["images_per_second"], found["p50_ms"], found["p95_ms"]) == (5.0, 200.0, 200.0)
    assert found["repeats"] == [5.0, 10.0, 2.0]


def test_zipf_draws_the_first_twice_as_often_as_the_second() -> None:
    counts = Counter(zipf(100, 20_000, seed=0))
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.1)
    assert max(counts) < 100
    assert zipf(100, 50, seed=1) == zipf(100, 50, seed=1) != zipf(100, 50, seed=2)
