"""A few entries of the base, and nothing else: SAFT (arXiv 2407.03036) and the paper's other ways of choosing them.

All go through the product's own selection and training (`saft_core.tuning`), so they differ in the mask alone. What the
paper writes is the whole of it: one training on all images, used at strength 1. `served.py` is what the product adds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Scorer, Unsuited, prompted
from saft_core.clip.backbone import Base
from saft_core.clip.flat import IndexArray
from saft_core.delta import SparseDelta
from saft_core.errors import InvalidConfig
from saft_core.templates import Template
from saft_core.training_options import Encoders, Evaluate, Selection
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.predictions import merged
from saft_core.tuning.progress import Progress, WorkMeter
from saft_core.tuning.strategies import select_for
from saft_core.tuning.training import train_for


class DeltaFit(Fitted):
    """The base with a delta, as a zero-shot classifier. As many numbers were trained as the delta has entries."""

    delta: SparseDelta

    def __init__(self, base: Base, delta: SparseDelta) -> None:
        self._base, self.delta, self.trainable = base, delta, len(delta)
        self._sees_anew = base.flat.changes_images(delta.indices)

    def active(self) -> AbstractContextManager[None]:
        """The base with the delta within the context."""
        return merged(self._base, self.delta)

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer:
        """Any labels."""
        return prompted(self._base, labels, template, sees_anew=self._sees_anew)


def training_config(
    config: FitConfig,
    template: Template,
    *,
    selection: Selection = "mean_gradient",
    encoders: Encoders = "both",
    evaluate: Evaluate = "none",
) -> TrainingConfig:
    """The same settings in the product's words; "none" holds nothing out."""
    return TrainingConfig(
        density=config.density,
        learning_rate=config.learning_rate,
        epochs=config.epochs,
        batch_size=config.batch_size,
        weight_decay=config.weight_decay,
        template=template,
        encoders=encoders,
        seed=config.seed,
        selection=selection,
        evaluate=evaluate,
        augment=config.augment,
    )


def fit_entries(
    base: Base, examples: Examples, config: TrainingConfig, choose: Callable[[WorkMeter], IndexArray]
) -> DeltaFit:
    """Train the entries that `choose` gives as sorted flat indices, int64 (d,). Raises TrainingDiverged."""
    base.model.requires_grad_(False)
    meter = WorkMeter(silent)
    return DeltaFit(base, train_for(base, examples.images.loader, examples.labels, choose(meter), config, meter))


def silent(_: Progress) -> None:
    """An observer of progress that tells nobody."""


@dataclass(frozen=True)
class Sparse:
    """One way of choosing floor(density * D) entries, D being the number of the base's parameters.

    selection: what entries are ranked by. encoders: where they may lie.
    """

    name: str
    selection: Selection = "mean_gradient"
    encoders: Encoders = "both"
    hyperparameters = Hyperparameters((1.5e-6, 5e-6, 1.5e-5), (1e-3, 3e-3, 1e-2), weight_decay=0.1)
    """The paper's, for all ways of choosing alike."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """Choose, then train what was chosen; what has no gradient is not chosen by it.

        Raises Unsuited where the density is of no entry, or of more than the chosen encoder has; TrainingDiverged.
        """
        settings = training_config(config, examples.template, selection=self.selection, encoders=self.encoders)

        def choose(meter: WorkMeter) -> IndexArray:
            return select_for(base, examples.images.loader, examples.labels, settings, meter)

        try:
            return fit_entries(base, examples, settings, choose)
        except InvalidConfig as error:
            raise Unsuited(str(error)) from error


SAFT = Sparse("SAFT")
"""Largest magnitudes of the mean gradient (equations 2 and 3), in both encoders."""
FISHER = Sparse("SAFT (Fisher)", selection="fisher")
"""Ranked by the diagonal of the empirical Fisher information: squared first, averaged after."""
RANDOM = Sparse("random", selection="random")
"""Any entries, drawn by the seed."""
SMALLEST_MAGNITUDE = Sparse("smallest magnitude", selection="smallest_magnitude")
"""The entries of the base that are nearest to zero."""
IMAGE_ONLY = Sparse("SAFT (image only)", encoders="image")
"""As SAFT, with all entries in the image encoder."""
TEXT_ONLY = Sparse("SAFT (text only)", encoders="text")
"""As SAFT, with all entries in the text encoder."""
