from __future__ import annotations

from pathlib import Path

import pytest
import valkey

from saft import embedded
from saft_core.store.messages import Message
from worker.broker import Broker


def test_messages_are_sent_and_counted_by_queue(tmp_path: Path) -> None:
    with embedded.servers(tmp_path, ("postgresql://unused", None)) as urls:
        broker = Broker(urls.redis_url)
        assert broker.count("saft.a") == 0
        for job_id, queue in (("job_1", "saft.a"), ("job_2", "saft.a"), ("job_3", "saft.b")):
            broker.send(Message(job_id, queue))
        assert [broker.count(queue) for queue in ("saft.a", "saft.b", "saft.c")] == [2, 1, 0]
        with valkey.Valkey(unix_socket_path=urls.redis_url.removeprefix("redis+socket://")) as client:
            client.client_kill_filter(_type="normal", skipme=True)
            assert client.lpop("saft.a")
        assert broker.count("saft.a") == 1  # a connection that broke costs nothing


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+socket:///nowhere/broker.sock"])
def test_a_broker_that_is_away_is_an_error_and_no_wait(url: str) -> None:
    broker = Broker(url)
    with pytest.raises(Exception, match=r"(?i)connect|refused|no such file"):
        broker.send(Message("job_1", "saft.a"))
    with pytest.raises(Exception, match=r"(?i)connect|refused|no such file"):
        broker.count("saft.a")
