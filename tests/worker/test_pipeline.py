from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func
from sqlalchemy.exc import OperationalError

import worker.lease
from saft_core.delta import decode
from saft_core.delta.class_embeddings import labels_digest
from saft_core.errors import TooLarge
from saft_core.serving.adapters import read_adapter
from saft_core.store import adapters, deltas, jobs, leases
from saft_core.store.models import Adapter, Dataset, Job
from saft_core.store.scope import Scope
from saft_core.tuning.predictions import merged, text_embeddings
from saft_core.tuning.progress import WorkMeter
from tests.fixtures.in_process import InProcessRuntime, LocalWorker
from tests.fixtures.tenants import add_adapter
from worker.pipeline import CURVE_POINTS, LossCurve, run_job
from worker.training_sets import load_training_sets


@pytest.fixture
def every_report_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny training is over within one pause between two reports."""
    monkeypatch.setattr(worker.lease, "REPORT_INTERVAL_SECONDS", 0.0)


def when_training(monkeypatch: pytest.MonkeyPatch, step: int, event: Any) -> None:
    """Let `event` happen once, when the training has done this step."""
    advance = WorkMeter.advance
    events = [event]

    def advance_and_more(self: WorkMeter, *arguments: Any, **values: Any) -> None:
        if values.get("step") == step and events:
            events.pop()()
        advance(self, *arguments, **values)

    monkeypatch.setattr(WorkMeter, "advance", advance_and_more)


# --- the way to an adapter -------------------------------------------------------------------------------------------


def test_a_job_ends_in_an_adapter(local_worker: LocalWorker) -> None:
    before = local_worker.base.flat.sha256()
    job = local_worker.run(local_worker.queue(local_worker.dataset(10), epochs=2, batch_size=8))
    assert (job.status, job.phase, job.progress, job.attempt, job.error) == ("succeeded", "succeeded", 1.0, 1, None)
    assert (job.lease_owner, job.lease_expires_at, job.eta_seconds) == (None, None, 0.0)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.started_at < job.finished_at
    (adapter,) = local_worker.adapters()
    assert (job.adapter_id, adapter.job_id, adapter.tenant_id) == (adapter.id, job.id, local_worker.tenant_id)
    assert adapter.metrics == job.metrics
    assert local_worker.base.flat.sha256() == before


def test_a_message_gives_a_turn_and_the_oldest_job_has_it(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    first, second = (local_worker.queue(dataset, name, evaluate="none") for name in ("first", "second"))
    run_job(local_worker.runtime, second)
    assert [local_worker.job(job_id).status for job_id in (first, second)] == ["succeeded", "queued"]
    run_job(local_worker.runtime, first)
    assert local_worker.job(second).status == "succeeded"
    run_job(local_worker.runtime, second)
    assert len(local_worker.adapters()) == 2


def test_a_job_that_has_to_end_instead_leaves_its_turn_to_the_next(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    first, second = (local_worker.queue(dataset, name, evaluate="none") for name in ("first", "second"))
    local_worker.change(first, attempt=local_worker.settings.job_attempts)
    run_job(local_worker.runtime, first)
    assert [local_worker.job(job_id).status for job_id in (first, second)] == ["failed", "succeeded"]


def test_the_adapter_says_what_is_in_its_container(local_worker: LocalWorker) -> None:
    local_worker.run(local_worker.queue(density=0.002, template="a picture of {}."))
    (adapter,) = local_worker.adapters()
    container = deltas.load(local_worker.sessions, adapter.id).container
    delta, header = decode(container, max_bytes=len(container))
    assert adapter.nnz == len(delta) == int(0.002 * local_worker.base.parameter_count)
    assert adapter.delta_bytes == len(container)
    assert adapter.classes == list(header.classes) == ["blue", "green", "red"]
    assert adapter.template == header.template == "a picture of {}."
    assert adapter.density == header.density == 0.002
    assert adapter.base_fingerprint == header.base_fingerprint == local_worker.base.fingerprint
    assert adapter.metrics == header.metrics
    assert sum(block["selected"] for block in adapter.blocks) == adapter.nnz


def test_the_class_embeddings_of_the_adapter_are_stored_with_it(local_worker: LocalWorker) -> None:
    local_worker.run(local_worker.queue(local_worker.dataset(10), template=["a picture of {}.", "the {}"]))
    (adapter,) = local_worker.adapters()
    stored = read_adapter(*deltas.load(local_worker.sessions, adapter.id), max_bytes=1 << 20)
    assert stored.class_embeddings is not None
    assert stored.class_embeddings.by_strength.keys() == {0.0, adapter.strength, 1.0}
    asked = labels_digest(adapter.classes, adapter.template)
    kept = stored.class_embeddings.get(asked, adapter.strength)
    assert kept is not None
    with merged(local_worker.base, stored.delta, adapter.strength):
        wanted = text_embeddings(local_worker.base, adapter.classes, adapter.template)
    np.testing.assert_allclose(kept, wanted, atol=1e-6)


def test_a_job_of_several_templates_ends_in_an_adapter_of_them(local_worker: LocalWorker) -> None:
    job = local_worker.run(local_worker.queue(template=["a picture of {}.", "the {}"]))
    assert job.metrics is not None
    assert job.metrics["prompts"][0] == ["a picture of blue.", "the blue"]
    (adapter,) = local_worker.adapters()
    container = deltas.load(local_worker.sessions, adapter.id).container
    header = decode(container, max_bytes=len(container))[1]
    assert adapter.template == header.template == ("a picture of {}.", "the {}")


def test_the_last_progress_is_not_lost_however_short_the_training(local_worker: LocalWorker) -> None:
    job = local_worker.run(local_worker.queue(local_worker.dataset(5), epochs=3, batch_size=4))
    assert (job.step, job.steps) == (21, 21)  # three times the 4 of 5 a class, then three times all
    assert [step for step, _ in job.losses] == list(range(1, 22))
    assert job.loss == job.losses[-1][1]


@pytest.mark.parametrize(("evaluate", "trained", "tested"), [("refit", 30, 6), ("holdout", 24, 6), ("none", 30, 0)])
def test_without_a_test_dataset_a_fifth_of_each_class_is_held_out(
    local_worker: LocalWorker, evaluate: str, trained: int, tested: int
) -> None:
    job = local_worker.run(local_worker.queue(local_worker.dataset(10), evaluate=evaluate))
    assert job.metrics is not None
    assert (job.metrics["train_images"], job.metrics["test_images"]) == (trained, tested)
    assert job.metrics["evaluated_on"] == ("held-out split" if tested else None)
    (adapter,) = local_worker.adapters()
    assert adapter.strength == job.metrics["strength"]
    assert (adapter.strength == 1) or tested


def test_a_test_dataset_is_tested_on_and_never_trained_on(local_worker: LocalWorker) -> None:
    train, test = local_worker.dataset(4), local_worker.dataset(2, seed=1)
    job_id = local_worker.queue(train, test_dataset_id=test)
    task = load_training_sets(local_worker.runtime, local_worker.job(job_id))
    contents = [{sample.read() for sample in samples} for samples in (task.train, task.test)]
    assert [len(content) for content in contents] == [12, 6]
    assert not contents[0] & contents[1]
    assert task.labels == ("blue", "green", "red")
    job = local_worker.run(job_id)
    assert job.metrics is not None
    assert (job.metrics["test_images"], job.metrics["evaluated_on"]) == (6, "test dataset")


def test_test_images_that_are_trained_on_are_left_out_and_counted(local_worker: LocalWorker) -> None:
    train, other = local_worker.dataset(4), local_worker.dataset(3, seed=1)
    mixed = local_worker.merged(train, other)
    job = local_worker.run(local_worker.queue(train, test_dataset_id=mixed))
    assert job.metrics is not None
    assert (job.metrics["train_images"], job.metrics["test_images"], job.metrics["shared_images"]) == (12, 9, 12)
    alone = local_worker.run(local_worker.queue(train, "alone", test_dataset_id=other))
    assert alone.metrics is not None
    assert alone.metrics["shared_images"] == 0
    assert alone.metrics["accuracy"] == job.metrics["accuracy"]
    assert alone.metrics["confusion"] == job.metrics["confusion"]


def test_a_test_dataset_that_is_the_training_dataset_is_refused(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    job = local_worker.run(local_worker.queue(dataset, test_dataset_id=dataset))
    assert job.status == "failed"
    assert job.error is not None
    assert (job.error["code"], job.error["shared_images"]) == ("invalid_dataset", 12)
    assert "12 of its 12 images are in the training dataset too" in job.error["detail"]


def test_a_job_for_another_base_is_left_to_its_workers(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()
    local_worker.change(job_id, base_fingerprint="f" * 64)
    job = local_worker.run(job_id)
    assert (job.status, job.attempt, job.error) == ("queued", 0, None)
    local_worker.change(job_id, base_fingerprint=local_worker.base.fingerprint)
    assert local_worker.run(job_id).status == "succeeded"


def test_fewer_entries_than_the_density_stands_for_are_reported(local_worker: LocalWorker) -> None:
    job = local_worker.run(local_worker.queue(encoders="text", density=0.5))
    (adapter,) = local_worker.adapters()
    assert job.metrics is not None
    assert job.metrics["requested_entries"] == int(0.5 * local_worker.base.parameter_count)
    assert adapter.nnz == job.metrics["selected_entries"] < job.metrics["requested_entries"]


def test_labels_of_a_test_dataset_are_those_of_training(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue(local_worker.dataset(4), test_dataset_id=local_worker.dataset(2, seed=1))
    task = load_training_sets(local_worker.runtime, local_worker.job(job_id))
    for sample in (*task.train, *task.test):
        assert task.labels[sample.label] == sample.path.split("/")[0]


def test_classes_of_a_test_dataset_that_are_not_trained_are_tested_by_themselves(local_worker: LocalWorker) -> None:
    train, test = local_worker.dataset(4), local_worker.dataset(3, seed=1)
    local_worker.rename(test, {"red": "RED", "blue": "violet", "green": "teal"})
    job_id = local_worker.queue(train, test_dataset_id=test)
    task = load_training_sets(local_worker.runtime, local_worker.job(job_id))
    assert (task.labels, task.new_labels) == (("blue", "green", "red"), ("violet", "teal"))
    assert [(task.labels[one.label], one.path.split("/")[0]) for one in task.test] == [("red", "red")] * 3
    told = sorted((task.new_labels[one.label], one.path.split("/")[0]) for one in task.new_test)
    assert told == [("teal", "green")] * 3 + [("violet", "blue")] * 3
    job = local_worker.run(job_id)
    assert job.metrics is not None
    assert (job.metrics["test_images"], job.metrics["base_to_new"]["new"]["test_images"]) == (3, 6)
    assert job.metrics["untested_labels"] == []


def test_a_new_class_alone_tells_nothing_and_is_named(local_worker: LocalWorker) -> None:
    train, test = local_worker.dataset(4), local_worker.dataset(3, seed=1)
    local_worker.rename(test, {"blue": "Blue!"})
    job = local_worker.run(local_worker.queue(train, test_dataset_id=test))
    assert job.metrics is not None
    assert (job.metrics["test_images"], job.metrics["base_to_new"]) == (6, None)
    assert job.metrics["untested_labels"] == ["Blue!"]


def test_a_class_whose_test_images_are_all_trained_on_is_named(local_worker: LocalWorker) -> None:
    train = local_worker.dataset(4)
    mixed = local_worker.merged(train, local_worker.dataset(3, seed=1))
    local_worker.remove(mixed, lambda image: image.label == "red" and image.position >= 12)
    job = local_worker.run(local_worker.queue(train, test_dataset_id=mixed))
    assert job.metrics is not None
    assert (job.metrics["test_images"], job.metrics["untested_labels"]) == (6, ["red"])


def test_what_the_adapter_gets_wrong_is_listed_with_the_image(local_worker: LocalWorker) -> None:
    train, test = local_worker.dataset(10), local_worker.dataset(6, seed=1)
    job = local_worker.run(local_worker.queue(train, test_dataset_id=test, epochs=1))
    (adapter,) = local_worker.adapters()
    assert job.metrics is not None
    rows = local_worker.tenant(lambda scope: adapters.mistakes(scope, adapter.id, -1, 100))
    tested = [(mistake, image) for mistake, image in rows if mistake.split == "test"]
    assert len(tested) == 18 - job.metrics["right"]
    assert tested, "nothing to list"
    assert {mistake.split for mistake, _ in rows} <= {"test", "held-out", "training"}
    for mistake, image in rows:
        assert (image.dataset_id, image.position) == (mistake.dataset_id, mistake.position)
        assert image.dataset_id == (test if mistake.split == "test" else train)
        assert image.label != mistake.prediction
    counts = job.metrics["confusion"]["adapted"]
    labels = job.metrics["confusion"]["labels"]
    for row, label in enumerate(labels):
        for column, said in enumerate(labels):
            listed = [one for one, image in tested if (image.label, one.prediction) == (label, said)]
            assert len(listed) == (counts[row][column] if row != column else 0)


def test_the_same_seed_gives_the_same_delta(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        local_worker.run(local_worker.queue(dataset, name, seed=seed))
    found = []
    for adapter in sorted(local_worker.adapters(), key=lambda adapter: adapter.name):
        delta, _ = decode(deltas.load(local_worker.sessions, adapter.id).container, max_bytes=1 << 20)
        found.append((delta.indices.tobytes(), delta.values.tobytes()))
    assert found[0] == found[1] != found[2]


@pytest.mark.usefixtures("every_report_is_written")
def test_progress_only_ever_grows(local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    report = leases.renew

    def noted(session: Any, job_id: str, owner: str, lease_seconds: float, **progress: Any) -> leases.LeaseState:
        if progress:
            seen.append((seen[-1] if seen else {}) | progress)
        return report(session, job_id, owner, lease_seconds, **progress)

    monkeypatch.setattr(leases, "renew", noted)
    local_worker.run(local_worker.queue(local_worker.dataset(5)))
    shares = [progress["progress"] for progress in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert {progress["phase"] for progress in seen} == {"preparing", "evaluating", "selecting", "training", "refitting"}


def test_what_the_base_knows_is_told_while_the_job_trains(
    local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Job] = []
    job_id = local_worker.queue(local_worker.dataset(10))
    monkeypatch.setattr(worker.lease, "REPORT_INTERVAL_SECONDS", 0.0)
    when_training(monkeypatch, 2, lambda: seen.append(local_worker.job(job_id)))
    ended = local_worker.run(job_id)
    (running,) = seen
    assert running.status == "running"
    assert running.metrics is not None
    assert ended.metrics is not None
    assert running.metrics["test_images"] == 6
    assert not {"accuracy", "right", "verdict", "seconds"} & set(running.metrics)
    assert running.metrics == {name: ended.metrics[name] for name in running.metrics}
    assert running.metrics["zero_shot_right"] / 6 == running.metrics["zero_shot_accuracy"]


def test_a_dataset_of_before_with_classes_that_are_read_alike_is_not_trained_on(local_worker: LocalWorker) -> None:
    dataset_id = local_worker.dataset()
    classes = [{"name": name, "count": 4} for name in ("blue", "green", "red", "Red")]

    def change(scope: Scope) -> None:
        scope.get(Dataset, dataset_id).classes = classes

    local_worker.tenant(change)
    job = local_worker.run(local_worker.queue(dataset_id))
    assert (job.status, job.step) == ("failed", 0)
    assert job.error is not None
    assert job.error["code"] == "labels_alike"
    assert local_worker.adapters() == []


# --- once and only once ----------------------------------------------------------------------------------------------


def test_a_message_that_comes_again_changes_nothing(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()
    first = local_worker.run(job_id)
    again = local_worker.run(job_id)
    assert (again.attempt, again.finished_at) == (1, first.finished_at)
    assert len(local_worker.adapters()) == 1


def test_an_unknown_job_is_nothing_to_do(local_worker: LocalWorker) -> None:
    run_job(local_worker.runtime, "job_" + "0" * 32)
    assert local_worker.adapters() == []


def test_a_job_that_another_worker_holds_is_left_alone(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()
    with local_worker.sessions.begin() as session:
        leases.claim(session, job_id, "other", 60, 3)
    job = local_worker.run(job_id)
    assert (job.status, job.lease_owner, job.step) == ("running", "other", 0)


@pytest.mark.usefixtures("every_report_is_written")
def test_a_worker_that_lost_its_job_stops_and_writes_nothing(
    local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = local_worker.queue(epochs=3)
    when_training(monkeypatch, 2, lambda: local_worker.take_over(job_id))
    job = local_worker.run(job_id)
    assert (job.status, job.lease_owner, job.attempt, job.step, job.error) == ("running", "heir", 2, 0, None)
    assert local_worker.adapters() == []
    run_job(InProcessRuntime(local_worker.settings, local_worker.base, "heir"), job_id)  # the heir holds it already
    assert local_worker.job(job_id).status == "running"


def test_a_worker_that_lost_its_job_at_the_very_end_publishes_nothing(
    local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = local_worker.queue()
    finish = leases.finish

    def finish_too_late(*arguments: Any) -> bool:
        local_worker.take_over(job_id)
        return finish(*arguments)

    monkeypatch.setattr(leases, "finish", finish_too_late)
    job = local_worker.run(job_id)
    assert (job.status, job.lease_owner) == ("running", "heir")
    assert "accuracy" not in (job.metrics or {})
    assert local_worker.adapters() == []


def test_a_job_that_lost_its_worker_is_done_again_from_the_start(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue(local_worker.dataset(5), epochs=3, batch_size=4)
    with local_worker.sessions.begin() as session:
        leases.claim(session, job_id, "dead", 60, 3)
        leases.renew(session, job_id, "dead", -1, step=5, losses=[[5, 9.0]])  # and its lease has run out
    job = local_worker.run(job_id)
    assert (job.status, job.attempt) == ("succeeded", 2)
    assert [step for step, _ in job.losses] == list(range(1, 22))
    assert len(local_worker.adapters()) == 1


def test_a_killed_training_goes_on_where_it_was_and_gives_the_same_delta(
    local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = local_worker.settings.model_copy(update={"checkpoint_interval_seconds": 1e-9})
    local_worker.runtime.settings = eager
    dataset_id = local_worker.dataset(5)
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 4, "density": 0.005}
    whole_id = local_worker.queue(dataset_id, "whole", **settings)
    local_worker.run(whole_id)
    job_id = local_worker.queue(dataset_id, "killed", **settings)

    class Killed(BaseException):
        """What no handler of the worker sees: the process is gone."""

    def kill() -> None:
        raise Killed

    when_training(monkeypatch, step=6, event=kill)
    with pytest.raises(Killed):
        local_worker.run(job_id)
    assert list(local_worker.runtime.checkpoints.job_ids()) == [job_id]
    spent = {"training": 1000.0}  # by the one that died
    local_worker.change(job_id, lease_expires_at=func.now() - func.make_interval(0, 0, 0, 1), seconds=spent)
    heir = InProcessRuntime(eager, local_worker.base, "heir")
    run_job(heir, job_id)
    job = local_worker.job(job_id)
    assert (job.status, job.attempt) == ("succeeded", 2)
    assert [step for step, _ in job.losses] == list(range(1, 22))
    assert job.losses == local_worker.job(whole_id).losses
    assert job.metrics is not None
    assert job.metrics["seconds"] == job.seconds
    assert job.seconds is not None
    assert job.seconds["training"] > 1000
    whole, resumed = (
        decode(deltas.load(local_worker.sessions, adapter.id).container, max_bytes=1 << 20)[0]
        for adapter in sorted(local_worker.adapters(), key=lambda adapter: adapter.name == "killed")
    )
    assert resumed.indices.tobytes() == whole.indices.tobytes()
    assert resumed.values.tobytes() == whole.values.tobytes()
    assert list(local_worker.runtime.checkpoints.job_ids()) == []


# --- when it ends otherwise ------------------------------------------------------------------------------------------


def test_a_training_that_diverges_says_so(local_worker: LocalWorker) -> None:
    before = local_worker.base.flat.sha256()
    job = local_worker.run(local_worker.queue(learning_rate=1e30, epochs=4, density=0.01))
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "training_diverged"
    assert "learning rate" in job.error["detail"]
    assert (job.adapter_id, job.lease_owner) == (None, None)
    assert "accuracy" not in (job.metrics or {})
    assert local_worker.adapters() == []
    assert local_worker.base.flat.sha256() == before


def test_a_lost_file_is_named(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    job_id = local_worker.queue(dataset)
    local_worker.runtime.blobs.delete_tenant(local_worker.tenant_id)
    job = local_worker.run(job_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "training_failed"
    assert re.search(rf"(red|green|blue)/\d\.png in dataset {dataset} is gone", job.error["detail"])


def test_a_dataset_that_is_gone_fails_the_job(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()
    local_worker.change(job_id, dataset_id=None)
    job = local_worker.run(job_id)
    assert job.error == {"code": "not_found", "detail": "the dataset of this job was deleted"}


def test_a_version_that_came_meanwhile_has_the_number_before(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue(name="icons")
    local_worker.tenant(lambda scope: add_adapter(scope, "icons"))
    job = local_worker.run(job_id)
    assert job.status == "succeeded"
    assert {adapter.version: adapter.called for adapter in local_worker.adapters()} == {1: "icons@1", 2: "icons"}


def test_details_of_an_error_reach_the_job(local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise TooLarge("too large", limit_bytes=3)

    when_training(monkeypatch, 1, fails)
    job = local_worker.run(local_worker.queue())
    assert job.error == {"code": "too_large", "detail": "too large", "limit_bytes": 3}


def test_a_bug_fails_the_job_without_telling_secrets(
    local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise RuntimeError("postgresql://user:password@host")

    when_training(monkeypatch, 1, fails)
    job = local_worker.run(local_worker.queue())
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "training_failed"
    assert "password" not in str(job.error)


@pytest.mark.usefixtures("every_report_is_written")
def test_a_cancelled_training_stops_at_the_next_step(
    local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = local_worker.base.flat.sha256()
    job_id = local_worker.queue(local_worker.dataset(5), epochs=10, batch_size=4)
    when_training(monkeypatch, 4, lambda: local_worker.tenant(lambda scope: jobs.request_cancel(scope, job_id)))
    job = local_worker.run(job_id)
    assert (job.status, job.error, job.step, job.lease_owner) == ("cancelled", None, 4, None)
    assert local_worker.adapters() == []
    assert local_worker.base.flat.sha256() == before


def test_a_stop_asked_for_at_the_very_end_counts(local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = local_worker.queue()
    finish = leases.finish

    def finish_after_cancel(*arguments: Any) -> bool:
        local_worker.tenant(lambda scope: jobs.request_cancel(scope, job_id))
        return finish(*arguments)

    monkeypatch.setattr(leases, "finish", finish_after_cancel)
    assert local_worker.run(job_id).status == "cancelled"
    assert local_worker.adapters() == []


def test_a_job_cancelled_while_it_waited_is_not_trained(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()
    local_worker.tenant(lambda scope: jobs.request_cancel(scope, job_id))
    job = local_worker.run(job_id)
    assert (job.status, job.attempt) == ("cancelled", 0)


def test_a_job_that_kills_its_workers_fails_in_the_end(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()
    with local_worker.sessions.begin() as session:
        leases.claim(session, job_id, "dead", -1, 3)
    local_worker.change(job_id, attempt=local_worker.settings.job_attempts)
    job = local_worker.run(job_id)
    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "worker_lost")


@pytest.mark.usefixtures("every_report_is_written")
def test_a_database_that_is_away_for_a_moment_costs_nothing(
    local_worker: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, failures = leases.renew, [OperationalError("UPDATE", {}, Exception("gone")) for _ in range(3)]

    def sometimes(*arguments: Any, **progress: Any) -> leases.LeaseState:
        if failures and progress.get("step"):
            raise failures.pop()
        return report(*arguments, **progress)

    monkeypatch.setattr(leases, "renew", sometimes)
    assert local_worker.run(local_worker.queue()).status == "succeeded"
    assert failures == []


def test_the_adapter_belongs_to_the_tenant_of_the_job(local_worker: LocalWorker) -> None:
    job = local_worker.run(local_worker.queue())
    found = local_worker.tenant(lambda scope: scope.get(Adapter, str(job.adapter_id)))
    assert found.name == "colours"


# --- the loss curve --------------------------------------------------------------------------------------------------


def test_a_short_curve_is_kept_whole() -> None:
    curve = LossCurve()
    for step in range(1, CURVE_POINTS + 1):
        curve.add(step, float(step))
    assert curve.points == [(step, float(step)) for step in range(1, CURVE_POINTS + 1)]


@pytest.mark.parametrize("steps", [CURVE_POINTS + 1, 1000, 12_345])
def test_a_long_curve_is_thinned_evenly(steps: int) -> None:
    curve = LossCurve()
    for step in range(1, steps + 1):
        curve.add(step, float(step))
    kept = [step for step, _ in curve.points]
    assert CURVE_POINTS // 2 <= len(kept) <= CURVE_POINTS
    assert (kept[0], kept[-1]) == (1, steps)
    strides = {after - before for before, after in pairwise(kept[1:-1])}
    assert len(strides) == 1
    assert steps - kept[-2] <= strides.pop()
    assert all(loss == step for step, loss in curve.points)


def test_a_curve_goes_on_from_that_of_an_earlier_attempt() -> None:
    curve = LossCurve([[1, 4.0], [2, 3.0], [3, 2.0], [4, 9.0]])
    curve.add(0, None)  # while it measures, what was there stays
    assert [step for step, _ in curve.points] == [1, 2, 3, 4]
    curve.add(3, 2.5)
    assert curve.points == [(1, 4.0), (2, 3.0), (3, 2.5)]
    curve.add(1, 4.5)  # another, without a checkpoint
    assert curve.points == [(1, 4.5)]


def test_a_long_curve_that_goes_on_is_thinned_on() -> None:
    curve = LossCurve()
    for step in range(1, 1001):
        curve.add(step, float(step))
    heir = LossCurve(curve.points)
    for step in range(901, 3001):
        heir.add(step, float(step))
    kept = [step for step, _ in heir.points]
    assert (kept[0], kept[-1]) == (1, 3000)
    assert CURVE_POINTS // 2 <= len(kept) <= CURVE_POINTS
    assert max(after - before for before, after in pairwise(kept)) <= 32


def test_phases_without_a_step_add_no_point() -> None:
    curve = LossCurve()
    for step, loss in ((0, None), (1, 2.0), (1, 2.0), (1, None)):
        curve.add(step, loss)
    assert curve.points == [(1, 2.0)]
