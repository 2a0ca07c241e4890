from __future__ import annotations

import time

from benchmarks.measure import side_by_side


def test_a_turn_is_as_many_runs_as_take_its_seconds() -> None:
    runs = {"short": 0, "long": 0}

    def work(name: str, seconds: float) -> None:
        runs[name] += 1
        time.sleep(seconds)

    works = {"short": lambda: work("short", 0.001), "long": lambda: work("long", 0.05)}
    found = side_by_side(works, 2, turn_seconds=0.02)
    assert runs["long"] == 3  # one a turn: the first warms up
    assert runs["short"] > 3
    assert found["short"].seconds < found["long"].seconds
    assert len(found["short"].repeats) == 2
