from __future__ import annotations

from typing import Any

import pytest

from saft_core.comparison import Answered, measured
from saft_core.store import adapters
from saft_core.store.models import Adapter, AdapterAnswers, Job
from tests.fixtures.in_process import LocalWorker
from tests.fixtures.tenants import add_adapter


def versions(local_worker: LocalWorker) -> dict[int, str]:
    return {adapter.version: adapter.called for adapter in local_worker.adapters()}


def train(local_worker: LocalWorker, dataset_id: str, **values: Any) -> Job:
    job = local_worker.run(local_worker.queue(dataset_id, **({"epochs": 1} | values)))
    assert job.status == "succeeded", job.error
    return job


def answer(local_worker: LocalWorker, version: int, right: bool, parts: tuple[str, ...] = ("held-out",)) -> None:
    """Let a version have answered so on these parts of its images."""

    def work(scope: Any) -> None:
        adapter = adapters.find(scope, f"colours@{version}")
        row = scope.session.scalar(scope.select(AdapterAnswers, AdapterAnswers.adapter_id == adapter.id))
        row.answers = [
            [image, split, label, (label if right else f"not {label}") if split in parts else said]
            for image, split, label, said in row.answers
        ]

    local_worker.tenant(work)


@pytest.mark.parametrize(
    ("publish", "called"),
    [("auto", {1: "colours@1", 2: "colours"}), ("manual", {1: "colours", 2: "colours@2"})],
)
def test_the_next_version_is_published_or_waits(
    local_worker: LocalWorker, publish: str, called: dict[int, str]
) -> None:
    dataset = local_worker.dataset(5)
    train(local_worker, dataset)
    job = train(local_worker, dataset, publish=publish)
    assert versions(local_worker) == called
    assert "comparison" not in (job.metrics or {})


def test_the_first_version_waits_where_it_is_asked_to(local_worker: LocalWorker) -> None:
    train(local_worker, local_worker.dataset(5), publish="manual")
    assert versions(local_worker) == {1: "colours@1"}


@pytest.mark.parametrize("right", [True, False])
def test_a_version_that_is_to_be_better_is_compared_on_the_same_held_out_images(
    local_worker: LocalWorker, right: bool
) -> None:
    dataset = local_worker.dataset(10)
    first = train(local_worker, dataset, publish="if_better")  # nobody to be better than
    answer(local_worker, 1, right)
    job = train(local_worker, dataset, publish="if_better", seed=1)
    assert job.metrics is not None
    told = job.metrics["comparison"]
    assert (told["images"], told["left_out_images"], told["with_adapter"], told["with_version"]) == (
        6,
        0,
        first.adapter_id,
        1,
    )
    assert (told["right"], told["with_right"]) == (job.metrics["right"], 6 if right else 0)
    assert job.metrics["right"] > 0
    better = told["right"] > told["with_right"]
    assert better is not right
    assert versions(local_worker) == ({1: "colours@1", 2: "colours"} if better else {1: "colours", 2: "colours@2"})


def test_as_good_is_not_better(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset(10)
    train(local_worker, dataset)
    job = train(local_worker, dataset, publish="if_better")  # the same training
    assert job.metrics is not None
    assert (job.metrics["comparison"]["agreement"], job.metrics["comparison"]["verdict"]) == (1.0, "no_better")
    assert versions(local_worker) == {1: "colours", 2: "colours@2"}


def test_images_that_the_one_before_was_trained_on_do_not_count(local_worker: LocalWorker) -> None:
    test = local_worker.dataset(4, seed=1)
    train(local_worker, test, evaluate="none")
    job = train(local_worker, local_worker.dataset(5), test_dataset_id=test, publish="if_better", evaluate="none")
    assert job.metrics is not None
    assert (job.metrics["comparison"]["images"], job.metrics["comparison"]["left_out_images"]) == (0, 12)
    assert job.metrics["comparison"]["verdict"] is None
    assert versions(local_worker) == {1: "colours", 2: "colours@2"}


def test_the_one_before_is_asked_about_images_that_it_never_saw(local_worker: LocalWorker) -> None:
    before = local_worker.base.flat.sha256()
    known, test = local_worker.dataset(5), local_worker.dataset(4, seed=1)
    train(local_worker, known, test_dataset_id=test, epochs=3)
    stored = local_worker.tenant(lambda scope: adapters.answers(scope, adapters.find(scope, "colours").id))

    def forget(scope: Any) -> None:
        for row in scope.session.scalars(scope.select(AdapterAnswers)):
            row.answers = [told for told in row.answers if told[1] != "test"]

    local_worker.tenant(forget)
    job = train(local_worker, known, test_dataset_id=test, publish="if_better")
    assert job.metrics is not None
    told = job.metrics["comparison"]
    assert (told["images"], told["left_out_images"]) == (15, 0)  # the test images, and those held out by both
    assert told["with_right"] == sum(one.prediction == one.label for one in measured(stored).values())
    assert local_worker.base.flat.sha256() == before


def test_classes_written_otherwise_are_the_same(local_worker: LocalWorker) -> None:
    first, second = local_worker.dataset(10), local_worker.dataset(10)
    local_worker.rename(first, {"red": "RED"})
    train(local_worker, first)
    job = train(local_worker, second, publish="if_better")
    assert job.metrics is not None
    assert job.metrics["comparison"]["images"] == 6


def test_what_cannot_answer_on_this_base_is_worse_than_anything(local_worker: LocalWorker) -> None:
    local_worker.tenant(lambda scope: add_adapter(scope, "colours"))  # of base "f"
    job = train(local_worker, local_worker.dataset(5), publish="if_better")
    assert "comparison" not in (job.metrics or {})
    assert versions(local_worker) == {1: "colours@1", 2: "colours"}


def test_all_images_of_a_training_are_answered_once(local_worker: LocalWorker) -> None:
    train(local_worker, local_worker.dataset(10), test_dataset_id=local_worker.dataset(2, seed=1))
    (adapter,) = local_worker.adapters()
    told = local_worker.tenant(lambda scope: adapters.answers(scope, adapter.id))
    splits = [one.split for one in told.values()]
    assert {split: splits.count(split) for split in sorted(set(splits))} == {"held-out": 6, "test": 6, "training": 24}
    assert all(isinstance(one, Answered) and one.label in adapter.classes for one in told.values())


def test_more_versions_than_the_limit_are_not_kept(local_worker: LocalWorker) -> None:
    limits = local_worker.settings.limits.model_copy(update={"max_adapter_versions": 2})
    local_worker.runtime.settings = local_worker.settings.model_copy(update={"limits": limits})
    dataset = local_worker.dataset(5)
    for _ in range(3):
        train(local_worker, dataset)
    assert versions(local_worker) == {2: "colours@2", 3: "colours"}
    assert all(isinstance(adapter, Adapter) for adapter in local_worker.adapters())
