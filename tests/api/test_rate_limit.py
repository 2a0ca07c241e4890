from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import redis

from api.metrics import Metrics
from api.rate_limit import RateLimiter, _Window
from saft import embedded
from saft_core.errors import Busy
from tests.fixtures.rest import Site, ok, problem


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Valkey."""
    with embedded.servers(tmp_path_factory.mktemp("rates"), ("postgresql://unused", None)) as urls:
        yield urls.redis_url


@pytest.fixture
def tenant_id() -> str:
    return f"ten_{uuid4().hex}"


def let_pass(rates: RateLimiter, tenant_id: str, limit: int, requests: int) -> int:
    """How many of so many requests."""
    passed = 0
    for _ in range(requests):
        try:
            asyncio.run(rates.admit(tenant_id, limit))
        except Busy:
            continue
        passed += 1
    return passed


def connected(url: str) -> Any:
    return redis.Redis.from_url(url.replace("redis+socket", "unix"))


def kept(url: str, tenant_id: str) -> dict[str, float]:
    client = connected(url)
    return {name.decode(): float(value) for name, value in client.hgetall(f"saft:requests:{tenant_id}").items()}


def put(url: str, tenant_id: str, **values: int) -> None:
    client = connected(url)
    client.hset(f"saft:requests:{tenant_id}", mapping=dict(values))


def minute(url: str) -> int:
    client = connected(url)
    return int(client.time()[0]) // 60


def test_all_replicas_together_let_so_many_pass(redis_url: str, tenant_id: str) -> None:
    replicas = [RateLimiter(redis_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        passed = list(pool.map(lambda rates: let_pass(rates, tenant_id, 10, 8), replicas))
    assert sum(passed) in (10, 11)  # 11 where the minute ended in between
    other = f"{tenant_id}_other"
    assert let_pass(replicas[0], other, 10, 3) == 3


def test_who_is_refused_is_told_what_and_when(redis_url: str, tenant_id: str) -> None:
    rates = RateLimiter(redis_url)
    put(redis_url, tenant_id, minute=minute(redis_url) + 1, count=5, before=0)  # of a clock that is ahead: forgotten
    assert let_pass(rates, tenant_id, 2, 2) == 2
    let_pass(rates, tenant_id, 2, 2)  # should the minute have ended
    with pytest.raises(Busy, match="requests_per_minute: your quota is 2; wait") as caught:
        asyncio.run(rates.admit(tenant_id, 2))
    assert caught.value.details["quota"] == "requests_per_minute"
    assert 1 <= caught.value.details["retry_after_seconds"] <= 120


def test_the_minute_before_counts_by_its_share(redis_url: str, tenant_id: str) -> None:
    rates = RateLimiter(redis_url)
    put(redis_url, tenant_id, minute=minute(redis_url) - 1, count=600, before=0)
    used = asyncio.run(rates.used(tenant_id))
    assert used is not None
    assert 0 <= used <= 600
    put(redis_url, tenant_id, minute=minute(redis_url) - 2, count=600, before=600)
    assert asyncio.run(rates.used(tenant_id)) == 0


def test_who_is_refused_is_not_counted(redis_url: str, tenant_id: str) -> None:
    rates = RateLimiter(redis_url)
    put(redis_url, tenant_id, minute=minute(redis_url), count=5, before=0)
    assert let_pass(rates, tenant_id, 0, 20) == 0
    assert kept(redis_url, tenant_id)["count"] == 5


@pytest.mark.parametrize(
    ("count", "before", "passed", "limit", "seconds"),
    [
        (10, 0, 0.0, 10, 66),  # a tenth of a minute into the next one, one of ten is gone
        (10, 0, 0.5, 10, 36),
        (0, 10, 0.0, 10, 6),
        (5, 10, 0.55, 10, 3),  # at 0.6 of the minute four tenths of ten and five of now are nine
        (1, 0, 0.0, 1, 120),
        (0, 0, 0.0, 0, 120),
        (0, 1, 0.9999, 1, 1),
    ],
)
def test_the_wait_is_until_one_request_has_room(
    count: int, before: int, passed: float, limit: int, seconds: int
) -> None:
    assert _Window(False, 0, count, before, passed).wait_seconds(limit) == seconds


def test_without_a_server_everybody_passes_and_it_is_asked_once(
    tenant_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    rates = RateLimiter("redis+socket:///nowhere/valkey.sock")
    assert let_pass(rates, tenant_id, 1, 50) == 50
    assert asyncio.run(rates.used(tenant_id)) is None
    assert len([record for record in caplog.records if record.name == "api.rate_limit"]) == 1


def test_another_broker_is_no_counter() -> None:
    with pytest.raises(ValueError, match="scheme"):
        RateLimiter("amqp://broker")


# --- in the API ------------------------------------------------------------------------------------------------------


def counting(site: Site, url: str) -> Site:
    settings = site.services.settings.model_copy(update={"key_memory_seconds": 0})
    return Site(replace(site.services, settings=settings, rate_limiter=RateLimiter(url), metrics=Metrics()))


def test_a_tenant_asks_so_often_a_minute_and_another_as_it_likes(site: Site, redis_url: str) -> None:
    counted = counting(site, redis_url)
    client, other = counted.new_tenant("limited"), counted.new_tenant("other")
    path = f"/tenants/{site.tenant_id(client)}/quota"
    ok(counted.admin.put(path, json={"requests_per_minute": 5}))
    answers = [client.get("/datasets") for _ in range(12)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 6 <= len(refused) <= 7
    found = problem(refused[0], 429, "quota_exceeded")
    assert (found["quota"], found["limit"]) == ("requests_per_minute", 5)
    assert refused[0].headers["retry-after"] == str(found["retry_after_seconds"])
    assert all(other.get("/datasets").status_code == 200 for _ in range(12))
    shown = ok(counted.admin.get(f"/tenants/{site.tenant_id(client)}"))["usage"]["requests_per_minute"]
    assert 1 <= shown <= 6
    ok(counted.admin.put(path, json={"requests_per_minute": None}))
    ok(client.get("/usage"))


def test_a_refused_upload_is_refused_before_its_body(site: Site, redis_url: str) -> None:
    counted = counting(site, redis_url)
    client = counted.new_tenant()
    ok(counted.admin.put(f"/tenants/{site.tenant_id(client)}/quota", json={"requests_per_minute": 0}))
    answer = client.post("/datasets", content=b"this is no form", headers={"content-type": "text/plain"})
    problem(answer, 429, "quota_exceeded")


def test_a_server_that_is_away_keeps_nobody_out(site: Site) -> None:
    counted = counting(site, "redis+socket:///nowhere/valkey.sock")
    client = counted.new_tenant()
    ok(counted.admin.put(f"/tenants/{site.tenant_id(client)}/quota", json={"requests_per_minute": 0}))
    assert ok(client.get("/usage"))["usage"]["requests_per_minute"] is None
