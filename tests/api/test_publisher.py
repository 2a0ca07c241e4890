from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkey
from celery import Celery

from api.publisher import CeleryPublisher
from saft import embedded
from saft_core.store.messages import TRAIN_TASK


@pytest.fixture(scope="module")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real broker that nobody listens on."""
    with embedded.servers(tmp_path_factory.mktemp("broker"), ("postgresql://unused", None)) as urls:
        yield urls.redis_url


def test_a_job_id_reaches_whoever_listens(broker_url: str) -> None:
    publish = CeleryPublisher(broker_url)
    publish.ping()
    publish("job_1")
    publish("job_2")
    CeleryPublisher(broker_url, "saft.other")("job_3")
    with (
        Celery("listener", broker=broker_url).connection_for_read() as connection,
        connection.SimpleQueue("celery") as queue,
    ):
        messages = [queue.get(timeout=5) for _ in range(2)]
        for message in messages:
            message.ack()
    assert [message.headers["task"] for message in messages] == [TRAIN_TASK] * 2
    assert [json.loads(message.body)[0] for message in messages] == [["job_1"], ["job_2"]]
    with valkey.Valkey(unix_socket_path=broker_url.removeprefix("redis+socket://")) as client:
        assert client.llen("saft.other") == 1


@pytest.mark.timeout(120)  # of Celery's own accord it would try for ever
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+socket:///nowhere/broker.sock"])
def test_a_broker_that_is_away_is_noticed_within_seconds(url: str) -> None:
    publish = CeleryPublisher(url)
    with pytest.raises(Exception, match=r"(?i)connect|refused|no such file"):
        publish("job_1")
    with pytest.raises(Exception, match=r"(?i)connect|refused|no such file"):
        publish.ping()


def test_a_connection_that_broke_costs_nothing(tmp_path: Path) -> None:
    with embedded.servers(tmp_path, ("postgresql://unused", None)) as urls:
        publish = CeleryPublisher(urls.redis_url)
        publish("job_1")
        with valkey.Valkey(unix_socket_path=urls.redis_url.removeprefix("redis+socket://")) as client:
            client.client_kill_filter(_type="normal", skipme=True)
            publish("job_2")
            assert client.llen("celery") == 2
