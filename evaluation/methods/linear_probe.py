"""The linear probe: multinomial logistic regression on the image embeddings of the base.

As CLIP (arXiv 2103.00020, appendix A.3) and CoOp (arXiv 2109.01134) have it: L-BFGS, at most 1000 iterations, and the
regularisation searched on held shots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.loading import Images
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Scorer
from saft_core.clip.backbone import Base
from saft_core.templates import Template

COARSE = (6, 4, 2, 0, -2, -4, -6)
"""Decimal exponents of C that are tried first."""
HALVINGS = 8
"""Steps of the binary search around the best of them, as CoOp takes."""
WITHOUT_HELD_SHOTS = 1.5
"""The exponent where there is nothing to search on: CLIP's own example has C = 0.316 for embeddings of length 10, which
at unit length is 31.6."""
MOST_ITERATIONS = 1000
GRADIENT = 1e-7
"""The largest gradient, of the mean loss, at which L-BFGS is at its end."""


@dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier of unit image embeddings.

    weight: float32 (classes, embed_dim). bias: float32 (classes,).
    """

    labels: tuple[str, ...]
    weight: Tensor
    bias: Tensor

    def __len__(self) -> int:
        return self.weight.numel() + self.bias.numel()

    def among(self, labels: tuple[str, ...]) -> Head | None:
        """The classifier of these labels; None if one of them is new. All of them in their order are the whole of it.

        ImageNet's shifted sets have parts of its labels.
        """
        if labels == self.labels:
            return self
        place = {label: number for number, label in enumerate(self.labels)}
        if any(label not in place for label in labels):
            return None
        rows = [place[label] for label in labels]
        return Head(labels, self.weight[rows], self.bias[rows])

    def scores(self, embeddings: Tensor) -> Tensor:
        """Logits, float32 (n, classes), of embeddings (n, embed_dim); outside autocast, for weights may be large."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return F.linear(embeddings.float(), self.weight, self.bias)


class LinearFit(Fitted):
    """The base as it is, with a head instead of prompts."""

    def __init__(self, head: Head) -> None:
        self.head, self.trainable = head, len(head)

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer | None:  # noqa: ARG002
        """Of labels that were trained; None when there is another among them."""
        head = self.head.among(labels)
        return None if head is None else lambda batch: head.scores(batch.frozen)


class LinearProbe:
    """Images are seen whole whatever the augmentation, as in CoOp's features; embeddings are of unit length."""

    name = "linear probe"
    hyperparameters = Hyperparameters()
    """No learning rate: L-BFGS has a line search, and the regularisation a search of its own."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> LinearFit:  # noqa: ARG002
        """The classifier whose C does best on `held`; without held shots C is 31.6."""
        return LinearFit(probed(examples.images, examples.labels, examples.held))


def probed(images: Images, labels: tuple[str, ...], held: Images | None) -> Head:
    """The head that the linear probe finds."""
    embeddings, targets = images.frozen, images.targets

    def head(exponent: float) -> Head:
        return Head(labels, *regression(embeddings, targets, len(labels), 10.0**exponent))

    if held is None or not len(held):
        return head(WITHOUT_HELD_SHOTS)
    return searched(head, held.frozen, held.targets)


def searched(head: Callable[[float], Head], embeddings: Tensor, targets: Tensor) -> Head:
    """The head, of those for decimal exponents of C, that CoOp's search ends with.

    The best of the coarse grid, the largest of several, is the middle of two decades, which are halved towards the
    better end, the lower one of two as good.

    embeddings: (n, embed_dim) and targets: int64 (n,), of the held shots.
    """
    known: dict[float, tuple[Head, int]] = {}

    def right(exponent: float) -> int:
        if exponent not in known:
            made = head(exponent)
            known[exponent] = made, int((made.scores(embeddings).argmax(dim=1) == targets).sum())
        return known[exponent][1]

    peak = max(COARSE, key=right)
    low, high, best = peak - 1.0, peak + 1.0, float(peak)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if right(low) < right(high):
            best, low = high, middle
        else:
            best, high = low, middle
    return known[best][0]


def regression(embeddings: Tensor, targets: Tensor, classes: int, c: float) -> tuple[Tensor, Tensor]:
    """Weights, float32 (classes, embed_dim), and biases, float32 (classes,), that minimise

        C * sum of the cross-entropies + 0.5 * sum of the squared weights,

    which is scikit-learn's `LogisticRegression(C=c)`: biases are not regularised. The problem is convex. It is solved
    in float64, as a mean over the images, so that its gradient has the same size whatever C is.
    """
    x = embeddings.double()
    weight, bias = x.new_zeros(classes, x.shape[1], requires_grad=True), x.new_zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MOST_ITERATIONS,
        max_eval=2 * MOST_ITERATIONS,
        tolerance_grad=GRADIENT,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), targets) + weight.square().sum() / (2 * c * len(x))
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach().float(), bias.detach().float()
