from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from saft_core.clip.zero_shot import class_weights, logits
from saft_core.data.images import decode_image
from saft_core.data.samples import Sample
from saft_core.delta import decode
from saft_core.errors import InvalidInput
from saft_core.tuning.adapt import Task, adapt, applied
from saft_core.tuning.progress import Progress
from tests.fixtures.models import TOWERS, make_base
from tests.fixtures.tasks import LABELS, LIMITS, colour_samples, config, loader

TASK = Task(LABELS, colour_samples(4, seed=0), colour_samples(5, seed=1), "test dataset")
SETTINGS = config(density=0.01, epochs=15, batch_size=12, learning_rate=3e-3)


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_the_metrics_are_those_of_the_stored_delta(tower: str) -> None:
    base = make_base(tower)
    before = base.flat.sha256()
    result = adapt(base, TASK, SETTINGS, LIMITS, lambda _: None)
    assert base.flat.sha256() == before
    stored, header = decode(result.container, max_bytes=1 << 20)
    pixels, targets = loader(base, list(TASK.test)).batch(range(15))
    with torch.inference_mode(), applied(base, stored):
        predicted = logits(base, pixels, class_weights(base, LABELS, SETTINGS.template)).argmax(dim=1)
    assert result.metrics["accuracy"] == (predicted == targets).double().mean().item()
    confusion = torch.zeros(3, 3, dtype=torch.int64)
    for true, guess in zip(targets.tolist(), predicted.tolist(), strict=True):
        confusion[true, guess] += 1
    assert result.metrics["confusion"]["adapted"] == confusion.tolist()
    assert header.metrics == result.metrics
    assert header.classes == LABELS
    assert header.base_fingerprint == base.fingerprint


def test_adapting_helps_on_images_not_trained_on() -> None:
    base = make_base("vit")
    metrics = adapt(base, TASK, SETTINGS, LIMITS, lambda _: None).metrics
    assert metrics["accuracy"] > metrics["zero_shot_accuracy"]
    assert (metrics["train_images"], metrics["test_images"]) == (12, 15)


def test_labels_that_cannot_be_told_apart_are_refused_before_anything_is_read() -> None:
    def never() -> bytes:
        raise AssertionError("read")

    samples = [Sample(label, f"{label}.png", never) for label in range(3)]
    for labels, code in ((("Red", "red", "blue"), "labels_alike"), (("red", "green", "blue " * 20), "text_too_long")):
        with pytest.raises(InvalidInput) as caught:
            adapt(make_base("vit"), Task(labels, samples, [], None), config(), LIMITS, lambda _: None)
        assert caught.value.error_code == code


def test_progress_rises_to_one_through_all_phases() -> None:
    seen: list[Progress] = []
    adapt(make_base("vit"), TASK, SETTINGS, LIMITS, seen.append)
    shares = [progress.progress for progress in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert list(dict.fromkeys(progress.phase for progress in seen)) == ["evaluating", "selecting", "training"]
    assert seen[-1].steps == seen[-1].step == 15
    assert seen[-1].eta_seconds == pytest.approx(0.0, abs=1e-6)


def test_without_test_images_the_accuracy_is_unknown() -> None:
    task = Task(LABELS, TASK.train, [], None)
    metrics = adapt(make_base("vit"), task, config(), LIMITS, lambda _: None).metrics
    assert metrics["accuracy"] is None
    assert metrics["zero_shot_accuracy"] is None
    assert "confusion" not in metrics


def test_large_pictures_are_decoded_as_in_serving() -> None:
    base, seen = make_base("vit"), set()
    samples = []
    for sample in TASK.train:
        file = io.BytesIO()
        Image.open(io.BytesIO(sample.read())).resize((600, 400)).save(file, "JPEG")
        samples.append(Sample(sample.label, f"{sample.path}.jpg", file.getvalue))
    preprocess = base.preprocess

    def noting(image: Image.Image) -> torch.Tensor:
        seen.add(image.size)
        return preprocess(image)

    base.preprocess = noting
    adapt(base, Task(LABELS, samples, samples, "test dataset"), config(patience_epochs=1), LIMITS, lambda _: None)
    served = decode_image(samples[0].read(), LIMITS, base.image_side).size
    assert served == (300, 200)
    assert seen == {served, (64, 64)}  # the second is how a base finds its own size
