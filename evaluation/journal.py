"""Outcomes in `results.jsonl`, one a line, as they come: a study that was killed goes on with what is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from evaluation.outcomes import Outcome, Run


class Journal:
    """The outcomes of runs so far. A line that was cut off when its process died counts as not written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known = {outcome.run: outcome for outcome in _read(path)}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, run: Run, split_sha256: str, sizes: Mapping[str, int]) -> Outcome | None:
        """The outcome of `run` on these shots, if it has as many answers for each test set as `sizes` says.

        So what was made of a data set that has changed on the disk since does not count.
        """
        known = self._known.get(run)
        if known is None or known.split_sha256 != split_sha256:
            return None
        if known.unsuited:
            return known
        told = {name: len(right) for name, right in known.right.items()}
        return (
            known
            if all(told.get(name, size) == size for name, size in sizes.items())
            and (set(sizes) <= {*told, *known.unnamed})
            else None
        )

    def add(self, outcome: Outcome) -> None:
        """Keep it; it is on the disk when this returns."""
        self._known[outcome.run] = outcome
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(outcome.as_json()) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _read(path: Path) -> list[Outcome]:
    """All whole lines; the file loses a last line that is none, so that the next is not written behind it."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return [Outcome.of_json(json.loads(line)) for line in whole.splitlines()]
