"""What the work of a fine-tune costs on this machine: measured as it goes, and guessed from that for what comes."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from saft_core.tuning.config import Schedule, TrainingConfig

Kind = Literal["images", "prompts", "gradient", "ranking", "first step", "step"]

TRAINED = 2.0
"""A forward with its sparse backward, in forwards (docs/training.md, "Figures": 1.6 to 2.1)."""
REMEMBERED = 31
"""So many of the latest measurements of a kind count, of which the median does: a pause of the machine passes."""


@dataclass(frozen=True)
class Work:
    """A kind of work, counted in images or prompts, rankings or optimizer steps.

    A first step is the first to see its images: it reads them and, where they cannot change, encodes them for all that
    follow. images: how many a step takes. ends_epoch: it is the last of an epoch, which may be smaller, and which early
    stopping follows.
    """

    kind: Kind
    images: int = 0
    ends_epoch: bool = False


Amounts = Mapping[Work, float]
"""How much of each there is."""
IMAGES = Work("images")
PROMPTS = Work("prompts")
GRADIENT = Work("gradient")
RANKING = Work("ranking")


def total(parts: Iterable[Amounts]) -> dict[Work, float]:
    """The amounts of all parts together."""
    found: defaultdict[Work, float] = defaultdict(float)
    for part in parts:
        for work, amount in part.items():
            found[work] += amount
    return dict(found)


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Optimizer steps in one pass over the samples; the last, smaller batch counts."""
    return math.ceil(samples / batch_size)


def step_work(step: int, images: int, schedule: Schedule, first: int = 0) -> Work:
    """What the optimizer step number `step`, from 0, is, in a training on `images` that began with step `first`."""
    per_epoch = steps_per_epoch(images, schedule.batch_size)
    ends_epoch = (step + 1) % per_epoch == 0
    size = images - (per_epoch - 1) * schedule.batch_size if ends_epoch else schedule.batch_size
    return Work("first step" if step - first < per_epoch else "step", size, ends_epoch)


class Costs:
    """Seconds for one of each kind of work.

    prompts: of the classes. trains_images: whether a delta changes how images are seen; may be set when it is known.
    """

    def __init__(self, config: TrainingConfig, prompts: int, *, trains_images: bool) -> None:
        self._config, self._prompts = config, prompts
        self.trains_images = trains_images
        self._measured: defaultdict[Work, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    def note(self, work: Work, amount: float, seconds: float) -> None:
        """Take in how long `amount` of it took."""
        self._measured[work].append((seconds / amount, amount))

    def of(self, work: Work) -> float | None:
        """Seconds for one; None as long as nothing tells."""
        guessed = self._guess(work)
        if work in self._measured:
            return self._median(work, guessed)
        for other in self._relatives(work):
            known = self._guess(other)
            if guessed and known:
                return self._median(other, known) * guessed / known
        return guessed

    def _median(self, work: Work, guessed: float | None) -> float:
        """Of what was measured and, lest the first one alone decides, which may be out of the ordinary, the guess."""
        measured = list(self._measured[work])
        return _median(measured if guessed is None else [*measured, (guessed, 1)])

    def _relatives(self, work: Work) -> list[Work]:
        """Measured steps that cost what `work` does, or in proportion: those of its kind first."""
        if work.kind not in ("first step", "step"):
            return []
        kinds = ("first step", "step") if self._again else (work.kind,)
        steps = [other for other in self._measured if other.kind in kinds]
        return sorted(steps, key=lambda other: (other.kind != work.kind, abs(other.images - work.images)))

    @property
    def _again(self) -> bool:
        """Whether every step encodes its images anew."""
        return self.trains_images or self._config.augment != "none"

    def _guess(self, work: Work) -> float | None:
        """From what an image and a prompt take to encode."""
        image, prompt = (_median(self._measured[one]) if one in self._measured else None for one in (IMAGES, PROMPTS))
        if image is None or prompt is None:
            return None
        texts = 0.0 if self._config.encoders == "image" else TRAINED * self._prompts * prompt
        trained = image * (TRAINED if self.trains_images else 1.0)
        scored = self._config.selection in ("mean_gradient", "fisher")
        guesses: dict[Kind, float] = {
            "images": image,
            "prompts": prompt,
            "gradient": scored * (trained + texts * (self._config.selection == "fisher")),
            "ranking": scored * texts,
            "first step": work.images * trained + texts,
            "step": work.images * trained * self._again + texts,
        }
        return guesses[work.kind]


def _median(measured: Collection[tuple[float, float]]) -> float:
    """Of (seconds for one, how many), each counting as often as it is for."""
    half, seen = sum(amount for _, amount in measured) / 2, 0.0
    for seconds, amount in sorted(measured):
        seen += amount
        if seen >= half:
            return seconds
    return 0.0
