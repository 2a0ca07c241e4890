from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import valkey
from celery import Celery

from saft import embedded
from saft_core.store.broker import Broker
from saft_core.store.messages import ANY_BASE_QUEUE, TRAIN_TASK, Message


@pytest.fixture(scope="module")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real broker that nobody listens on."""
    with embedded.servers(tmp_path_factory.mktemp("broker"), ("postgresql://unused", None)) as urls:
        yield urls.redis_url


def break_connections(client: valkey.Valkey) -> None:
    client.client_kill_filter(_type="normal", skipme=True)


def client_of(url: str) -> valkey.Valkey:
    return valkey.Valkey(unix_socket_path=url.removeprefix("redis+socket://"))


def test_a_message_carries_its_job_id_to_whoever_listens(broker_url: str) -> None:
    broker = Broker(broker_url)
    broker.ping()
    broker.send(Message("job_1", ANY_BASE_QUEUE))
    broker.send(Message("job_2", ANY_BASE_QUEUE))
    broker.send(Message("job_3", "saft.other"))
    with (
        Celery("listener", broker=broker_url).connection_for_read() as connection,
        connection.SimpleQueue("celery") as queue,
    ):
        messages = [queue.get(timeout=5) for _ in range(2)]
        for message in messages:
            message.ack()
    assert [message.headers["task"] for message in messages] == [TRAIN_TASK] * 2
    assert [json.loads(message.body)[0] for message in messages] == [["job_1"], ["job_2"]]
    with client_of(broker_url) as client:
        assert client.llen("saft.other") == 1


def test_messages_are_sent_and_counted_by_queue(broker_url: str) -> None:
    broker = Broker(broker_url)
    assert broker.count("saft.a") == 0
    for job_id, queue in (("job_1", "saft.a"), ("job_2", "saft.a"), ("job_3", "saft.b")):
        broker.send(Message(job_id, queue))
    assert [broker.count(queue) for queue in ("saft.a", "saft.b", "saft.c")] == [2, 1, 0]
    with client_of(broker_url) as client:
        break_connections(client)
        assert client.lpop("saft.a")
    assert broker.count("saft.a") == 1  # a connection that broke costs nothing


def test_a_connection_that_broke_costs_no_message(broker_url: str) -> None:
    broker = Broker(broker_url)
    broker.send(Message("job_1", "saft.broken"))
    with client_of(broker_url) as client:
        break_connections(client)
        broker.send(Message("job_2", "saft.broken"))
        assert client.llen("saft.broken") == 2


@pytest.mark.timeout(120)  # of Celery's own accord it would try for ever
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+socket:///nowhere/broker.sock"])
def test_a_broker_that_is_away_is_an_error_and_no_wait(url: str) -> None:
    broker = Broker(url)
    for ask in (lambda: broker.send(Message("job_1", "saft.a")), lambda: broker.count("saft.a"), broker.ping):
        with pytest.raises(Exception, match=r"(?i)connect|refused|no such file"):
            ask()
