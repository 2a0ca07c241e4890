"""Whose a key is."""

from __future__ import annotations

from cachetools import TTLCache
from sqlalchemy.orm import Session, sessionmaker

from api.threads import Threads
from saft_core.store import tenants
from saft_core.store.database import reading

MAX_KEYS = 10_000
"""Remembered at once."""
LOOK_UPS = 8
"""Threads for keys that are not remembered: what strangers make up takes none from the routes."""


class Keys:
    """Asks the database whose a key is, and remembers it for `memory_seconds`: no call of the API changes it.

    Only keys that are somebody's are remembered, as hashes. Belongs to the event loop's thread.
    """

    def __init__(self, sessions: sessionmaker[Session], memory_seconds: float) -> None:
        self._sessions = sessions
        self._known: TTLCache[str, str] = TTLCache(MAX_KEYS, memory_seconds)
        self._threads = Threads("keys", LOOK_UPS)

    async def tenant_of(self, key: str) -> str:
        """The id of the tenant that holds `key`. Raises Unauthorized."""
        digest = tenants.hashed(key)
        tenant_id = self._known.get(digest)
        if tenant_id is None:
            tenant_id = await self._threads.run(self._look_up, key)
            self._known[digest] = tenant_id
        return tenant_id

    def _look_up(self, key: str) -> str:
        with reading(self._sessions) as session:
            return tenants.authenticate(session, key).id
