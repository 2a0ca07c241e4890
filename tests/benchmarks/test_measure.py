from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.measure import side_by_side


def test_a_turn_is_as_many_runs_as_take_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, now = {"short": 0, "long": 0}, [0.0]
    monkeypatch.setattr("benchmarks.measure.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def work(name: str, seconds: float) -> None:
        runs[name] += 1
        now[0] += seconds

    works = {"short": lambda: work("short", 0.001), "long": lambda: work("long", 0.05)}
    found = side_by_side(works, 2, turn_seconds=0.02)
    assert runs["long"] == 3  # one a turn: the first warms up
    assert runs["short"] in (3 * 20, 3 * 21)  # so many take 0.02 s, up to rounding
    assert (found["short"].seconds, found["long"].seconds) == pytest.approx((0.001, 0.05))
    assert len(found["short"].repeats) == 2
