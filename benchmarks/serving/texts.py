"""bench=texts: one text, and a batch of 32, by the engine and by other runtimes; tokenizing is part of all.

base        the base's text tower as the engine runs it, at the length of the longest text
mixed       one forward in which each text has its own adapter, on random places; of one text there is none
swap        one forward for each adapter, written into the base and taken out again
open_clip   the base as open_clip runs it, at its full context
onnxruntime, openvino   the base's text tower in that runtime, at the length that the engine takes: see `runtimes.py`

All of them run in turn, as in `batches.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Row, side_by_side
from benchmarks.models import BATCH_SIZE, TEMPLATE, labels, make_base
from benchmarks.serving import runtimes
from benchmarks.serving.batches import TURN_SECONDS
from benchmarks.serving.deltas import random_rows
from benchmarks.serving.ways import Batch, Named, Work, rows_of
from saft_core.clip.backbone import Base
from saft_core.clip.prompts import can_be_cut
from saft_core.clip.zero_shot import fill
from saft_core.process import keep_memory
from saft_core.serving.encoder import TEXT
from saft_core.serving.forward import Forward
from saft_core.sparse import batch_delta


def rows(task: Row) -> list[Row]:
    """The rows of one model on one device; `task` has model, device, adapters (a list), repeats and perhaps batches.

    Raises ValueError for a base whose prompts cannot be cut.
    """
    keep_memory()  # as the API does
    base = make_base(task["model"], task["device"])
    if not can_be_cut(base.model):
        raise ValueError(
            f"the text tower of {base.name} reads whole contexts; this bench compares prompts that are cut"
        )
    tenants = random_rows(base, max(task["adapters"]))
    texts = fill(TEMPLATE, labels(max(task.get("batches", [BATCH_SIZE]))))
    return [
        row for size in task.get("batches", [BATCH_SIZE]) for row in rows_of_texts(task, base, tenants, texts[:size])
    ]


def rows_of_texts(task: Row, base: Base, tenants: Sequence[batch_delta.Row], texts: Sequence[str]) -> list[Row]:
    """The rows of a batch of these texts; as many adapters as texts at most."""
    runs = _in_runtimes(base, texts) if task["device"] == "cpu" else {}
    model: Any = base.model
    batch = Batch(Forward(base), TEXT, list(texts))
    works: dict[Named, Work] = {("base", 0): batch.base}
    for adapters in [count for count in task["adapters"] if count <= len(texts)]:
        if batch.mixes:
            works["mixed", adapters] = batch.mixed(tenants[:adapters])
        works["swap", adapters] = batch.swap(tenants[:adapters])
    works["open_clip", 0] = lambda: model.encode_text(base.tokenize(list(texts)).to(base.device), normalize=True)
    for mode, (encode, _) in runs.items():
        works[mode, 0] = lambda encode=encode: encode(base.tokens(texts).numpy())  # type: ignore[misc]
    notes: dict[Named, Row] = {(mode, 0): {"difference_to_base": off} for mode, (_, off) in runs.items()}
    with torch.inference_mode():
        turn = task.get("turn_seconds", TURN_SECONDS)
        measured = side_by_side(works, task["repeats"], task["device"], turn_seconds=turn)
    common = {"model": task["model"], "device": task["device"], "bench": "texts"}
    return rows_of(measured, notes, common, len(texts), "texts_per_second")


def _in_runtimes(base: Base, texts: Sequence[str]) -> dict[str, tuple[runtimes.Encode, float]]:
    """The text tower in each runtime, for this many texts of this length, and its difference from the base's."""
    tokens = base.tokens(texts)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text.onnx"
        runtimes.export(runtimes.TextTower(base, tokens.shape[1]), tokens, file)
        with torch.inference_mode():
            expected = base.encode_tokens(tokens)
        return runtimes.compiled(file, tokens.contiguous().numpy(), expected)
