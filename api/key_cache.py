"""Authentication of API keys: a cache of which tenant holds which key, in front of the database."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from cachetools import TTLCache
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store import tenants
from saft_core.store.database import reading
from saft_core.store.tenants import Holder

MAX_KEYS = 10_000
"""Entries of the cache."""
LOOK_UPS = 8
"""Threads for cache misses, so that made-up keys take no thread from the routes."""

logger = logging.getLogger(__name__)


class KeyCache:
    """A TTL cache from the hash of an API key to its holder, for any number of coroutines.

    memory_seconds: how long an entry lives from its query on, and a revoked key may still be accepted here.
    A miss costs one query by an index, which requests with the same key share. Unknown keys are not cached.
    """

    def __init__(self, sessions: sessionmaker[Session], memory_seconds: float) -> None:
        self._sessions = sessions
        self._memory_seconds = memory_seconds
        self._known: TTLCache[str, tuple[Holder, float]] = TTLCache(MAX_KEYS, memory_seconds)
        self._asked: dict[str, Future[Holder]] = {}
        self._lock = Lock()  # of both
        self._look_ups = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="saft-keys")
        self._notes = ThreadPoolExecutor(1, thread_name_prefix="saft-key-use")

    async def holder_of(self, key_sha256: str) -> Holder:
        """The tenant and key id of the API key with this SHA-256. Raises Unauthorized for an unknown or revoked one."""
        with self._lock:
            holder, until = self._known.get(key_sha256, (None, 0.0))
            if holder is not None and time.monotonic() < until:
                return holder
            asked = self._asked.get(key_sha256)
            if asked is None:
                asked = self._asked[key_sha256] = self._look_ups.submit(self._look_up, key_sha256)
        return await asyncio.shield(asyncio.wrap_future(asked))  # who goes away does not take it from the others

    def _look_up(self, key_sha256: str) -> Holder:
        try:
            until = time.monotonic() + self._memory_seconds
            with reading(self._sessions) as session:
                holder = tenants.authenticate_hash(session, key_sha256)
            with self._lock:
                self._known[key_sha256] = holder, until
        finally:
            with self._lock:
                self._asked.pop(key_sha256, None)
        if not holder.is_noted:
            self._notes.submit(self._note_use, holder.key_id)
        return holder

    def _note_use(self, key_id: str) -> None:
        """Write when the key was used last; the request does not wait for it."""
        try:
            with reading(self._sessions) as session:
                tenants.note_use(session, key_id)
        except Exception:
            logger.warning("the use of key %s could not be noted", key_id, exc_info=True)
