"""The rate limit: requests per minute of a tenant, over all replicas, counted in Redis or Valkey.

A sliding window: this minute's requests, and of the minute before as large a share as the last sixty seconds still
cover. Requests that are refused do not count. The script is one trip to the server, which also has the clock. Without
the server, or when it does not answer in time, everything is let pass: a limit on use is no reason to be down.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from api.concurrency.threads import Threads
from saft_core.errors import Busy, QuotaExceeded

ANSWER_SECONDS = 0.25
"""A server in the same place answers in less than a millisecond."""
AWAY_SECONDS = 5.0
"""How long a server that did not answer is not asked again, lest requests queue up for its time limit."""
THREADS = 4

_SCRIPT = """
local now = redis.call('TIME')
local seconds = tonumber(now[1]) + tonumber(now[2]) / 1000000
local minute = math.floor(seconds / 60)
local passed = seconds / 60 - minute
local kept = redis.call('HMGET', KEYS[1], 'minute', 'count', 'before')
local count, before = 0, 0
if tonumber(kept[1]) == minute then
  count, before = tonumber(kept[2]), tonumber(kept[3])
elseif tonumber(kept[1]) == minute - 1 then
  before = tonumber(kept[2])
end
local used = math.ceil(before * (1 - passed) + count)
local allowed = 0
if used + tonumber(ARGV[2]) <= tonumber(ARGV[1]) then
  allowed = 1
  count = count + tonumber(ARGV[2])
  redis.call('HSET', KEYS[1], 'minute', minute, 'count', count, 'before', before)
  redis.call('EXPIRE', KEYS[1], 120)
end
return {allowed, used, count, before, tostring(passed)}
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Window:
    """A tenant's counts as the script returned them. passed: the share of the present minute that is over, 0 to 1."""

    allowed: bool
    used: int
    count: int
    before: int
    passed: float

    def wait_seconds(self, limit: int) -> int:
        """After how many whole seconds, 1 to 120, one more request is allowed if none comes before.

        Old requests leave the window at an even pace: the minute before's in this one, this minute's in the next.
        """
        if self.count < limit and self.before:
            wanted = 1 - (limit - self.count - 1) / self.before
        else:
            wanted = 2 - max(limit - 1, 0) / max(self.count, 1)
        return min(max(math.ceil(round((wanted - self.passed) * 60, 6)), 1), 120)


class RateLimiter:
    """Counts and limits the requests of tenants whose quota has `requests_per_minute`.

    url: of Redis or Valkey, as kombu spells it. Raises ValueError for one that the client does not know.
    """

    def __init__(self, url: str) -> None:
        client: Any = redis.Redis.from_url(
            url.replace("redis+socket://", "unix://", 1),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection to a server that was restarted since
        )
        self._script = client.register_script(_SCRIPT)
        self._threads = Threads("rates", THREADS)
        self._away_until = 0.0

    async def admit(self, tenant_id: str, limit: int) -> None:
        """Count a request. Raises Busy with code `quota_exceeded`, which says how long to wait."""
        window = await self._threads.run(self._ask, tenant_id, limit, 1)
        if window is not None and not window.allowed:
            seconds = window.wait_seconds(limit)
            raise Busy(
                f"requests_per_minute: your quota is {limit:,}; wait {seconds} s, or ask the admin for a larger quota",
                code=QuotaExceeded.code,
                quota="requests_per_minute",
                limit=limit,
                used=window.used,
                retry_after_seconds=seconds,
            )

    async def used(self, tenant_id: str) -> int | None:
        """Requests of the last minute, without counting one; None if the server does not answer."""
        window = await self._threads.run(self._ask, tenant_id, 0, 0)
        return None if window is None else window.used

    def _ask(self, tenant_id: str, limit: int, more: int) -> _Window | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            answer = self._script(keys=[f"saft:requests:{tenant_id}"], args=[limit, more])
        except Exception as error:  # whatever it is: nobody is kept out by it
            self._away_until = time.monotonic() + AWAY_SECONDS
            logger.warning("requests are not counted for %s s, Redis does not answer: %r", AWAY_SECONDS, error)
            return None
        allowed, used, count, before = (int(number) for number in answer[:4])
        return _Window(bool(allowed), used, count, before, float(answer[4]))
