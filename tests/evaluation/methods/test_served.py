from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.loading import LIMITS
from evaluation.methods.method import Examples, Unsuited
from evaluation.methods.served import Served, scaled
from saft_core.tuning.adapt import adapt
from saft_core.tuning.predictions import merged
from saft_core.tuning.training_sets import TrainingSets
from tests.evaluation.methods.fitting import QUICK, TEMPLATE, check_fit, coloured, quickly
from tests.fixtures.models import bits, make_base, random_delta
from tests.fixtures.tasks import LABELS, config


def test_it_is_the_products_delta_at_the_products_strength() -> None:
    base = make_base("vit")
    images = coloured(base)
    settings = config(density=QUICK.density, learning_rate=QUICK.learning_rate, epochs=QUICK.epochs, evaluate="refit")
    result = adapt(base, TrainingSets(LABELS, images.samples), settings, LIMITS, lambda _: None)
    delta = quickly(Served(), base).delta
    assert delta is not None
    assert result.metrics["train_images"] == len(images)
    assert np.array_equal(delta.indices, result.delta.indices)
    assert np.array_equal(delta.values, np.float32(result.strength) * result.delta.values)


def test_a_scaled_delta_is_the_delta_at_that_strength() -> None:
    base = make_base("vit")
    delta = random_delta(base, seed=1)
    with merged(base, delta, 0.375):
        expected = bits(base.flat.buffer)
    with merged(base, scaled(delta, 0.375)):
        assert bits(base.flat.buffer) == expected


def test_it_learns_and_leaves_the_base() -> None:
    fitted = check_fit(Served(), make_base("vit"))
    assert fitted.delta is not None
    assert fitted.trainable == len(fitted.delta)


def test_it_selects_where_the_base_says() -> None:
    base = make_base("vit")
    base.defaults = replace(base.defaults, encoders="text")
    delta = quickly(Served(), base).delta
    assert delta is not None
    assert not base.flat.changes_images(delta.indices)


def test_labels_that_the_product_refuses_are_said() -> None:
    base = make_base("vit")
    with pytest.raises(Unsuited, match="red"):
        Served().fit(base, Examples(coloured(base), ("red", "Red", "blue"), TEMPLATE), QUICK)
