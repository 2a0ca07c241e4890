"""What every method is: a fit on a few shots, and what comes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from evaluation.loading import Batch, Images
from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import class_weights
from saft_core.delta import SparseDelta
from saft_core.templates import Template
from saft_core.training_options import Augment
from saft_core.tuning.precision import logits

Scorer = Callable[[Batch], Tensor]
"""From n images to logits, float32 (n, classes). To be called within `Fitted.active()` and without gradients."""


class Unsuited(Exception):
    """A method that this base cannot run, with the reason: a prompt in an image tower that has no tokens, say."""


@dataclass(frozen=True)
class FitConfig:
    """How to fit, where the method leaves it open.

    learning_rate: the peak of a half cosine. epochs, batch_size, augment: what the SAFT paper does not state.
    density: of what selects, the share of the base's parameters.
    """

    learning_rate: float
    epochs: int
    batch_size: int
    weight_decay: float
    density: float
    augment: Augment
    seed: int


@dataclass(frozen=True)
class Hyperparameters:
    """What a method's own paper prescribes, as far as FitConfig has a word for it; None follows the command.

    clip, embedded: the learning rates that `--tune` chooses among, as many for every method, on a real CLIP and on the
    small embedded base; one alone where nothing is trained by a rate. The paper of no method knows that base: its rates
    are the best on held shots of the bundled photographs, which half of the shots of one seed trained for.
    stated: the learning rate of the paper, among those of `clip`; None is the middle one.
    """

    clip: tuple[float, ...] = (0.0,)
    embedded: tuple[float, ...] = (0.0,)
    weight_decay: float | None = None
    epochs: int | None = None
    stated: float | None = None

    def search(self, base: Base) -> tuple[float, ...]:
        """The learning rates to choose among on this base."""
        return self.embedded if base.card.embedded else self.clip

    def learning_rate(self, base: Base) -> float:
        """The learning rate for this base where nobody chooses."""
        rates = self.search(base)
        return self.stated if self.stated and not base.card.embedded else rates[len(rates) // 2]


class Fitted(ABC):
    """An adapted base, while `active`.

    trainable: how many numbers were trained.
    delta: what the product can serve, if it is one.
    """

    trainable: int
    delta: SparseDelta | None = None

    def active(self) -> AbstractContextManager[None]:
        """The base adapted within the context, bit-identical to before after it. Here nothing of it changes."""
        return nullcontext()

    @abstractmethod
    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer | None:
        """Classifies among `labels`; None when it cannot name these. To be called within `active`."""


@dataclass(frozen=True)
class Examples:
    """What a method is given: a few images of each class, and what the classes are called.

    images: to train on; their targets are positions in `labels`.
    held: other images of the same labels, for the few methods that choose a setting of their own by them, such as the
    linear probe its regularisation. Nothing trains on them. Both are `frozen`.
    """

    images: Images
    labels: tuple[str, ...]
    template: Template
    held: Images | None = None


class Method(Protocol):
    """One way of adapting, under the name that its paper gives it."""

    @property
    def name(self) -> str:
        """In tables."""

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Those of its own paper, and those that suit the small embedded base."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """Adapt to the examples; the base is bit-identical afterwards.

        Raises Unsuited, and TrainingDiverged when the loss is no longer finite.
        """


def prompted(base: Base, labels: tuple[str, ...], template: Template, *, sees_anew: bool) -> Scorer:
    """The zero-shot head of the base as it now stands: any labels, each in its prompt.

    sees_anew: whether images have other embeddings than by the base before; the known ones are used otherwise.
    """
    scale = base.logit_scale.detach().clone()
    texts = class_weights(base, labels, template) / scale
    if sees_anew:
        return lambda batch: logits(scale, base.encode_pixels(batch.pixels), texts)
    return lambda batch: logits(scale, batch.frozen, texts)


class ZeroShotFit(Fitted):
    """The base as it is."""

    trainable = 0

    def __init__(self, base: Base) -> None:
        self._base = base

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer:
        """Any labels."""
        return prompted(self._base, labels, template, sees_anew=False)


class ZeroShot:
    """CLIP's zero-shot classification (arXiv 2103.00020): no training at all."""

    name = "zero-shot"
    hyperparameters = Hyperparameters()

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:  # noqa: ARG002
        """The base."""
        return ZeroShotFit(base)
