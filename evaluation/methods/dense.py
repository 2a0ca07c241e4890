"""An adapted base whose every parameter may have moved: all of them are kept, and put in place while it is active."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from evaluation.methods.method import Fitted, Scorer, prompted
from saft_core.clip.backbone import Base
from saft_core.clip.flat import tower_of
from saft_core.templates import Template


class DenseFit(Fitted):
    """The base with other parameters, as a zero-shot classifier.

    values: all parameters, (D,), in the order of `base.flat`. trainable: how many of them were trained.
    """

    def __init__(self, base: Base, values: Tensor, trainable: int) -> None:
        self._base, self.values, self.trainable = base, values, trainable
        self._sees_anew = any(
            not torch.equal(values[slot.offset : slot.offset + slot.size], base.flat.buffer[slot.offset :][: slot.size])
            for slot in base.flat.slots
            if tower_of(slot.name) == "image"
        )

    @contextmanager
    def active(self) -> Iterator[None]:
        """The base with these parameters within the context."""
        with restored(self._base):
            self._base.flat.buffer.copy_(self.values)
            yield

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer | None:
        """Any labels."""
        return prompted(self._base, labels, template, sees_anew=self._sees_anew)


@contextmanager
def restored(base: Base) -> Iterator[None]:
    """Whatever happens to the base's parameters within the context, they are bit-identical to before after it."""
    originals = base.flat.buffer.clone()
    try:
        yield
    finally:
        with torch.no_grad():
            base.flat.buffer.copy_(originals)
