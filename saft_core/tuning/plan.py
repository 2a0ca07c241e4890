"""The work of a fine-tune, counted before it is done, so that `WorkMeter` can tell progress and the time left.

`Plan` counts images, prompts and steps from the sizes of the image sets. `PlanTracker` keeps the meter's plan right
where a fine-tune resumes from a checkpoint, stops early, or selects entries in one tower only.
Work that is added to `adapt.py` is added to `Plan` too, or the bar does not end at 1 (`test_adapt.py` checks it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from saft_core.templates import each
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.costs import (
    GRADIENT,
    IMAGES,
    PROMPTS,
    RANKING,
    Amounts,
    Costs,
    Work,
    step_work,
    steps_per_epoch,
    total,
)
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.strategies import STRATEGIES
from saft_core.tuning.strength import STRENGTHS


@dataclass(frozen=True)
class Plan:
    """How many images and texts a fine-tune reads.

    trainings: how many images each training trains on, the first one and the refit if there is one.
    not_held_out: images that are not held out, those of validation among them; all are classified at the end.
    held_out, test, new_test, probe: images of each of these sets.
    labels, new_labels, concepts: classes of the trained sets, of `new_test` and of `probe`.
    words: words of `predictions.words_for` that are still to be encoded.
    """

    config: TrainingConfig
    trainings: tuple[int, ...]
    not_held_out: int
    held_out: int
    test: int
    new_test: int
    probe: int
    labels: int
    new_labels: int
    concepts: int
    words: int

    def all_work(self, *, trains_images: bool) -> Amounts:
        """The whole fine-tune. trains_images: whether the delta changes the embeddings of images."""
        trainings = [
            part for images in self.trainings for part in (self.selection_work(images), self.training_work(images))
        ]
        return total((self.evaluation_work(trains_images=trains_images), *trainings))

    @property
    def total_steps(self) -> int:
        """The optimizer steps of all trainings."""
        return sum(map(self.steps_of, self.trainings))

    def steps_of(self, images: int) -> int:
        """The optimizer steps of a training on so many images."""
        return self.config.epochs * steps_per_epoch(images, self.config.batch_size)

    def evaluation_work(self, *, trains_images: bool) -> Amounts:
        """All that is evaluated before, between and after the trainings."""
        return total((self.held_out_work(trains_images=trains_images), self._before_and_after(trains_images)))

    def held_out_work(self, *, trains_images: bool) -> Amounts:
        """The held-out images by the base and at each strength, and the calibration."""
        if not self.held_out:
            return {}
        tries = len(STRENGTHS)
        images = self.held_out + trains_images * ((tries + 1) * self.held_out + self.probe)
        prompts = (1 + tries + 2) * self._prompts(self.labels) + bool(self.probe) * self._prompts(self.concepts)
        return {IMAGES: images, PROMPTS: prompts + self.words}

    def selection_work(self, images: int) -> Amounts:
        """One selection on so many images."""
        return {GRADIENT: images, RANKING: 1}

    def training_work(self, images: int, *, after: int = 0, first: int = 0, before: int | None = None) -> Amounts:
        """Optimizer steps `after` to `before` (exclusive; None is the end) of a training that began with `first`."""
        end = self.steps_of(images) if before is None else before
        works: Iterable[Work] = (step_work(step, images, self.config, first) for step in range(after, end))
        return dict(Counter(works))

    def _before_and_after(self, trains_images: bool) -> Amounts:
        times = 1 + trains_images
        asked = [(self.test, self.labels), (self.new_test, self.new_labels), (self.probe, self.concepts)]
        images = self.not_held_out + times * sum(count for count, _ in asked)
        prompts = self._prompts(self.labels) + sum(2 * self._prompts(texts) for count, texts in asked if count)
        return {IMAGES: images, PROMPTS: prompts}

    def _prompts(self, labels: int) -> int:
        return labels * len(each(self.config.template))


class PlanTracker:
    """Gives `plan` to the meter, and corrects it as the fine-tune turns out."""

    def __init__(self, plan: Plan, meter: WorkMeter) -> None:
        self._plan, self._meter = plan, meter
        self._trains_images = plan.config.encoders != "text"
        self._costs = Costs(
            plan.config,
            plan.labels * len(each(plan.config.template)),
            trains_images=self._trains_images,
            backward_passes=STRATEGIES[plan.config.selection].backward_passes,
        )
        meter.begin(plan.all_work(trains_images=self._trains_images), self._costs, plan.total_steps)

    def selected(self, *, trains_images: bool) -> None:
        """The entries are selected. trains_images: whether one of them changes the embeddings of images."""
        if trains_images != self._trains_images:
            before = self._plan.evaluation_work(trains_images=self._trains_images)
            self._meter.replan(before, self._plan.evaluation_work(trains_images=trains_images))
            self._trains_images = self._costs.trains_images = trains_images

    def resumed(self, images: int, step: int) -> None:
        """A training on `images` images goes on from a checkpoint after `step` steps.

        Its selection is done, and its first epoch from here on is the one that decodes the images.
        """
        self._meter.skip(self._plan.selection_work(images))
        self._meter.skip(self._plan.training_work(images, before=step), step=step)
        left = self._plan.training_work(images, after=step)
        self._meter.replan(left, self._plan.training_work(images, after=step, first=step))

    def skipped_first(self, taken: Tensor | None) -> None:
        """An earlier attempt did the first training in `taken` steps (None: all) and evaluated the held-out images."""
        images = self._plan.trainings[0]
        steps = self._plan.steps_of(images) if taken is None else int(taken)
        self._meter.skip(self._plan.held_out_work(trains_images=self._trains_images))
        self._meter.skip(self._plan.selection_work(images))
        self._meter.skip(self._plan.training_work(images, before=steps), step=steps)
        self._meter.replan(self._plan.training_work(images, after=steps), {})

    def ended(self, images: int, step: int, first: int) -> None:
        """A training on `images` images that began with step `first` ended after `step` steps, early or not."""
        self._meter.replan(self._plan.training_work(images, after=step, first=first), {})

    def refits(self) -> None:
        """The second training is next."""
        self._meter.refit(self._plan.steps_of(self._plan.trainings[1]))
