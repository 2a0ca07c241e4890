"""SAFT as the product serves it: a strength learned on shots held out, and a second training on all of them."""

from __future__ import annotations

import numpy as np

from evaluation.loading import LIMITS
from evaluation.methods.method import Examples, FitConfig, Fitted, Unsuited
from evaluation.methods.sparse import SAFT, DeltaFit, silent, training_config
from saft_core.clip.backbone import Base
from saft_core.delta import SparseDelta
from saft_core.errors import InvalidImage, InvalidInput
from saft_core.tuning.adapt import adapt
from saft_core.tuning.training_sets import TrainingSets


class Served:
    """The product's `adapt` with the encoders that the base brings as its default.

    It differs from SAFT in that values have 16 bits, and in the strength: a fifth of the shots are held out of a first
    training, and the strength in (0, 1] that does best on them scales the delta of the second, which takes all.
    """

    name = "SAFT as served"
    hyperparameters = SAFT.hyperparameters

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """The delta times the strength.

        Raises Unsuited for labels that the product refuses, because the base cannot read them or tell them apart, and
        for a density that the base cannot have; InvalidImage, TrainingDiverged.
        """
        base.model.requires_grad_(False)
        encoders = base.defaults.encoders
        settings = training_config(config, examples.template, encoders=encoders, evaluate="refit")
        try:
            result = adapt(base, TrainingSets(examples.labels, examples.images.samples), settings, LIMITS, silent)
        except InvalidImage:
            raise
        except InvalidInput as error:
            raise Unsuited(str(error)) from error
        return DeltaFit(base, scaled(result.delta, result.strength))


def scaled(delta: SparseDelta, strength: float) -> SparseDelta:
    """The delta whose use at strength 1 is that of `delta` at `strength`, to the bit."""
    return SparseDelta(delta.indices, np.float32(strength) * delta.values)
