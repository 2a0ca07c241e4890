"""What holds for every fit of a study."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evaluation.methods.method import Method
from evaluation.outcomes import Classes, Run
from evaluation.report.estimates import MOST_SEEDS
from saft_core.clip.backbone import Base
from saft_core.errors import InvalidConfig
from saft_core.training_options import Augment

EPOCHS = 20
EMBEDDED_EPOCHS = 4
"""On the small base that comes along: enough to tell methods apart, and done with all of them in half an hour."""


@dataclass(frozen=True)
class Conditions:
    """What the paper does not state is chosen here.

    density, weight_decay: the paper's, unless a method's own paper says otherwise. epochs: None takes those of a
    method's own paper where it learns a few numbers on frozen embeddings, and EPOCHS for all others. tune: choose the
    learning rate of each method on held shots, among as many; else each has its stated one.
    """

    shots: int
    seeds: tuple[int, ...]
    epochs: int | None
    batch_size: int
    augment: Augment
    density: float
    weight_decay: float
    tune: bool

    def check(self) -> None:
        """Raise InvalidConfig for what no fit could follow."""
        if not 0 < self.density <= 1:
            raise InvalidConfig(f"--density {self.density}: a share of the parameters, above 0 and at most 1")
        if not 0 <= self.weight_decay < math.inf:
            raise InvalidConfig(f"--weight-decay {self.weight_decay}: 0 or more")
        if len(set(self.seeds)) < len(self.seeds) or len(self.seeds) > MOST_SEEDS:
            raise InvalidConfig(f"--seeds: each once, and at most {MOST_SEEDS}")

    def run(
        self,
        base: Base,
        method: Method,
        dataset: str,
        classes: Classes,
        *,
        seed: int,
        shots: int | None = None,
        density: float | None = None,
    ) -> Run:
        """One fit at the method's stated learning rate. shots, density: None takes those of the study."""
        own = method.hyperparameters
        return Run(
            base=f"{base.name} {base.fingerprint[:12]} on {base.device.type}",
            dataset=dataset,
            classes=classes,
            shots=shots or self.shots,
            method=method.name,
            learning_rate=own.learning_rate(base),
            epochs=self.epochs or own.epochs or (EMBEDDED_EPOCHS if base.card.embedded else EPOCHS),
            batch_size=self.batch_size,
            weight_decay=self.weight_decay if own.weight_decay is None else own.weight_decay,
            density=density or self.density,
            augment=self.augment,
            seed=seed,
        )

    def sentences(self, base: Base) -> list[str]:
        """What is printed above every table."""
        precision = "bfloat16" if base.device.type == "cuda" else "float32"
        if self.tune:
            rates = "The learning rate of each method is the best of three on held shots of the first seed."
        else:
            suited = ", or such as suit this small base" if base.card.embedded else ""
            rates = f"Learning rates are those that each method's own paper states{suited}."
        return [
            f"Base: {base.name}, in {precision} on {base.device.type}.",
            f"{self.shots} shots a class unless said otherwise; seeds {', '.join(map(str, self.seeds))}.",
            f"Not stated by the paper and chosen here: epochs as the table has them, batches of {self.batch_size},"
            f" augmentation: {self.augment}.",
            rates,
        ]
