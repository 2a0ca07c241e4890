from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from saft_core.tuning.loss import cross_entropy, log_priors


@pytest.mark.parametrize("targets", [[0, 1, 2], [2, 2, 0, 1, 0, 1]])
def test_even_classes_are_the_papers(targets: list[int]) -> None:
    right = torch.tensor(targets)
    assert log_priors(right, 3) is None
    scores = torch.randn(len(targets), 3, generator=torch.Generator().manual_seed(0))
    assert cross_entropy(scores, right, None).equal(F.cross_entropy(scores, right, reduction="sum"))


def test_what_is_learned_is_what_even_classes_would_have_said() -> None:
    """Two classes that look alike but for their number: the loss is least where the model prefers neither."""
    targets = torch.tensor([0] * 200 + [1] * 8)
    priors = log_priors(targets, 2)
    assert priors is not None
    assert priors.exp().tolist() == pytest.approx([200 / 208, 8 / 208])
    scores = torch.zeros(2, requires_grad=True)
    cross_entropy(scores.expand(208, 2), targets, priors).backward()
    assert scores.grad is not None
    assert scores.grad.abs().max() < 1e-4
    plain = torch.zeros(2, requires_grad=True)
    cross_entropy(plain.expand(208, 2), targets, None).backward()
    assert plain.grad is not None
    assert plain.grad.abs().max() > 90


def test_a_class_without_images_is_told_from_the_others_as_one_with_a_single_one() -> None:
    priors = log_priors(torch.tensor([0, 0, 1]), 3)
    assert priors is not None
    assert priors.exp().tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert log_priors(torch.tensor([0, 1]), 3) is None
