from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func

from saft_core.store import messages
from tests.fixtures.queue import Queue


def test_a_job_is_published_until_somebody_noted_it(queue: Queue) -> None:
    job_id = queue.add()
    assert queue.needing_message() == [job_id]
    with queue.sessions.begin() as session:
        messages.mark_sent(session, [job_id])
    assert queue.needing_message() == []


def test_a_waiting_job_is_published_again_after_a_while(queue: Queue) -> None:
    job_id = queue.add()
    queue.change(job_id, published_at=func.clock_timestamp() - messages.RESEND_AFTER * 1.01)
    assert queue.needing_message() == [job_id]


def test_a_waiting_job_whose_message_waits_too_is_left_alone(queue: Queue) -> None:
    names = [f"job {number}" for number in range(5)]
    waiting = [queue.add(name) for name in names]
    for age, job_id in enumerate(reversed(waiting)):
        queue.change(job_id, published_at=func.clock_timestamp() - messages.RESEND_AFTER * (1.01 + age))
    assert queue.needing_message(queued=5) == []
    assert queue.needing_message(queued=7) == []
    assert queue.needing_message(queued=3) == waiting[:2]  # a queue lacks what was sent first
    assert queue.needing_message(queued=0) == waiting


def test_a_message_that_is_on_its_way_is_not_missed_at_once(queue: Queue) -> None:
    late, fresh = queue.add("late"), queue.add("fresh")
    queue.change(late, published_at=func.clock_timestamp() - messages.RESEND_AFTER * 1.01)
    queue.change(fresh, published_at=func.clock_timestamp())
    assert queue.needing_message() == [late]


def test_each_base_has_a_queue_of_its_own(queue: Queue) -> None:
    base, other = "a" * 64, "b" * 64
    by_base = {name: queue.add(str(name)) for name in (base, other, None)}
    for fingerprint, job_id in by_base.items():
        queue.change(job_id, base_fingerprint=fingerprint)
    with queue.sessions.begin() as session:
        unsent = messages.needing_message(session, lambda _: 0)
        assert {message.queue for message in unsent} == {messages.queue_name(name) for name in by_base}
        messages.mark_sent(session, list(by_base.values()))
    for job_id in by_base.values():
        queue.change(job_id, published_at=func.clock_timestamp() - messages.RESEND_AFTER * 1.01)
    held = {messages.queue_name(base): 0, messages.queue_name(other): 1, messages.queue_name(None): 1}
    with queue.sessions.begin() as session:
        assert messages.needing_message(session, held.__getitem__) == [
            messages.Message(by_base[base], messages.queue_name(base))
        ]


def test_the_job_of_a_silent_worker_is_published_once(queue: Queue) -> None:
    job_id = queue.add()
    queue.change(job_id, published_at=func.clock_timestamp() - timedelta(seconds=30))
    queue.claim(job_id)
    assert queue.needing_message() == []
    queue.silence_worker(job_id)
    assert queue.needing_message() == [job_id]
    with queue.sessions.begin() as session:
        messages.mark_sent(session, [job_id])
    assert queue.needing_message() == []


def test_the_job_of_a_silent_worker_whose_message_waits_is_left_alone(queue: Queue) -> None:
    """All workers may be busy for hours."""
    job_id = queue.add()
    queue.claim(job_id)
    long_ago = func.clock_timestamp() - messages.RESEND_AFTER * 3
    queue.change(job_id, lease_expires_at=long_ago, published_at=long_ago + messages.RESEND_AFTER)
    assert queue.needing_message(queued=1) == []
    assert queue.needing_message(queued=0) == [job_id]


def test_an_ended_job_is_never_published(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    queue.finish(job_id)
    assert queue.needing_message() == []
