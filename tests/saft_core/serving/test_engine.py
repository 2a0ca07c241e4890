from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import class_weights, fill
from saft_core.delta import SparseDelta
from saft_core.errors import DeadlinePassed, InvalidDelta, InvalidInput, NotFound, Unavailable
from saft_core.serving.adapters import StoredAdapter
from saft_core.serving.batcher import BatchLimits
from saft_core.serving.encoder import IMAGE
from saft_core.serving.engine import Engine, EngineLimits, FloatArray
from saft_core.serving.forward import KINDS
from saft_core.templates import Template
from tests.fixtures.batches import MIXED_IS_FREE
from tests.fixtures.device import here
from tests.fixtures.models import TOWERS, at_rest, make_base, pictures, random_delta

pytestmark = pytest.mark.gpu

LABELS = ("cat", "dog", "owl")
TEMPLATE = "a photo of a {}."
ENSEMBLE = (TEMPLATE, "the {}", "{} drawn")


def engine_for(base: Base, count: int = 5, cache_bytes: int = 1 << 20) -> Engine:
    """An engine that knows the adapters "0" to "count - 1"."""

    def load(adapter_id: str) -> StoredAdapter:
        if not adapter_id.isdigit() or int(adapter_id) >= count:
            raise NotFound(f"no adapter {adapter_id}")
        return StoredAdapter(random_delta(base, int(adapter_id)))

    return Engine(base, load, EngineLimits(cache_bytes=cache_bytes, threads=1))


def plain_logits(base: Base, images: Sequence[Image.Image]) -> Tensor:
    """As the engine has them: embeddings of the device where the base lives, the rest of the CPU."""
    weights = base.model.logit_scale.detach().cpu().exp() * base.encode_texts(fill(TEMPLATE, LABELS)).cpu()  # type: ignore[operator]
    return base.encode_pixels(base.pixels(images)).cpu() @ weights.T


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_an_adapter_answers_as_the_fine_tuned_model(tower: str) -> None:
    base, tuned = make_base(tower), make_base(tower)
    engine, images = engine_for(base), pictures(3)
    for adapter in range(3):
        delta = random_delta(base, adapter)
        originals = tuned.flat.buffer[delta.indices].clone()
        tuned.flat.buffer[delta.indices] += torch.from_numpy(delta.values).to(here())
        with torch.inference_mode():
            scores = plain_logits(tuned, images).softmax(dim=1)
            features = tuned.encode_pixels(tuned.pixels(images)).cpu()
        tuned.flat.buffer[delta.indices] = originals
        answer = engine.classify(str(adapter), images, LABELS, TEMPLATE).probabilities
        np.testing.assert_allclose(answer, scores.numpy(), atol=1e-5)
        np.testing.assert_allclose(engine.embed_images(str(adapter), images), features.numpy(), atol=1e-6)


def test_adapters_differ_from_the_base_and_from_each_other(tiny_base: Base) -> None:
    engine, images = engine_for(tiny_base), pictures(2)
    answers = {engine.classify(a, images, LABELS, TEMPLATE).probabilities.tobytes() for a in (None, "0", "1", "2")}
    assert len(answers) == 4


def test_pictures_of_an_adapter_that_changes_the_text_tower_alone_are_those_of_the_base(tiny_vit: Base) -> None:
    slot = next(slot for slot in tiny_vit.flat.slots if slot.name == "text_projection")
    delta = SparseDelta(np.arange(slot.offset, slot.offset + 5), np.full(5, 0.5, np.float32))
    engine, images = Engine(tiny_vit, lambda _: StoredAdapter(delta), EngineLimits(threads=1)), pictures(2)
    assert engine.embed_images("0", images).tobytes() == engine.embed_images(None, images).tobytes()
    assert engine.embed_texts("0", ["a cat"]).tobytes() != engine.embed_texts(None, ["a cat"]).tobytes()
    counters = engine.counters()
    assert (counters["rows_base"], counters["rows_swap"]) == (5, 1)
    engine.close(30)


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_the_base_is_bit_identical_after_a_thousand_random_switches(tower: str) -> None:
    base = make_base(tower)
    engine, images = engine_for(base, count=20), pictures(1)
    before, alone = base.flat.sha256(), engine.embed_images(None, images)
    generator = np.random.default_rng(0)
    for adapter in generator.integers(0, 20, 1000):
        engine.embed_images(str(adapter), images)
    assert at_rest(engine).sha256() == before
    assert engine.embed_images(None, images).tobytes() == alone.tobytes()


def test_interleaved_requests_equal_the_same_requests_alone(tiny_base: Base) -> None:
    images = pictures(6)
    requests = [(str(number % 5) if number % 6 else None, images[number % 6]) for number in range(60)]
    engine = engine_for(tiny_base)
    alone = {
        key: engine.classify(key[0], [images[key[1]]], LABELS, TEMPLATE).probabilities
        for key in {(adapter, images.index(image)) for adapter, image in requests}
    }
    start = threading.Barrier(8)

    def ask(chunk: list[tuple[str | None, Image.Image]]) -> list[FloatArray]:
        start.wait()
        return [engine.classify(a, [i], LABELS, TEMPLATE).probabilities for a, i in chunk]

    with ThreadPoolExecutor(8) as pool:
        parts = [requests[offset::8] for offset in range(8)]
        for part, answers in zip(parts, pool.map(ask, parts), strict=True):
            for (adapter, image), answer in zip(part, answers, strict=True):
                np.testing.assert_allclose(answer, alone[adapter, images.index(image)], atol=1e-5)


def test_an_unknown_adapter_is_an_error_never_the_base(tiny_vit: Base) -> None:
    engine = engine_for(tiny_vit)
    with pytest.raises(NotFound):
        engine.classify("unknown", pictures(1), LABELS, TEMPLATE)
    with pytest.raises(NotFound):
        engine.embed_texts("unknown", ["a cat"])


def test_a_delta_beyond_the_base_is_an_error(tiny_vit: Base) -> None:
    beyond = SparseDelta(np.array([tiny_vit.parameter_count]), np.ones(1, dtype=np.float32))
    engine = Engine(tiny_vit, lambda _: StoredAdapter(beyond), EngineLimits(cache_bytes=1 << 20))
    with pytest.raises(InvalidDelta):
        engine.embed_images("a", pictures(1))


def test_a_failed_forward_leaves_the_base_as_it_was(tiny_vit: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, before = engine_for(tiny_vit), tiny_vit.flat.sha256()

    def crash(_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine.base, "encode_pixels", crash)
        with pytest.raises(RuntimeError):
            engine.embed_images("1", pictures(1))
    assert at_rest(engine).sha256() == before
    assert engine.embed_images("1", pictures(1)).shape == (1, 16)


def test_many_images_run_in_passes_with_the_same_answers(tiny_vit: Base) -> None:
    engine, images = engine_for(tiny_vit), pictures(70)
    together = engine.embed_images("1", images)
    assert together.shape == (70, 16)
    np.testing.assert_allclose(together[69], engine.embed_images("1", images[69:])[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_labels_are_embedded_as_they_classify_and_once(tiny_vit: Base) -> None:
    engine = engine_for(tiny_vit)
    for adapter in (None, "0"):
        before = engine.counters()["class_weights_loads"]
        embeddings = engine.embed_labels(adapter, LABELS, TEMPLATE, strength=0.5)
        expected = engine.embed_texts(adapter, fill(TEMPLATE, LABELS), strength=0.5)
        np.testing.assert_allclose(embeddings, expected, atol=1e-6)
        engine.classify(adapter, pictures(1), LABELS, TEMPLATE, strength=0.5)
        assert engine.counters()["class_weights_loads"] == before + 1
    with pytest.raises(InvalidInput):
        engine.embed_labels(None, ("cat", "Cat"), TEMPLATE)


def test_class_weights_are_cached_per_adapter_labels_and_template(tiny_vit: Base) -> None:
    engine, images = engine_for(tiny_vit), pictures(1)
    asked: list[tuple[str, tuple[str, ...], Template]] = [
        ("0", LABELS, TEMPLATE), ("0", LABELS, TEMPLATE), ("1", LABELS, TEMPLATE),
        ("0", LABELS[:2], TEMPLATE), ("0", LABELS, "{}"), ("0", LABELS, ENSEMBLE), ("0", LABELS, ENSEMBLE[:2]),
        ("0", LABELS, (*ENSEMBLE[:2], "{} drawn")),
    ]  # fmt: skip
    for adapter, labels, template in asked:
        engine.classify(adapter, images, labels, template)
    counters = engine.counters()
    assert (counters["class_weights_loads"], counters["class_weights_hits"]) == (6, 2)
    assert (counters["delta_loads"], counters["delta_hits"]) == (2, 6)


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_an_ensemble_answers_as_the_fine_tuned_model_with_the_mean_of_its_prompts(tower: str) -> None:
    base, tuned = make_base(tower), make_base(tower)
    delta = random_delta(base, 1)
    tuned.flat.buffer[delta.indices] += torch.from_numpy(delta.values).to(here())
    images = pictures(3)
    templates: list[Template] = [ENSEMBLE, ENSEMBLE[:2], ENSEMBLE[1:], TEMPLATE, ENSEMBLE]
    engine = engine_for(base)
    answers = [engine.classify("1", images, LABELS, template) for template in templates]
    for template, answer in zip(templates, answers, strict=True):
        with torch.inference_mode():
            scores = (tuned.encode_pixels(tuned.pixels(images)) @ class_weights(tuned, LABELS, template).T).cpu()
            cosines = scores / tuned.logit_scale.cpu()
        np.testing.assert_allclose(answer.probabilities, scores.softmax(dim=1).numpy(), atol=1e-5)
        np.testing.assert_allclose(answer.cosines, cosines.numpy(), atol=1e-5)
    assert len({answer.cosines.tobytes() for answer in answers}) == 4
    assert engine.counters()["class_weights_hits"] == 1


def test_an_ensemble_takes_no_more_of_the_queue_than_one_template(tiny_vit: Base) -> None:
    limits = BatchLimits(max_rows=4, queue_rows=4)
    engine = Engine(tiny_vit, lambda _: StoredAdapter(random_delta(tiny_vit, 0)), EngineLimits(threads=1, batch=limits))
    templates = tuple(f"{number} {{}}" for number in range(16))
    few = engine.classify("0", pictures(1), LABELS, templates)
    roomy = engine_for(tiny_vit).classify("0", pictures(1), LABELS, templates)
    np.testing.assert_allclose(few.cosines, roomy.cosines, atol=1e-5)


def test_ensembles_of_several_adapters_share_batches(tiny_base: Base) -> None:
    templates: list[Template] = [ENSEMBLE, TEMPLATE, ENSEMBLE[1:], ENSEMBLE[:2]]
    asked = [(None if number % 3 == 0 else str(number % 3), templates[number % 4]) for number in range(12)]
    image = pictures(1)
    alone = [engine_for(tiny_base).classify(adapter, image, LABELS, one).cosines for adapter, one in asked]
    engine = engine_for(tiny_base)
    engine.passes.forward.costs = dict.fromkeys(KINDS, MIXED_IS_FREE)
    entered, gate = threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        entered.set()
        assert gate.wait(60)

    handle = tiny_base.model.visual.conv1.register_forward_hook(hold)  # type: ignore[union-attr]
    with ThreadPoolExecutor(13) as pool:
        first = pool.submit(engine.embed_images, None, image)
        assert entered.wait(60)
        found = [pool.submit(engine.classify, adapter, image, LABELS, one) for adapter, one in asked]
        waiting, end = sum(len(fill(one, LABELS)) for _, one in asked), time.monotonic() + 30
        while engine.counters()["waiting_rows"] < waiting and time.monotonic() < end:
            time.sleep(0.001)
        gate.set()
        first.result(60)
        for answer, wanted in zip(found, alone, strict=True):
            np.testing.assert_allclose(answer.result(60).cosines, wanted, atol=1e-5)
    handle.remove()
    assert engine.counters()["rows_mixed"]


def test_labels_are_checked_when_their_weights_are_made_and_not_read_again_while_these_are_kept(
    tiny_vit: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, images = engine_for(tiny_vit), pictures(1)
    read: list[str] = []
    encode = tiny_vit.tokenize.encode  # type: ignore[attr-defined]

    def counted(text: str) -> Any:
        read.append(text)
        return encode(text)

    monkeypatch.setattr(tiny_vit.tokenize, "encode", counted)
    first = engine.classify("0", images, LABELS, TEMPLATE).probabilities
    assert read
    read.clear()
    np.testing.assert_array_equal(engine.classify("0", images, LABELS, TEMPLATE).probabilities, first)
    assert read == []
    for labels, code in ((("cat", "Cat"), "labels_alike"), (("word " * 20, "cat"), "text_too_long")):
        for adapter in (None, "0"):
            with pytest.raises(InvalidInput) as caught:
                engine.classify(adapter, images, labels, TEMPLATE)
            assert caught.value.error_code == code


def test_a_text_that_the_base_would_read_in_part_is_refused(tiny_vit: Base) -> None:
    engine = engine_for(tiny_vit)
    with pytest.raises(InvalidInput, match="22 tokens; the base reads at most 12") as caught:
        engine.embed_texts("0", ["a cat", "word " * 20])
    assert caught.value.error_code == "text_too_long"
    assert engine.embed_texts("0", ["word " * 10]).shape == (1, 16)


def test_probabilities_sum_to_one(tiny_base: Base) -> None:
    answer = engine_for(tiny_base).classify("0", pictures(4), LABELS, TEMPLATE).probabilities
    assert answer.shape == (4, 3)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)


def test_strength_goes_from_the_base_to_the_adapter(tiny_base: Base) -> None:
    engine, images = engine_for(tiny_base), pictures(2)
    answers = [engine.embed_images("0", images, strength=s).tobytes() for s in (0.0, 0.5, 1.0)]
    assert answers[0] == engine.embed_images(None, images).tobytes()
    assert answers[2] == engine.embed_images("0", images).tobytes()
    assert len(set(answers)) == 3


def test_a_strength_between_is_the_interpolation_of_the_weights(tiny_base: Base) -> None:
    delta, images = random_delta(tiny_base, 0), pictures(2)
    engine = engine_for(tiny_base)
    answer = engine.classify("0", images, LABELS, TEMPLATE, strength=0.25).probabilities
    with (
        torch.inference_mode(),
        at_rest(engine).added(
            torch.from_numpy(delta.indices).to(here()), torch.from_numpy(delta.values).to(here()) * 0.25
        ),
    ):
        scores = plain_logits(tiny_base, images).softmax(dim=1)
    np.testing.assert_allclose(answer, scores.numpy(), atol=1e-5)


def test_one_callers_deadline_is_not_that_of_all_who_wait_for_the_same_prompts(
    tiny_vit: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, gate, started, encode = engine_for(tiny_vit), threading.Event(), threading.Event(), tiny_vit.encode_texts
    engine.embed_texts("0", ["the adapter is in memory"])

    def slow(texts: Sequence[str]) -> Tensor:
        started.set()
        assert gate.wait(60)
        return encode(texts)

    monkeypatch.setattr(tiny_vit, "encode_texts", slow)

    def ask(seconds: float) -> FloatArray:
        return engine.classify("0", pictures(1), LABELS, TEMPLATE, deadline=time.monotonic() + seconds).probabilities

    with ThreadPoolExecutor(2) as pool:
        hurried = pool.submit(ask, 0.5)
        assert started.wait(60)
        patient = pool.submit(ask, 60)
        with pytest.raises(DeadlinePassed):
            hurried.result(60)
        gate.set()
        assert patient.result(60).shape == (1, len(LABELS))
    assert engine.counters()["class_weights_loads"] == 1


def test_an_adapter_that_does_not_come_is_waited_for_until_the_deadline(tiny_vit: Base) -> None:
    gate = threading.Event()

    def load(_: str) -> StoredAdapter:
        assert gate.wait(60)
        return StoredAdapter(random_delta(tiny_vit, 0))

    engine = Engine(tiny_vit, load, EngineLimits(threads=1))
    with pytest.raises(DeadlinePassed):
        engine.embed_texts("0", ["a cat"], deadline=time.monotonic() + 0.05)
    gate.set()
    assert engine.embed_texts("0", ["a cat"]).shape == (1, 16)


def test_weights_are_the_bases_own_whatever_it_holds_at_the_moment(tiny_base: Base) -> None:
    engine = engine_for(tiny_base)
    own = tiny_base.flat.buffer.clone()
    engine.passes.batcher._on_idle = lambda: None  # nobody restores the base
    engine.embed_images("1", pictures(1))
    assert engine.passes.forward.merged is not None
    assert not torch.equal(tiny_base.flat.buffer, own)
    parts = [engine.weights(start, min(start + 7_001, len(own))) for start in range(0, len(own), 7_001)]
    assert torch.equal(torch.cat(parts), own.cpu())
    parts[0].zero_()  # a copy
    assert torch.equal(tiny_base.flat.buffer, own)


def test_weights_are_read_between_batches_and_count_for_none(tiny_vit: Base) -> None:
    observed: list[int] = []
    engine = engine_for(tiny_vit)
    engine.passes.observe = observed.append
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(engine.embed_images, str(n % 3), pictures(1)) for n in range(20)]
        reads = [pool.submit(engine.weights, 0, 1_000) for _ in range(20)]
    assert {read.result().numpy().tobytes() for read in reads} == {
        at_rest(engine).buffer[:1_000].cpu().numpy().tobytes()
    }
    assert sum(observed) == len(answers) == 20


def test_an_engine_takes_no_more_threads_than_its_process_has_cpus(
    tiny_vit: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may have two CPUs of a machine of many."""
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    threads: list[int] = []
    handle = tiny_vit.model.visual.conv1.register_forward_hook(  # type: ignore[union-attr]
        lambda *_: threads.append(torch.get_num_threads())
    )
    engine = Engine(tiny_vit, lambda _: StoredAdapter(random_delta(tiny_vit, 0)), EngineLimits())
    engine.embed_images(None, pictures(1))
    handle.remove()
    engine.close(30)
    assert set(threads) == {1}


@pytest.mark.parametrize("known", [True, False], ids=["with prompts in memory", "with nothing in memory"])
def test_a_closed_engine_is_unavailable(tiny_vit: Base, known: bool) -> None:
    engine = engine_for(tiny_vit)
    if known:
        engine.classify("0", pictures(1), LABELS, TEMPLATE)
    engine.close(30)
    calls: list[Callable[[], FloatArray]] = [
        lambda: engine.classify("0", pictures(1), LABELS, TEMPLATE).probabilities,
        lambda: engine.embed_images("0", pictures(1)),
        lambda: engine.embed_texts(None, ["a cat"]),
    ]
    for ask in calls:
        with pytest.raises(Unavailable, match="stopping"):
            ask()


def test_a_mixed_forward_that_fails_leaves_the_base_as_it_was_and_each_is_answered(tiny_base: Base) -> None:
    """What fails for a batch of several adapters may go well for each of them alone."""
    engine, images, before = engine_for(tiny_base), pictures(6), tiny_base.flat.sha256()
    alone = [engine.embed_images(str(n % 3), images[n : n + 1]) for n in range(6)]
    engine.passes.forward.costs = dict.fromkeys(KINDS, MIXED_IS_FREE)
    at_rest(engine)  # its thread would copy the originals back while this one tries both routes
    mixes = engine.passes.forward.mixes(IMAGE)
    failures, entered, gate = [], threading.Event(), threading.Event()

    def fail(_module: object, inputs: tuple[Tensor, ...], _output: object) -> None:
        entered.set()
        assert gate.wait(60)
        if len(inputs[0]) > 1:
            failures.append(len(inputs[0]))
            raise RuntimeError("out of memory")

    handle = tiny_base.model.visual.conv1.register_forward_hook(fail)  # type: ignore[union-attr]
    with ThreadPoolExecutor(7) as pool:
        first = pool.submit(engine.embed_images, None, images[:1])
        assert entered.wait(60)
        answers = [pool.submit(engine.embed_images, str(n % 3), images[n : n + 1]) for n in range(6)]
        while engine.counters()["waiting_rows"] < 6:
            time.sleep(0.001)
        gate.set()
        first.result(60)
        for wanted, answer in zip(alone, answers, strict=True):
            assert answer.result(60).tobytes() == wanted.tobytes()
    handle.remove()
    assert mixes
    assert failures
    assert at_rest(engine).sha256() == before
    engine.close(30)


def test_costs_are_measured_between_requests_and_answers_stay_the_same(tiny_base: Base) -> None:
    engine, images, before = engine_for(tiny_base), pictures(2), tiny_base.flat.sha256()
    engine.warm_up()
    assumed = dict(engine.passes.forward.costs)
    assert engine.passes.forward.rows_by_route.total() == 0
    alone = {adapter: engine.embed_images(adapter, images) for adapter in (None, "0", "1")}
    done, answers = engine.calibrate(), 0
    while not done.done() or not answers:
        for adapter, wanted in alone.items():
            assert engine.embed_images(adapter, images).tobytes() == wanted.tobytes()
            answers += 1
    done.result(60)
    for kind in KINDS:
        assert engine.passes.forward.costs[kind] != assumed[kind]
        assert all(seconds > 0 for _, seconds in engine.passes.forward.costs[kind].forward)
    assert engine.passes.forward.rows_by_route.total() == len(images) * (len(alone) + answers)
    assert at_rest(engine).sha256() == before
    engine.close(30)


def test_costs_that_cannot_be_measured_stay_as_assumed(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> float:
        raise RuntimeError("out of memory")

    engine = engine_for(tiny_base)
    assumed = dict(engine.passes.forward.costs)
    monkeypatch.setattr(engine.passes.forward, "run_pass", fail)
    engine.calibrate().result(60)
    assert engine.passes.forward.costs == assumed
    assert "out of memory" in caplog.text
    monkeypatch.undo()
    assert engine.embed_texts(None, ["a cat"]).shape[0] == 1
    engine.close(30)
