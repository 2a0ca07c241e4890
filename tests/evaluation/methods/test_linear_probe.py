from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional

from evaluation.methods import linear_probe
from evaluation.methods.linear_probe import COARSE, Head, LinearFit, LinearProbe, regression, searched
from evaluation.methods.method import Examples
from tests.evaluation.methods.fitting import QUICK, TEMPLATE, check_fit, coloured, loss_of, quickly
from tests.fixtures.models import bits, make_base
from tests.fixtures.tasks import LABELS


def points(count: int = 60, classes: int = 5, length: int = 12) -> tuple[Tensor, Tensor]:
    """Unit vectors near their class's own, with some in the wrong place."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) % classes
    found = generator.normal(0, 1, (classes, length))[targets] + generator.normal(0, 1.5, (count, length))
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    return torch.from_numpy(unit.astype(np.float32)), torch.from_numpy(targets)


def scikit_learns(embeddings: Tensor, targets: Tensor, c: float) -> tuple[Tensor, Tensor]:
    found = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(embeddings.double().numpy(), targets.numpy())
    return torch.from_numpy(found.coef_).float(), torch.from_numpy(found.intercept_).float()


@pytest.mark.parametrize("c", [1e-4, 1e-2, 1.0, 31.6, 100.0])
def test_it_finds_scikit_learns_optimum(c: float) -> None:
    embeddings, targets = points()
    torch.testing.assert_close(
        regression(embeddings, targets, 5, c), scikit_learns(embeddings, targets, c), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("c", [1e4, 1e6])
def test_with_little_regularisation_the_loss_is_scikit_learns(c: float) -> None:
    embeddings, targets = points()

    def loss(weight: Tensor, bias: Tensor) -> float:
        scores = functional.linear(embeddings.double(), weight.double(), bias.double())
        return float(functional.cross_entropy(scores, targets) + weight.double().square().sum() / (2 * c * len(scores)))

    assert loss(*regression(embeddings, targets, 5, c)) == pytest.approx(
        loss(*scikit_learns(embeddings, targets, c)), abs=1e-5
    )


def of_exponent(right: Callable[[float], float], tried: list[float]) -> Callable[[float], Head]:
    """A head which, of a hundred points of value 0 to 99, gives class 1 to so many of the lowest as `right` says."""

    def head(exponent: float) -> Head:
        tried.append(exponent)
        return Head(("no", "yes"), torch.tensor([[1.0], [0.0]]), torch.tensor([0.0, right(exponent)]))

    return head


@pytest.mark.parametrize("best", [-2.6, 0.0, 1.3, 5.9])
def test_the_search_comes_near_the_best_regularisation(best: float) -> None:
    tried: list[float] = []
    held = torch.arange(0.5, 100).reshape(-1, 1)
    found = searched(of_exponent(lambda x: 90 - 10 * abs(x - best), tried), held, torch.ones(100, dtype=torch.int64))
    assert float(found.bias[1]) > 88
    assert tried[: len(COARSE)] == list(COARSE)
    assert len(tried) == len(set(tried)) == len(COARSE) + 2 + 6  # the decade is known


def test_of_equals_the_search_takes_the_largest_decade_and_its_lower_end() -> None:
    tried: list[float] = []
    held, targets = torch.arange(0.5, 100).reshape(-1, 1), torch.ones(100, dtype=torch.int64)
    searched(of_exponent(lambda _: 50.0, tried), held, targets)
    assert tried == [*COARSE, 5.0, 7.0, 5.5, 5.25, 5.125, 5.0625, 5.03125, 5.015625]


def test_held_shots_choose_and_without_them_it_is_said_what(monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_base("vit")
    images, held = coloured(base), coloured(base, per_class=2, seed=1)
    fixed = regression(images.frozen, images.targets, 3, 10**1.5)
    assert bits(quickly(LinearProbe(), base).head.weight) == bits(fixed[0])  # type: ignore[attr-defined]

    def last(head: Callable[[float], Head], embeddings: Tensor, targets: Tensor) -> Head:
        assert torch.equal(embeddings, held.frozen)
        assert torch.equal(targets, held.targets)
        return head(-1.0)

    monkeypatch.setattr(linear_probe, "searched", last)
    chosen = LinearProbe().fit(base, Examples(images, LABELS, TEMPLATE, held), QUICK)
    assert bits(chosen.head.weight) == bits(regression(images.frozen, images.targets, 3, 0.1)[0])


def test_it_learns_and_leaves_the_base() -> None:
    base = make_base("vit")
    fitted = check_fit(LinearProbe(), base)
    assert isinstance(fitted, LinearFit)
    assert fitted.trainable == 3 * base.embed_dim + 3
    assert loss_of(fitted, coloured(base)) < 0.5


def test_it_names_some_of_its_labels_but_no_new_one() -> None:
    base = make_base("vit")
    images = coloured(base)
    fitted = quickly(LinearProbe(), base)
    scorer, whole = fitted.scorer(("blue", "red"), "a {}"), fitted.scorer(LABELS, TEMPLATE)
    assert scorer is not None
    assert whole is not None
    batch = images.batch([0, 5, 9])
    torch.testing.assert_close(scorer(batch), whole(batch)[:, [2, 0]])
    assert fitted.scorer(("red", "violet"), TEMPLATE) is None
