from __future__ import annotations

import io
import itertools
from collections import Counter
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from saft_core.calibration import UNCALIBRATED, Calibration
from saft_core.clip.zero_shot import class_weights
from saft_core.data.images import decode_image
from saft_core.data.probe_set import Probe
from saft_core.data.samples import Sample
from saft_core.delta import decode
from saft_core.errors import InvalidInput
from saft_core.training_options import Evaluate
from saft_core.tuning.adapt import adapt
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.predictions import EncodedImages, merged, text_embeddings
from saft_core.tuning.progress import Progress
from saft_core.tuning.training import Training
from saft_core.tuning.training_sets import TrainingSets
from tests.fixtures.models import TOWERS, make_base
from tests.fixtures.tasks import LABELS, LIMITS, colour_samples, config, loader, silent_meter

pytestmark = pytest.mark.gpu

TASK = TrainingSets(LABELS, colour_samples(4, seed=0), colour_samples(5, seed=1))
EVALUATE: tuple[Evaluate, ...] = get_args(Evaluate)
SETTINGS = config(density=0.01, epochs=15, batch_size=12, learning_rate=3e-3)


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_the_metrics_are_those_of_the_stored_delta(tower: str) -> None:
    base = make_base(tower)
    before = base.flat.sha256()
    result = adapt(base, TASK, SETTINGS, LIMITS, lambda _: None)
    assert base.flat.sha256() == before
    stored, header = decode(result.container, max_bytes=1 << 20)
    pixels, targets = loader(base, list(TASK.test)).batch(range(15))
    with torch.inference_mode(), merged(base, stored):
        predicted = (base.encode_pixels(pixels) @ class_weights(base, LABELS, SETTINGS.template).T).argmax(dim=1)
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


PROBE = Probe(("noise", "nothing"), tuple(replace(one, label=one.label % 2) for one in colour_samples(6, seed=9)))


def test_with_a_probe_set_it_says_what_it_kept_and_what_a_stranger_is() -> None:
    base, task = make_base("vit"), TrainingSets(LABELS, colour_samples(40))
    before = base.flat.sha256()
    seen: list[Progress] = []
    settings = replace(SETTINGS, evaluate="refit")
    result = adapt(base, task, settings, LIMITS, seen.append, probe=PROBE)
    assert base.flat.sha256() == before
    assert 0 <= result.metrics["kept"] <= 1
    assert result.metrics["probe"]["images"] == 18
    assert result.metrics["probe"]["image_cosine"] < 1
    assert result.metrics["temperature"] == result.calibration.temperature
    assert Calibration.of_metrics(result.metrics) == result.calibration
    assert seen[-1].progress == pytest.approx(1.0)
    assert [progress.progress for progress in seen] == sorted(progress.progress for progress in seen)
    alone = adapt(base, task, settings, LIMITS, lambda _: None)
    assert alone.delta.values.tobytes() == result.delta.values.tobytes()
    assert (alone.metrics["kept"], alone.metrics["unknown"]) == (None, None)


@pytest.mark.parametrize("evaluate", EVALUATE)
def test_each_image_that_is_answered_wrongly_is_told_once(evaluate: Evaluate) -> None:
    base, task = make_base("vit"), TrainingSets(LABELS, colour_samples(10), colour_samples(6, seed=1))
    result = adapt(base, task, replace(SETTINGS, epochs=1, evaluate=evaluate), LIMITS, lambda _: None)
    with torch.inference_mode(), merged(base, result.delta, result.strength):
        weights = class_weights(base, LABELS, SETTINGS.template)
        right = {
            split: (base.encode_pixels(loader(base, list(samples)).batch(range(len(samples)))[0]) @ weights.T).argmax(
                dim=1
            )
            for split, samples in (("test", task.test), ("training", task.train))
        }
    told = {split: [one for one in result.mistakes if one.split == split] for split in ("test", "held-out", "training")}
    assert [(one.sample.path, one.prediction) for one in told["test"]] == [
        (sample.path, LABELS[said])
        for sample, said in zip(task.test, right["test"].tolist(), strict=True)
        if said != sample.label
    ]
    assert len(told["test"]) == 18 - result.metrics["right"]
    assert told["test"], "nothing to tell of"
    held_out = result.metrics["held_out_images"]
    assert len(told["held-out"]) <= held_out
    wrong = {
        (sample.path, LABELS[said])
        for sample, said in zip(task.train, right["training"].tolist(), strict=True)
        if said != sample.label
    }
    assert {(one.sample.path, one.prediction) for one in told["training"]} <= wrong
    assert len(wrong) - held_out <= len(told["training"]) <= 30 - held_out
    paths = [one.sample.path for one in result.mistakes if one.split != "test"]
    assert len(set(paths)) == len(paths)


def test_classes_that_are_not_trained_are_measured_among_themselves() -> None:
    base = make_base("vit")
    old, new = ("red", "green"), ("blue", "yellow")
    samples = colour_samples(6, seed=1)
    of_new = [replace(one, label=one.label - 2) for one in samples if one.label == 2]
    task = TrainingSets(old, [one for one in colour_samples(6) if one.label < 2], (), 0, new, of_new)
    seen: list[Progress] = []
    result = adapt(base, task, replace(SETTINGS, evaluate="refit"), LIMITS, seen.append)
    told = result.metrics["base_to_new"]
    assert told["base_accuracy"] == result.metrics["accuracy"]
    assert result.metrics["evaluated_on"] == "held-out split"
    pixels, targets = loader(base, of_new).batch(range(6))
    with torch.inference_mode(), merged(base, result.delta, result.strength):
        predicted = (base.encode_pixels(pixels) @ class_weights(base, new, SETTINGS.template).T).argmax(dim=1)
    assert told["new_accuracy"] == (predicted == targets).double().mean().item()
    assert told["new"]["confusion"]["labels"] == ["blue", "yellow"]
    wrong = [(one.sample.path, one.prediction) for one in result.mistakes if one.split == "test"]
    assert wrong == [
        (one.path, new[said]) for one, said in zip(of_new, predicted.tolist(), strict=True) if said != one.label
    ]
    assert seen[-1].progress == pytest.approx(1.0)
    with pytest.raises(InvalidInput) as caught:
        adapt(base, replace(task, new_labels=("blue", "Red")), SETTINGS, LIMITS, lambda _: None)
    assert caught.value.error_code == "labels_alike"


def test_where_nothing_is_held_out_nothing_is_calibrated() -> None:
    result = adapt(make_base("vit"), TASK, SETTINGS, LIMITS, lambda _: None, probe=PROBE)
    assert result.calibration == UNCALIBRATED
    assert result.metrics["kept"] is not None


def test_labels_that_cannot_be_told_apart_are_refused_before_anything_is_read() -> None:
    def never() -> bytes:
        raise AssertionError("read")

    samples = [Sample(label, f"{label}.png", never) for label in range(3)]
    for labels, code in ((("Red", "red", "blue"), "labels_alike"), (("red", "green", "blue " * 20), "text_too_long")):
        with pytest.raises(InvalidInput) as caught:
            adapt(make_base("vit"), TrainingSets(labels, samples), config(), LIMITS, lambda _: None)
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


def test_progress_goes_on_through_the_second_training() -> None:
    seen: list[Progress] = []
    adapt(
        make_base("vit"),
        TrainingSets(LABELS, colour_samples(5)),
        replace(SETTINGS, evaluate="refit"),
        LIMITS,
        seen.append,
    )
    shares, steps = [progress.progress for progress in seen], [progress.step for progress in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert max(shares[:-1]) < 1
    assert steps == sorted(steps)
    assert seen[-1].steps == seen[-1].step == 45
    assert list(dict.fromkeys(progress.phase for progress in seen)) == [
        "evaluating", "selecting", "training", "refitting",
    ]  # fmt: skip


def test_without_test_images_the_accuracy_is_unknown() -> None:
    task = TrainingSets(LABELS, TASK.train)
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
    adapt(base, TrainingSets(LABELS, samples, samples), config(patience_epochs=1), LIMITS, lambda _: None)
    served = decode_image(samples[0].read(), LIMITS, base.image_side).size
    assert served == (300, 200)
    assert seen == {served, (64, 64)}  # the second is how a base finds its own size


class Trainings:
    """Every training that is run, as the contents it trains on and the settings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.contents: list[list[str]] = []
        made = Training.__init__

        def noting(training: Training, objective: ClassPromptLoss, *arguments: Any, **named: Any) -> None:
            self.contents.append(sorted(sample.content() for sample in objective._loader._samples))
            made(training, objective, *arguments, **named)

        monkeypatch.setattr(Training, "__init__", noting)


def test_refit_measures_on_a_fifth_and_then_trains_on_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings, base = Trainings(monkeypatch), make_base("vit")
    samples = colour_samples(5)
    refit, holdout, none = (
        adapt(base, TrainingSets(LABELS, samples), replace(SETTINGS, evaluate=evaluate), LIMITS, lambda _: None)
        for evaluate in EVALUATE
    )
    first, second, alone, everything = trainings.contents
    assert first == alone
    assert second == everything == sorted(sample.content() for sample in samples)
    assert set(first) < set(second)
    assert (len(first), len(second)) == (12, 15)
    assert refit.delta.values.tobytes() == none.delta.values.tobytes() != holdout.delta.values.tobytes()
    assert (refit.strength, none.strength) == (holdout.strength, 1.0)
    told = ("accuracy", "confusion", "verdict", "interval", "test_images", "strength")
    assert [refit.metrics[name] for name in told] == [holdout.metrics[name] for name in told]
    assert [one.metrics["train_images"] for one in (refit, holdout, none)] == [15, 12, 15]


def test_what_is_held_out_follows_from_the_images_and_not_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings = Trainings(monkeypatch)
    for seed in (0, 1):
        task = TrainingSets(LABELS, colour_samples(5))
        adapt(make_base("vit"), task, config(evaluate="holdout", seed=seed), LIMITS, lambda _: None)
    assert trainings.contents[0] == trainings.contents[1]


def scenes(per_class: int) -> list[Sample]:
    """Pictures with patches of colour, which saving anew leaves as they are."""
    generator = np.random.default_rng(7)
    samples = []
    for label, number in itertools.product(range(len(LABELS)), range(per_class)):
        patches = generator.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(np.kron(patches, np.ones((16, 16, 1), dtype=np.uint8))).save(file, "PNG")
        samples.append(Sample(label, f"{LABELS[label]}/{number}.png", file.getvalue))
    return samples


def test_copies_are_on_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings, samples = Trainings(monkeypatch), colour_samples(5)
    result = adapt(
        make_base("vit"), TrainingSets(LABELS, samples + samples), config(evaluate="holdout"), LIMITS, lambda _: None
    )
    (kept,) = trainings.contents
    assert {kept.count(content) for content in kept} == {2}
    assert result.metrics["test_images"] == 30 - len(kept) > 0


def as_jpeg(sample: Sample) -> Sample:
    file = io.BytesIO()
    decode_image(sample.read(), LIMITS).save(file, "JPEG", quality=90)
    return replace(sample, read=file.getvalue)


def test_a_copy_that_was_saved_anew_is_on_the_same_side(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings, samples = Trainings(monkeypatch), scenes(5)
    again = [as_jpeg(sample) for sample in samples]
    adapt(make_base("vit"), TrainingSets(LABELS, samples + again), config(evaluate="holdout"), LIMITS, lambda _: None)
    (kept,) = trainings.contents
    pairs = [(one.content() in kept, other.content() in kept) for one, other in zip(samples, again, strict=True)]
    assert {(True, True), (False, False)} == set(pairs)


def test_many_of_one_class_and_few_of_another_are_both_learned() -> None:
    few = colour_samples(8, seed=3)
    samples = [*colour_samples(200)[:200], *(one for one in few if one.label == 1)]  # 200 red, 8 green
    settings = replace(SETTINGS, evaluate="refit", epochs=5)
    metrics = adapt(make_base("vit"), TrainingSets(LABELS[:2], samples), settings, LIMITS, lambda _: None).metrics
    assert [entry["count"] for entry in metrics["per_class"]] == [40, 2]
    assert all(entry["recall"] == 1 for entry in metrics["per_class"])
    assert metrics["balanced_accuracy"] == 1


def test_two_classes_of_two_pictures_say_that_they_are_too_few_to_tell() -> None:
    samples = [one for one in colour_samples(2) if one.label < 2]
    settings = replace(SETTINGS, evaluate="refit")
    result = adapt(make_base("vit"), TrainingSets(LABELS[:2], samples), settings, LIMITS, lambda _: None, probe=PROBE)
    assert (result.metrics["train_images"], result.metrics["test_images"]) == (4, 2)
    assert result.metrics["too_few_to_tell"]
    assert result.metrics["verdict"] == "no_better"
    assert result.calibration.unknown is None


def test_shots_are_so_many_of_each_class_and_follow_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings, samples = Trainings(monkeypatch), colour_samples(6)
    for seed in (0, 0, 1):
        adapt(make_base("vit"), TrainingSets(LABELS, samples), config(shots=2, seed=seed), LIMITS, lambda _: None)
    label_of = {sample.content(): sample.label for sample in samples}
    assert Counter(label_of[content] for content in trainings.contents[0]) == {0: 2, 1: 2, 2: 2}
    assert trainings.contents[0] == trainings.contents[1] != trainings.contents[2]


def test_with_a_test_dataset_the_strength_is_learned_on_images_held_out_of_training_alone() -> None:
    base = make_base("vit")
    task = TrainingSets(LABELS, colour_samples(5), colour_samples(3, seed=1))
    result = adapt(base, task, replace(SETTINGS, evaluate="refit"), LIMITS, lambda _: None)
    alone = adapt(base, TrainingSets(LABELS, task.train), replace(SETTINGS, evaluate="refit"), LIMITS, lambda _: None)
    assert result.strength == alone.strength
    assert (result.metrics["test_images"], result.metrics["held_out_images"]) == (9, 3)
    pixels, targets = loader(base, list(task.test)).batch(range(9))
    with torch.inference_mode(), merged(base, result.delta, result.strength):
        predicted = (base.encode_pixels(pixels) @ class_weights(base, LABELS, SETTINGS.template).T).argmax(dim=1)
    assert result.metrics["accuracy"] == (predicted == targets).double().mean().item()


@pytest.mark.parametrize("evaluate", EVALUATE)
def test_classes_of_one_or_two_pictures_train(evaluate: Evaluate) -> None:
    samples = [*colour_samples(2)[:4], colour_samples(1, seed=3)[2]]  # two red, two green, one blue
    metrics = adapt(
        make_base("vit"), TrainingSets(LABELS, samples), config(evaluate=evaluate), LIMITS, lambda _: None
    ).metrics
    assert metrics["test_images"] == (0 if evaluate == "none" else 2)


def test_the_prompts_are_told() -> None:
    metrics = adapt(make_base("vit"), TrainingSets(LABELS, TASK.train), config(), LIMITS, lambda _: None).metrics
    assert metrics["prompts"] == ["a photo of a red.", "a photo of a green.", "a photo of a blue."]


def test_an_ensemble_of_templates_is_trained_measured_and_kept() -> None:
    base, template = make_base("vit"), ("a photo of a {}.", "the {}", "{} drawn")
    task, settings = TrainingSets(LABELS, colour_samples(10)), replace(SETTINGS, evaluate="refit", template=template)
    result, alone = (
        adapt(base, task, one, LIMITS, lambda _: None, probe=PROBE)
        for one in (settings, replace(settings, template=template[0]))
    )
    assert result.header.template == template
    assert decode(result.container, max_bytes=1 << 20)[1] == result.header
    assert result.metrics["prompts"][0] == ["a photo of a red.", "the red", "red drawn"]
    assert result.delta.indices.tolist() != alone.delta.indices.tolist()
    texts = text_embeddings(base, LABELS, template)
    seen = EncodedImages(base, loader(base, list(task.train)), 8, silent_meter())
    wanted = int(((seen.embeddings() @ texts.T).argmax(dim=1) == seen.targets).sum())
    whole = adapt(base, TrainingSets(LABELS, task.train, task.train), settings, LIMITS, lambda _: None).metrics
    assert whole["zero_shot_right"] == wanted


def test_a_prompt_of_an_ensemble_that_cannot_be_read_is_refused() -> None:
    settings = config(template=("{}", "{}" + " word" * 20))
    with pytest.raises(InvalidInput, match="23 tokens"):
        adapt(make_base("vit"), TASK, settings, LIMITS, lambda _: None)
