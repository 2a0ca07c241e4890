"""All the work of a fine-tune, counted before it is done: what `WorkMeter` is told of, no more and no less."""

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
from saft_core.tuning.strength import STRENGTHS


@dataclass(frozen=True)
class Plan:
    """How many images there are of each part (adapt.py), and what they are asked about.

    trained: of each training, in turn. kept: those of the first, what early stopping watches among them.
    labels, new_labels, concepts, words: how many texts are read; the words are those that are still to be encoded.
    """

    config: TrainingConfig
    trained: tuple[int, ...]
    kept: int
    held: int
    test: int
    new: int
    probed: int
    labels: int
    new_labels: int
    concepts: int
    words: int

    def everything(self, *, trains_images: bool) -> Amounts:
        """All of it. trains_images: whether a delta changes how images are seen, so that they are encoded anew."""
        trainings = [part for images in self.trained for part in (self.selection(images), self.steps(images))]
        return total((self.measuring(trains_images=trains_images), *trainings))

    @property
    def total_steps(self) -> int:
        """The optimizer steps of all trainings."""
        return sum(map(self.steps_of, self.trained))

    def steps_of(self, images: int) -> int:
        """The optimizer steps of a training on so many images."""
        return self.config.epochs * steps_per_epoch(images, self.config.batch_size)

    def measuring(self, *, trains_images: bool) -> Amounts:
        """All that is measured, before, between and after."""
        return total((self.held_out(trains_images=trains_images), self._before_and_after(trains_images)))

    def held_out(self, *, trains_images: bool) -> Amounts:
        """What is measured on the held-out images, and the calibration."""
        if not self.held:
            return {}
        tries = len(STRENGTHS)
        images = self.held + trains_images * ((tries + 1) * self.held + self.probed)
        prompts = (1 + tries + 2) * self._prompts(self.labels) + bool(self.probed) * self._prompts(self.concepts)
        return {IMAGES: images, PROMPTS: prompts + self.words}

    def selection(self, images: int) -> Amounts:
        """One selection."""
        return {GRADIENT: images, RANKING: 1}

    def steps(self, images: int, *, after: int = 0, first: int = 0, before: int | None = None) -> Amounts:
        """The steps of a training on `images` from `after` on, up to `before`, if it began with step `first`."""
        end = self.steps_of(images) if before is None else before
        works: Iterable[Work] = (step_work(step, images, self.config, first) for step in range(after, end))
        return dict(Counter(works))

    def _before_and_after(self, trains_images: bool) -> Amounts:
        times = 1 + trains_images
        asked = [(self.test, self.labels), (self.new, self.new_labels), (self.probed, self.concepts)]
        images = self.kept + times * sum(count for count, _ in asked)
        prompts = self._prompts(self.labels) + sum(2 * self._prompts(texts) for count, texts in asked if count)
        return {IMAGES: images, PROMPTS: prompts}

    def _prompts(self, labels: int) -> int:
        return labels * len(each(self.config.template))


class Course:
    """A plan on its way: what becomes of it where an earlier run has done a part, and where it turns out otherwise."""

    def __init__(self, plan: Plan, meter: WorkMeter) -> None:
        self._plan, self._meter = plan, meter
        self._trains_images = plan.config.encoders != "text"
        prompts = plan.labels * len(each(plan.config.template))
        self._costs = Costs(plan.config, prompts, trains_images=self._trains_images)
        meter.begin(plan.everything(trains_images=self._trains_images), self._costs, plan.total_steps)

    def selected(self, *, trains_images: bool) -> None:
        """Entries were selected that change how images are seen, or do not."""
        if trains_images != self._trains_images:
            before = self._plan.measuring(trains_images=self._trains_images)
            self._meter.replan(before, self._plan.measuring(trains_images=trains_images))
            self._trains_images = self._costs.trains_images = trains_images

    def resumed(self, images: int, step: int) -> None:
        """A selection on `images` and so many steps were done before; the steps that follow see their images first."""
        self._meter.skip(self._plan.selection(images))
        self._meter.skip(self._plan.steps(images, before=step), step=step)
        left = self._plan.steps(images, after=step)
        self._meter.replan(left, self._plan.steps(images, after=step, first=step))

    def skipped_first(self, taken: Tensor | None) -> None:
        """The first training was done before, in so many steps, all if None, and measured on the held-out images."""
        images = self._plan.trained[0]
        steps = self._plan.steps_of(images) if taken is None else int(taken)
        self._meter.skip(self._plan.held_out(trains_images=self._trains_images))
        self._meter.skip(self._plan.selection(images))
        self._meter.skip(self._plan.steps(images, before=steps), step=steps)
        self._meter.replan(self._plan.steps(images, after=steps), {})

    def ended(self, images: int, step: int, first: int) -> None:
        """A training on `images` that began with step `first` has ended after `step`, which may be early."""
        self._meter.replan(self._plan.steps(images, after=step, first=first), {})

    def refits(self) -> None:
        """The second training is next."""
        self._meter.refit(self._plan.steps_of(self._plan.trained[1]))
