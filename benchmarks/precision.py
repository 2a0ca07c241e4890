"""`make bench-precision ARGS="--data DIR"`: what it changes that compiled image towers compute in bfloat16.

DIR has a folder a style with a folder of pictures a class, as PACS. The product trains an adapter on 16 pictures a
class of the first style named, both towers, and its stored delta answers on all pictures that it was not trained on: by
the model as it is written, and by its compiled tower in float32 and in bfloat16. Class embeddings are the same for all
three. Differences are paired, over seeds and pictures, with 95% intervals.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import Row, machine, table, write
from benchmarks.models import make_base
from benchmarks.recipe.intervals import difference
from benchmarks.recipe.pictures import Labelled, Pictures
from benchmarks.recipe.tasks import NOTHING
from evaluation.loading import LIMITS
from saft_core.clip.backbone import Base
from saft_core.delta import decode
from saft_core.serving.tower_graph import TowerGraph
from saft_core.sparse.batch_delta import Row as DeltaRow
from saft_core.sparse.loaded_delta import load_delta
from saft_core.tuning.adapt import adapt
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.predictions import merged, text_embeddings
from saft_core.tuning.training_sets import TrainingSets

PLAIN, FLOAT32, BFLOAT16 = "plain torch", "compiled, float32", "compiled, bfloat16"
COLUMNS = ("model", "test", "pictures", "mode", "accuracy", "difference", "low", "high", "same_answer",
           "probability_moved")  # fmt: skip
PICTURES_A_PASS = 32
Probabilities = Mapping[str, Tensor]
"""By mode: float32 (pictures, classes)."""


def main() -> None:
    """Measure what the command line asks for."""
    options = _options()
    base = make_base(options.model)
    found: dict[str, list[tuple[Probabilities, Labelled]]] = defaultdict(list)
    for seed in range(options.seeds):
        for test, outcome in _run(base, Pictures.of_folders(options.data), options.style, seed).items():
            found[test].append(outcome)
    rows = [row for test, outcomes in found.items() for row in rows_of(options.model, test, outcomes)]
    print(f"{table(rows, COLUMNS)}\n\nwritten to {write('precision', rows)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-precision ARGS=...", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of styles, which are folders of classes")
    parser.add_argument("--style", default="photo", help="what is trained on")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def _run(base: Base, pictures: Pictures, style: str, seed: int) -> dict[str, tuple[Probabilities, Labelled]]:
    """Train on shots of a style, and answer on each test by each way."""
    split = pictures.split(style, seed, NOTHING)
    config = TrainingConfig(**{**asdict(base.defaults), "encoders": "both", "seed": seed})
    trained = adapt(base, TrainingSets(split.train.labels, split.train.samples), config, LIMITS, lambda _: None)
    delta = decode(trained.container, max_bytes=len(trained.container))[0]
    row, graph = DeltaRow(load_delta(delta, base.flat)), TowerGraph(base, torch.get_num_threads())
    towers = {FLOAT32: graph.compile(row), BFLOAT16: graph.compile(row, "bfloat16")}
    with merged(base, delta), torch.inference_mode():
        classes = base.logit_scale * text_embeddings(base, split.train.labels, config.template)
        ways = {PLAIN: base.encode_pixels} | towers
        return {
            test: ({way: (_embed(base, encode, shown) @ classes.T).softmax(1) for way, encode in ways.items()}, shown)
            for test, shown in split.tests.items()
        }


def _embed(base: Base, encode: Callable[[Tensor], Tensor], shown: Labelled) -> Tensor:
    loader = PixelLoader(shown.samples, base.pixels, LIMITS, side=base.image_side)
    numbers = range(len(shown.files))
    batches = [numbers[start : start + PICTURES_A_PASS] for start in numbers[::PICTURES_A_PASS]]
    return torch.cat([encode(loader.batch(batch)[0]) for batch in batches])


def rows_of(model: str, test: str, outcomes: list[tuple[Probabilities, Labelled]]) -> list[Row]:
    """A row for each way, compared with plain torch."""
    return [_row(model, test, way, outcomes) for way in (PLAIN, FLOAT32, BFLOAT16)]


def _row(model: str, test: str, way: str, outcomes: list[tuple[Probabilities, Labelled]]) -> Row:
    right = [_right(given[way], shown) for given, shown in outcomes]
    off = difference(right, [_right(given[PLAIN], shown) for given, shown in outcomes])
    same = [float((given[way].argmax(1) == given[PLAIN].argmax(1)).double().mean()) for given, _ in outcomes]
    moved = [float((given[way] - given[PLAIN]).abs().max(1).values.mean()) for given, _ in outcomes]
    return {
        "model": model, "device": "cpu", "bench": "precision", "test": test, "mode": way,
        "pictures": len(outcomes[0][1].files), "seeds": len(outcomes), "accuracy": 100 * float(np.mean(right)),
        "difference": off.mean, "low": off.low, "high": off.high, "same_answer": 100 * float(np.mean(same)),
        "probability_moved": float(np.mean(moved)), "machine": machine("cpu"),
    }  # fmt: skip


def _right(probabilities: Tensor, shown: Labelled) -> list[float]:
    """1 for each picture that is answered right, else 0."""
    return (probabilities.argmax(1) == torch.tensor(shown.targets)).double().tolist()


if __name__ == "__main__":
    main()
