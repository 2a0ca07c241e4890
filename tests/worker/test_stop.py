"""Real `saft worker` processes that are told to stop in the middle of a training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
from sqlalchemy.orm import Session, sessionmaker

from saft import embedded
from saft_core.clip.loading import load_base
from saft_core.process import die_with_parent
from saft_core.settings import Settings
from saft_core.store.broker import Broker
from saft_core.store.messages import queue_name
from saft_core.store.models import Job
from tests.fixtures.in_process import LocalWorker
from tests.fixtures.models import IMAGE_SIZE, TEXT, TOWERS, make_base

START_SECONDS = 300
STOP_SECONDS = 20
"""A stop takes a second or so; a training that is waited for takes minutes."""
EPOCHS = 500
"""Far more than are done until the last stop, which takes seconds."""
ALARMING = ("Traceback", "Cold", "cold", "ERROR", "CRITICAL", "Hitting Ctrl+C", "Lost")


class Workers:
    """Starts `saft worker` on a tiny base, and its own broker."""

    def __init__(self, folder: Path, local: LocalWorker, redis_url: str) -> None:
        self._folder = folder
        self.local = local
        own = {
            "SAFT_DATA_DIR": str(local.settings.data_dir),
            "DATABASE_URL": str(local.settings.database_url),
            "REDIS_URL": redis_url,
            "SAFT_BASE": str(folder),
            "SAFT_CHECKPOINT_INTERVAL_SECONDS": "0.2",
            "SAFT_SWEEP_INTERVAL_SECONDS": "0.5",
            "SAFT_JOB_LEASE_SECONDS": "600",  # only what is given back is taken again
        }
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("SAFT_")} | own
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "saft", "worker"],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (a killed test run must not leave workers behind)
            )

    def stop(self, how: signal.Signals) -> None:
        """Tell it, and wait for the end that is expected of it."""
        assert self._process is not None
        self._process.send_signal(how)
        assert self._process.wait(STOP_SECONDS) == 0, self.log.read_text()

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def ended(self, job_id: str) -> Job:
        """The job once it has ended."""
        deadline = time.monotonic() + START_SECONDS
        while (job := self.local.job(job_id)).status in ("queued", "running"):
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        return job

    def until(self, job_id: str, condition: Callable[[Job], bool]) -> Job:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not condition(job := self.local.job(job_id)):
            assert self._process.poll() is None, self.log.read_text()
            assert job.status in ("queued", "running"), job.error
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return job


@pytest.fixture
def workers(sessions: sessionmaker[Session], database_url: str, tmp_path: Path) -> Iterator[Workers]:
    folder = tmp_path / "base"
    folder.mkdir()
    (tmp_path / "broker").mkdir()
    model = make_base("vit").model
    vision = {"image_size": IMAGE_SIZE, **TOWERS["vit"]}
    config = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT}}
    (folder / "open_clip_config.json").write_text(
        json.dumps(config | {"preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    )
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    with embedded.servers(tmp_path / "broker", ("postgresql://unused", None)) as urls:
        settings = Settings(data_dir=tmp_path / "data", database_url=database_url, redis_url=urls.redis_url)
        made = Workers(folder, LocalWorker(settings, sessions, load_base(str(folder))), urls.redis_url)
        yield made
        made.kill()


def further_than(step: int) -> Callable[[Job], bool]:
    return lambda job: job.status == "running" and job.step > step


def long_job(workers: Workers) -> str:
    job_id = workers.local.queue(epochs=EPOCHS, batch_size=16, learning_rate=1e-4, evaluate="none")
    workers.local.change(job_id, base_fingerprint=workers.local.base.fingerprint)
    return job_id


def test_however_a_worker_is_told_to_stop_its_job_loses_no_attempt_and_another_worker_ends_it(workers: Workers) -> None:
    job_id = long_job(workers)
    reached, seconds = 0, dict[str, float]()
    for how in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        workers.start()
        job = workers.until(job_id, further_than(reached + 20))
        reached = job.step
        assert job.attempt == 1
        workers.stop(how)
        job = workers.local.job(job_id)
        assert (job.status, job.attempt, job.lease_owner, job.error) == ("queued", 0, None, None)
        assert list(workers.local.runtime.checkpoints.job_ids()) == [job_id]
        assert job.seconds is not None
        seconds = seconds or job.seconds
    workers.start()
    job = workers.ended(job_id)
    assert (job.status, job.attempt) == ("succeeded", 1)
    assert job.seconds is not None
    assert job.seconds["selection"] == seconds["selection"]  # it went on from the checkpoint
    assert job.seconds["training"] > seconds["training"]
    assert not [word for word in ALARMING if word in workers.log.read_text()], workers.log.read_text()


def test_a_worker_leaves_the_messages_of_another_base_alone(workers: Workers) -> None:
    foreign, own = workers.local.queue(name="foreign"), workers.local.queue(name="own")
    workers.local.change(foreign, base_fingerprint="f" * 64)
    workers.local.change(own, base_fingerprint=workers.local.base.fingerprint)
    workers.start()
    assert workers.ended(own).status == "succeeded"
    job = workers.local.job(foreign)
    assert (job.status, job.attempt) == ("queued", 0)
    assert Broker(str(workers.local.settings.redis_url)).count(queue_name("f" * 64)) == 1
    workers.stop(signal.SIGTERM)  # an idle one
