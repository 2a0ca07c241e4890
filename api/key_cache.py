"""Whose a key is."""

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
"""Remembered at once."""
LOOK_UPS = 8
"""Threads for keys that are not remembered: what strangers make up takes none from the routes."""

logger = logging.getLogger(__name__)


class KeyCache:
    """Asks the database whose a key is, and remembers it for `memory_seconds` from when it asked.

    So long at most a key that was revoked, by whatever process, opens something here. A remembered key costs a look in
    a dictionary; any other one query by an index, of which requests with the same key share one. Only keys that are
    somebody's are remembered, as hashes.
    """

    def __init__(self, sessions: sessionmaker[Session], memory_seconds: float) -> None:
        self._sessions = sessions
        self._memory_seconds = memory_seconds
        self._known: TTLCache[str, tuple[Holder, float]] = TTLCache(MAX_KEYS, memory_seconds)
        self._asked: dict[str, Future[Holder]] = {}
        self._lock = Lock()  # of both
        self._look_ups = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="saft-keys")
        self._notes = ThreadPoolExecutor(1, thread_name_prefix="saft-key-use")

    async def holder_of(self, key: str) -> Holder:
        """Who holds `key`. Raises Unauthorized."""
        return await self.holder_of_hash(tenants.hashed(key))

    async def holder_of_hash(self, key_sha256: str) -> Holder:
        """The same by the key's hash."""
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
        """Beside the request, which does not wait for it."""
        try:
            with reading(self._sessions) as session:
                tenants.note_use(session, key_id)
        except Exception:
            logger.warning("the use of key %s could not be noted", key_id, exc_info=True)
