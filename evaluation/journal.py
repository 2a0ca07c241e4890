"""Outcomes in `results.jsonl`, one a line, as they come: a study that was killed goes on with what is missing."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from evaluation.outcomes import Outcome, Run
from saft_core.errors import InvalidConfig

_OUTCOME = TypeAdapter(Outcome)


class Journal:
    """The outcomes of runs so far. A line that was cut off when its process died counts as not written.

    Raises InvalidConfig for a whole line that is no outcome, such as that of a version with other fields.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known = {outcome.run: outcome for outcome in _read(path)}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, run: Run, data_sha256: str) -> Outcome | None:
        """The outcome of `run`, if it was made of these images and tested on these."""
        known = self._known.get(run)
        return known if known is not None and known.data_sha256 == data_sha256 else None

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
    return [_outcome(line, f"{path}, line {number}") for number, line in enumerate(whole.splitlines(), start=1)]


def _outcome(line: bytes, where: str) -> Outcome:
    try:
        return _OUTCOME.validate_json(line)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        field = ".".join(map(str, error["loc"])) or "JSON"
        raise InvalidConfig(
            f"{where}: {field}: {error['msg']}. Delete the line, and its fit is made anew, or name another --out"
        ) from invalid
