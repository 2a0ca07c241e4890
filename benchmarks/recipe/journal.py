"""Outcomes of runs in a file of JSON lines, so that a study that is started again makes only what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Scores = dict[str, list[float]]
"""For each test, 1 for every picture that was classified right and 0 for every other; or a single figure."""


class Journal:
    """Outcomes by key, kept as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._known: dict[str, Scores] = dict(json.loads(line) for line in lines)

    def __contains__(self, key: Sequence[Any]) -> bool:
        return json.dumps(key) in self._known

    def get(self, key: Sequence[Any], run: Callable[[], Scores]) -> Scores:
        """The outcome of `key`, from the file or from `run()`."""
        name = json.dumps(key)
        if name not in self._known:
            self._known[name] = run()
            with self._path.open("a") as file:
                file.write(json.dumps([name, self._known[name]]) + "\n")
            print(name, {test: round(float(np.mean(v)), 3) for test, v in self._known[name].items() if v}, flush=True)
        return self._known[name]
