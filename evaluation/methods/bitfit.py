"""BitFit (arXiv 2106.10199): the bias terms of all layers, and nothing else."""

from __future__ import annotations

import numpy as np

from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Unsuited
from evaluation.methods.sparse import fit_entries, training_config
from saft_core.clip.backbone import Base
from saft_core.clip.flat import FlatParameters, IndexArray, tower_of


class BitFit:
    """Every entry of every bias of both encoders, through the mask that SAFT trains through.

    The shift of a layer norm or batch norm is a bias; its scale is none, nor is the offset of SigLIP's loss.
    """

    name = "BitFit"
    hyperparameters = Hyperparameters((3e-4, 1e-3, 3e-3), (1e-3, 3e-3, 1e-2), weight_decay=0.0)
    """1e-3 without weight decay, the defaults of the paper's code for BERT."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """Train the biases. Raises Unsuited where the base has none, and TrainingDiverged."""
        indices = biases(base.flat)
        if not len(indices):
            raise Unsuited("the base has no bias at all")
        return fit_entries(base, examples, training_config(config, examples.template), lambda _: indices)


def biases(flat: FlatParameters) -> IndexArray:
    """Flat indices of all bias entries, sorted: parameters called `bias`, or like `in_proj_bias`."""
    ranges = [
        np.arange(slot.offset, slot.offset + slot.size, dtype=np.int64)
        for slot in flat.slots
        if tower_of(slot.name) != "neither" and _is_bias(slot.name.rpartition(".")[2])
    ]
    return np.concatenate(ranges) if ranges else np.empty(0, dtype=np.int64)


def _is_bias(parameter: str) -> bool:
    return parameter == "bias" or parameter.endswith("_bias")
