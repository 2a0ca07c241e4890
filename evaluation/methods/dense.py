"""An adapted base whose every parameter may have moved: all of them are kept, and put in place while it is active."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from evaluation.methods.descent import Loss, descend
from evaluation.methods.method import FitConfig, Fitted, Scorer, prompted
from saft_core.clip.backbone import Base
from saft_core.clip.flat import FlatParameters, Slot, tower_of
from saft_core.templates import Template


class DenseFit(Fitted):
    """The base with other parameters, as a zero-shot classifier.

    values: all parameters, (D,), in the order of `base.flat`. trainable: how many of them were trained.
    """

    def __init__(self, base: Base, values: Tensor, trainable: int) -> None:
        self._base, self.values, self.trainable = base, values, trainable
        self._sees_anew = any(
            not torch.equal(values[slot.offset : slot.offset + slot.size], base.flat.buffer[slot.offset :][: slot.size])
            for slot in image_slots(base)
        )

    @contextmanager
    def active(self) -> Iterator[None]:
        """The base with these parameters within the context."""
        with restored(self._base.flat):
            self._base.flat.buffer.copy_(self.values)
            yield

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer | None:
        """Any labels."""
        return prompted(self._base, labels, template, sees_anew=self._sees_anew)


def fine_tune(
    base: Base,
    slots: Sequence[Slot],
    loss: Loss,
    images: int,
    config: FitConfig,
    *,
    head: Sequence[nn.Parameter] = (),
    after_backward: Callable[[], None] | None = None,
    after_step: Callable[[int, int], None] | None = None,
) -> DenseFit:
    """Train every parameter in `slots`, and `head` beside them, by `descend`; the base is bit-identical afterwards.

    Raises TrainingDiverged.
    """
    base.model.requires_grad_(False)
    with restored(base.flat):
        parameters = [*(base.flat.parameter(slot) for slot in slots), *head]
        descend(base, parameters, loss, images, config, after_backward=after_backward, after_step=after_step)
        values = base.flat.buffer.clone()
    return DenseFit(base, values, sum(slot.size for slot in slots))


def image_slots(base: Base) -> list[Slot]:
    """The parameters of the image tower."""
    return [slot for slot in base.flat.slots if tower_of(slot.name) == "image"]


@contextmanager
def restored(flat: FlatParameters) -> Iterator[None]:
    """The parameters are bit-identical after the context to before it, whatever happens within."""
    originals = flat.buffer.clone()
    try:
        yield
    finally:
        with torch.no_grad():
            flat.buffer.copy_(originals)
