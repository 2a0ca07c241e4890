"""What the work of a fine-tune costs in seconds on this machine: measured so far, and estimated for the rest."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from saft_core.tuning.config import Schedule, TrainingConfig

Kind = Literal["images", "prompts", "gradient", "ranking", "first step", "step"]
BackwardPasses = Literal["none", "one", "one per sample"]
"""How often a selection strategy passes backward through the prompts, if it has a gradient at all."""

FORWARD_BACKWARD = 2.0
"""The cost of a forward and its sparse backward pass, in forward passes (docs/training.md, "Figures": 1.6 to 2.1)."""
MEASUREMENTS_KEPT = 31
"""How many of the latest measurements of a kind the median is taken of; a median passes over a pause of the machine."""


@dataclass(frozen=True)
class Work:
    """A kind of work, counted in images or prompts, rankings or optimizer steps.

    A "first step" is a step of the first epoch: it decodes its images and, where their embeddings cannot change,
    encodes them for all later steps.
    images: the batch size of a step. ends_epoch: whether it is the last step of an epoch, whose batch may be smaller
    and after which early stopping measures its loss.
    """

    kind: Kind
    images: int = 0
    ends_epoch: bool = False


Amounts = Mapping[Work, float]
"""How much there is of each kind of work."""
IMAGES = Work("images")
PROMPTS = Work("prompts")
GRADIENT = Work("gradient")
RANKING = Work("ranking")


def total(parts: Iterable[Amounts]) -> dict[Work, float]:
    """The sum of the amounts of all parts."""
    found: defaultdict[Work, float] = defaultdict(float)
    for part in parts:
        for work, amount in part.items():
            found[work] += amount
    return dict(found)


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Optimizer steps in one pass over the samples; the last, smaller batch counts."""
    return math.ceil(samples / batch_size)


def step_work(step: int, images: int, schedule: Schedule, first: int = 0) -> Work:
    """The work of optimizer step `step`, from 0, of a training on `images` images that began with step `first`."""
    per_epoch = steps_per_epoch(images, schedule.batch_size)
    ends_epoch = (step + 1) % per_epoch == 0
    size = images - (per_epoch - 1) * schedule.batch_size if ends_epoch else schedule.batch_size
    return Work("first step" if step - first < per_epoch else "step", size, ends_epoch)


class Costs:
    """Seconds for one unit of each kind of work.

    prompts: how many prompts all classes have. backward_passes: of the selection strategy.
    trains_images: whether the delta changes the embeddings of images; may be set when it is known.
    """

    def __init__(
        self, config: TrainingConfig, prompts: int, *, trains_images: bool, backward_passes: BackwardPasses
    ) -> None:
        self._config, self._prompts, self._backward_passes = config, prompts, backward_passes
        self.trains_images = trains_images
        self._measured: defaultdict[Work, deque[tuple[float, float]]] = defaultdict(
            lambda: deque(maxlen=MEASUREMENTS_KEPT)
        )

    def note(self, work: Work, amount: float, seconds: float) -> None:
        """Record that `amount` of `work` took so many seconds."""
        self._measured[work].append((seconds / amount, amount))

    def of(self, work: Work) -> float | None:
        """Seconds for one unit; None as long as no measurement tells."""
        guessed = self._guess(work)
        if work in self._measured:
            return self._median(work, guessed)
        for other in self._relatives(work):
            known = self._guess(other)
            if guessed and known:
                return self._median(other, known) * guessed / known
        return guessed

    def _median(self, work: Work, guessed: float | None) -> float:
        """The median of the measurements and the guess, so that one unusual first measurement does not decide alone."""
        measured = list(self._measured[work])
        return _median(measured if guessed is None else [*measured, (guessed, 1)])

    def _relatives(self, work: Work) -> list[Work]:
        """Measured steps whose cost is proportional to that of `work`: those of its kind first."""
        if work.kind not in ("first step", "step"):
            return []
        kinds = ("first step", "step") if self._encodes_each_step else (work.kind,)
        steps = [other for other in self._measured if other.kind in kinds]
        return sorted(steps, key=lambda other: (other.kind != work.kind, abs(other.images - work.images)))

    @property
    def _encodes_each_step(self) -> bool:
        """Whether every step encodes its images."""
        return self.trains_images or self._config.augment != "none"

    def _guess(self, work: Work) -> float | None:
        """Estimated from the seconds that an image and a prompt take to encode."""
        image, prompt = (_median(self._measured[one]) if one in self._measured else None for one in (IMAGES, PROMPTS))
        if image is None or prompt is None:
            return None
        texts = 0.0 if self._config.encoders == "image" else FORWARD_BACKWARD * self._prompts * prompt
        trained = image * (FORWARD_BACKWARD if self.trains_images else 1.0)
        scored = self._backward_passes != "none"
        guesses: dict[Kind, float] = {
            "images": image,
            "prompts": prompt,
            "gradient": scored * (trained + texts * (self._backward_passes == "one per sample")),
            "ranking": scored * texts,
            "first step": work.images * trained + texts,
            "step": work.images * trained * self._encodes_each_step + texts,
        }
        return guesses[work.kind]


def _median(measured: Collection[tuple[float, float]]) -> float:
    """The weighted median of pairs of (seconds for one unit, weight)."""
    half, seen = sum(amount for _, amount in measured) / 2, 0.0
    for seconds, amount in sorted(measured):
        seen += amount
        if seen >= half:
            return seconds
    return 0.0
