from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session, sessionmaker

from saft import embedded
from saft_core.store import jobs, leases, messages, tenants
from saft_core.store.broker import Broker
from saft_core.store.images import ORPHAN_AGE_SECONDS, Orphans
from saft_core.store.messages import ANY_BASE_QUEUE, Message
from saft_core.store.models import DatasetImage, Image, Tenant, new_id
from tests.fixtures.in_process import LocalWorker
from worker import sweeper
from worker.sweeper import Sweeper, send_needed_messages, sweep

WAIT_SECONDS = 30


class NoBroker(Broker):
    """A broker that takes messages, or fails, as told, and keeps them."""

    def __init__(self, fails: Callable[[], bool] = lambda: False) -> None:
        self.asked: list[str] = []
        self.sent: list[str] = []
        self._fails = fails

    def send(self, message: Message) -> None:
        self.asked.append(message.job_id)
        if self._fails():
            raise ConnectionError("down")
        self.sent.append(message.job_id)

    def count(self, queue: str) -> int:
        return len(self.sent)


@pytest.fixture(scope="module")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real broker that nobody listens on."""
    with embedded.servers(tmp_path_factory.mktemp("broker"), ("postgresql://unused", None)) as urls:
        yield urls.redis_url


def sweep_for(local_worker: LocalWorker, broker: Broker) -> None:
    sweep(local_worker.sessions, broker, local_worker.runtime.blobs, local_worker.runtime.checkpoints, Orphans())


def publish(local_worker: LocalWorker, broker: Broker) -> None:
    send_needed_messages(local_worker.sessions, broker.send, broker.count)


@contextmanager
def statements(sessions: sessionmaker[Session]) -> Iterator[Counter[str]]:
    """Counts what is sent to the database."""
    seen: Counter[str] = Counter()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen[statement] += 1

    event.listen(sessions.kw["bind"], "before_cursor_execute", note)
    yield seen
    event.remove(sessions.kw["bind"], "before_cursor_execute", note)


def make_old(local_worker: LocalWorker, owner: str) -> None:
    """A folder that nobody wrote to for long."""
    folder = local_worker.settings.blob_dir / owner
    folder.mkdir(parents=True, exist_ok=True)
    long_ago = local_worker.settings.data_dir.stat().st_mtime - ORPHAN_AGE_SECONDS - 60
    os.utime(folder, (long_ago, long_ago))


# --- what is published -----------------------------------------------------------------------------------------------


def test_what_was_not_published_is_published_once(local_worker: LocalWorker) -> None:
    dataset, broker = local_worker.dataset(), NoBroker()
    waiting = [local_worker.queue(dataset, name) for name in ("a", "b")]
    for _ in range(2):
        publish(local_worker, broker)
        assert broker.sent == waiting


def test_a_job_of_a_dead_worker_is_published(local_worker: LocalWorker) -> None:
    job_id, broker = local_worker.queue(), NoBroker()
    publish(local_worker, broker)
    with local_worker.sessions.begin() as session:
        leases.claim(session, job_id, "dead", 60, 3)
    publish(local_worker, broker)
    assert broker.sent == [job_id]
    expired = func.clock_timestamp() - timedelta(seconds=1)
    local_worker.change(job_id, lease_expires_at=expired, published_at=expired - timedelta(seconds=1))
    publish(local_worker, broker)
    assert broker.sent == [job_id, job_id]


def test_a_broker_that_is_down_leaves_the_jobs_for_the_next_time(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()
    with pytest.raises(ConnectionError):
        publish(local_worker, NoBroker(fails=lambda: True))
    broker = NoBroker()
    publish(local_worker, broker)
    assert broker.sent == [job_id]


def test_what_was_published_before_the_broker_went_down_is_noted(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    first, second = (local_worker.queue(dataset, name) for name in ("a", "b"))
    answers = iter([False, True])
    with pytest.raises(ConnectionError):
        publish(local_worker, NoBroker(fails=lambda: next(answers)))
    assert local_worker.job(first).published_at is not None
    assert local_worker.job(second).published_at is None


def test_jobs_that_wait_long_have_one_message_each(local_worker: LocalWorker, broker_url: str) -> None:
    """However many sweeps find them waiting: their messages wait too."""
    dataset, broker = local_worker.dataset(), Broker(broker_url)
    waiting = [local_worker.queue(dataset, str(number)) for number in range(40)]
    for _ in range(4):
        sweep_for(local_worker, broker)
        assert broker.count(ANY_BASE_QUEUE) == 40
        for job_id in waiting:
            local_worker.change(job_id, published_at=func.clock_timestamp() - timedelta(hours=1))


def test_a_broker_that_lost_its_messages_gets_them_again(local_worker: LocalWorker, tmp_path: Path) -> None:
    job_id = local_worker.queue()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with embedded.servers(tmp_path / "one", ("postgresql://unused", None)) as urls:
        sweep_for(local_worker, Broker(urls.redis_url))
    local_worker.change(job_id, published_at=func.clock_timestamp() - messages.RESEND_AFTER * 1.01)
    with embedded.servers(tmp_path / "two", ("postgresql://unused", None)) as urls:
        broker = Broker(urls.redis_url)
        sweep_for(local_worker, broker)
        assert broker.count(ANY_BASE_QUEUE) == 1


# --- what a sweep costs ----------------------------------------------------------------------------------------------


def test_a_sweep_takes_as_many_statements_for_many_datasets_and_jobs_as_for_few(local_worker: LocalWorker) -> None:
    counts = []
    dataset, broker = local_worker.dataset(), NoBroker()
    for more in (2, 100):
        names = [f"{more}-{number}" for number in range(more)]
        for job_id in [local_worker.queue(dataset, name) for name in names]:
            local_worker.runtime.checkpoints.save(job_id, 1, b"state")
        for _ in range(more):
            make_old(local_worker, new_id("ds"))
        with statements(local_worker.sessions) as seen:
            sweep_for(local_worker, broker)
        counts.append(seen.total())
    assert len(broker.sent) == 102
    assert counts[0] == counts[1] < 20


def test_one_sweep_at_a_time_over_all_workers(local_worker: LocalWorker) -> None:
    job_id, broker = local_worker.queue(), NoBroker()
    with sweeper.sweep_lock(local_worker.sessions) as mine:
        assert mine
        sweep_for(local_worker, broker)
        assert broker.sent == []
    sweep_for(local_worker, broker)
    assert broker.sent == [job_id]


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_folder_that_vanishes_costs_a_line_in_the_log(
    local_worker: LocalWorker, caplog: pytest.LogCaptureFixture
) -> None:
    gone, orphans = new_id("ds"), [new_id("ds") for _ in range(20)]
    for orphan in orphans:
        make_old(local_worker, orphan)
    (local_worker.settings.blob_dir / gone).symlink_to("nowhere")
    local_worker.runtime.checkpoints.save(new_id("job"), 1, b"of nobody")
    sweep_for(local_worker, NoBroker())
    assert not any((local_worker.settings.blob_dir / orphan).exists() for orphan in orphans)
    assert list(local_worker.runtime.checkpoints.job_ids()) == []
    (line,) = [record for record in caplog.records if gone in record.getMessage()]
    assert line.exc_info is None


def test_a_broker_that_is_down_keeps_nothing_else_from_being_done(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    local_worker.queue(dataset, "waits")
    stopped, orphan = local_worker.queue(dataset, "stopped"), new_id("ds")
    make_old(local_worker, orphan)
    with local_worker.sessions.begin() as session:
        leases.claim(session, stopped, "dead", 60, 3)
    local_worker.tenant(lambda scope: jobs.request_cancel(scope, stopped))
    local_worker.change(stopped, lease_expires_at=func.clock_timestamp() - timedelta(seconds=1))
    sweep_for(local_worker, NoBroker(fails=lambda: True))
    assert local_worker.job(stopped).status == "cancelled"
    assert not (local_worker.settings.blob_dir / orphan).exists()


def test_a_deleted_tenant_is_removed_files_are_adopted_and_orphans_cleared(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    local_worker.queue(dataset)
    with local_worker.sessions.begin() as session:
        image = session.scalars(select(DatasetImage).where(DatasetImage.dataset_id == dataset)).first()
        assert image is not None
        image.adopted = False
        session.add(Image(tenant_id=local_worker.tenant_id, sha256="0" * 64, media_type="image/png"))
    sweep_for(local_worker, NoBroker())
    with local_worker.sessions.begin() as session:
        assert not session.scalar(select(DatasetImage).where(~DatasetImage.adopted).limit(1))
        assert session.get(Image, (local_worker.tenant_id, "0" * 64)) is None
        tenants.delete_tenant(session, local_worker.tenant_id)
    sweep_for(local_worker, NoBroker())
    with local_worker.sessions() as session:
        assert session.get(Tenant, local_worker.tenant_id) is None
    assert list(local_worker.runtime.blobs.tenants()) == []


def test_the_sweeper_goes_on_after_a_failure_and_clears_what_is_left_over(local_worker: LocalWorker) -> None:
    job_id, orphan, dataset = local_worker.queue(), new_id("ds"), local_worker.dataset()
    for owner in (orphan, dataset):  # folders of the version before
        make_old(local_worker, owner)
    published = threading.Event()

    def fails() -> bool:
        if len(broker.asked) >= 3:
            published.set()
        return len(broker.asked) < 3

    broker = NoBroker(fails)
    settings = local_worker.settings.model_copy(update={"sweep_interval_seconds": 0.01})
    running = Sweeper(settings, broker)
    running.start()
    assert published.wait(WAIT_SECONDS)
    running.stop()
    running._thread.join(WAIT_SECONDS)
    assert not running._thread.is_alive()
    assert broker.asked == [job_id] * 3
    assert [owner for owner, _ in local_worker.runtime.blobs.owners_before()] == [dataset]
    assert (local_worker.settings.blob_dir / dataset).is_dir()


def test_a_database_that_is_away_ends_no_sweeper(local_worker: LocalWorker, caplog: pytest.LogCaptureFixture) -> None:
    settings = local_worker.settings.model_copy(
        update={"database_url": "postgresql://nobody@127.0.0.1:1/none", "sweep_interval_seconds": 0.01}
    )
    running = Sweeper(settings, NoBroker())
    running.start()
    deadline = time.monotonic() + WAIT_SECONDS
    while len(caplog.records) < 3:
        assert running._thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.stop()
    running._thread.join(WAIT_SECONDS)
    assert all(record.exc_info is None for record in caplog.records)


def test_the_lock_ends_with_the_sweep(local_worker: LocalWorker) -> None:
    with sweeper.sweep_lock(local_worker.sessions):
        pass
    with local_worker.sessions.begin() as session:
        assert session.scalar(select(func.pg_try_advisory_xact_lock(sweeper.LOCK_KEY)))
