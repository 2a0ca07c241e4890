"""The strength (scale) of a delta, learned on held-out images.

Interpolating between the weights of base and adapter is WiSE-FT's (arXiv 2109.01903); choosing the coefficient on held
out shots is HOSO's (arXiv 2603.04341).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.calibration import UNCALIBRATED, Calibration
from saft_core.tuning.predictions import Predictions

STRENGTHS = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
"""The strengths that are tried. 0, the base itself, is not: an adapter that is no better says so in its verdict."""


def best(scores: npt.NDArray[np.float64]) -> int:
    """The position in STRENGTHS of the highest score; of several equal ones the middle one, the upper of two.

    scores: accuracy at each of STRENGTHS, or any measure like it, (len(STRENGTHS),).

    Few images seldom tell neighbouring strengths apart. The lowest of the best would lose what training gained, the
    highest what the base knew; the middle is the farthest from where accuracy falls.
    """
    places = np.flatnonzero(scores >= scores.max() - 1e-9)
    return int(places[len(places) // 2])


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions on the same held-out images: the base's, and the adapter's at each of STRENGTHS.

    calibration: of the adapter at the strength to store.
    """

    before: Predictions
    tries: tuple[Predictions, ...]
    calibration: Calibration = UNCALIBRATED

    @property
    def strength(self) -> float:
        """The strength to store with the adapter."""
        return STRENGTHS[best(self._recalls().sum(axis=1))]

    @property
    def answers(self) -> Predictions:
        """The adapter's predictions, each image at the strength that all the others choose (leave-one-out).

        Accuracy at the strength that did best on the very same images would flatter it.
        """
        recalls = self._recalls()
        chosen = [best(recalls.sum(axis=1) - own) for own in recalls.T]
        predicted = [self.tries[place].predicted[image] for image, place in enumerate(chosen)]
        return Predictions(self.before.targets, np.array(predicted, dtype=np.int64))

    def as_tensors(self) -> dict[str, Tensor]:
        """For a checkpoint to carry: int64 (2 + len(STRENGTHS), N), and the calibration as JSON in bytes."""
        rows = [self.before.targets, self.before.predicted, *(one.predicted for one in self.tries)]
        calibration = json.dumps(self.calibration.as_metrics()).encode()
        return {
            "answers": torch.stack([torch.from_numpy(row) for row in rows]),
            "calibration": torch.tensor(list(calibration), dtype=torch.uint8),
        }

    @classmethod
    def of_tensors(cls, carried: Mapping[str, Tensor]) -> HeldOut:
        """Read what `as_tensors` returned."""
        targets, before, *tries = (row.numpy() for row in carried["answers"])
        calibration = Calibration.of_metrics(json.loads(bytes(carried["calibration"].tolist())))
        return cls(Predictions(targets, before), tuple(Predictions(targets, row) for row in tries), calibration)

    def _recalls(self) -> npt.NDArray[np.float64]:
        """What each image adds to the summed recall of the classes at each strength, (len(STRENGTHS), N)."""
        _, places, counts = np.unique(self.before.targets, return_inverse=True, return_counts=True)
        right: npt.NDArray[np.float64] = np.stack([one.right for one in self.tries]) / counts[places]
        return right
