"""What the API works with, put together by the composition root."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy.orm import Session, sessionmaker

from api.exports import Exports
from api.fetching import Network
from api.gate import Gate
from api.keys import Keys
from api.metrics import Metrics
from api.pictures import PictureReader
from api.places import Places
from api.rates import Rates
from api.strangers import Strangers
from api.threads import Threads
from api.turns import Turns
from saft_core.data.limits import DataLimits
from saft_core.data.probe import Probe
from saft_core.process import available_cpus
from saft_core.serving.engine import Engine
from saft_core.settings import Limits, Settings
from saft_core.store.blobs import BlobStore

SPOOL_THREADS = 4
WATCH_THREADS = 4


@dataclass(frozen=True)
class Services:
    """Handed to `create_app`; `publish` sends the message that a job waits, and `ping_broker` raises if it cannot.

    admin_key: the key of the admin as it is now; asked at every request of the admin's.
    rates: counts requests; without it nobody's are limited.
    probe: by which to tell a stranger to labels that a request brings; without it nobody is told.
    network: what images by URL may be fetched from, beside what the settings allow.
    """

    settings: Settings
    sessions: sessionmaker[Session]
    blobs: BlobStore
    engine: Engine
    publish: Callable[[str], None]
    ping_broker: Callable[[], None]
    admin_key: Callable[[], str]
    probe: Probe | None = None
    rates: Rates | None = None
    network: Network = field(default_factory=Network)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        _ = (
            self.pictures,
            self.strangers,
            self.exports,
        )  # made now: two threads that ask at once would each have one of their own

    @cached_property
    def gate(self) -> Gate:
        """The gate of the inference routes."""
        return Gate("inference_requests", self.settings.inference_requests, available_cpus())

    @cached_property
    def thumbnail_gate(self) -> Gate:
        """The gate of thumbnails: a page full of them takes no turn at the cores from inference."""
        turns = self.settings.thumbnail_threads or max(1, available_cpus() // 2)
        return Gate("thumbnail_requests", self.settings.thumbnail_requests, turns)

    @cached_property
    def uploads(self) -> Places:
        """Of multipart uploads, from their first byte to their answer."""
        return Places(self.settings.upload_requests, "upload_requests")

    @cached_property
    def upload_turns(self) -> Turns:
        """Turns of tenants at `upload_threads`."""
        return Turns(self.settings.upload_threads)

    @cached_property
    def upload_threads(self) -> Threads:
        """Threads that check and store uploads, which can take minutes each."""
        return Threads("upload", self.settings.upload_threads)

    @cached_property
    def spool_threads(self) -> Threads:
        """Threads that write uploads as they come: quick, so they never wait for the slow ones."""
        return Threads("spool", SPOOL_THREADS)

    @cached_property
    def watch_threads(self) -> Threads:
        """Threads for those who watch without a key; they take none from the other routes, nor wait for them."""
        return Threads("watch", WATCH_THREADS)

    @cached_property
    def broker_threads(self) -> Threads:
        """The thread that asks the broker, apart since a broker that hangs keeps it for seconds."""
        return Threads("broker", 1)

    @cached_property
    def pictures(self) -> PictureReader:
        """How image files are read."""
        return PictureReader(self.engine, self.settings, self.network)

    @cached_property
    def exports(self) -> Exports:
        """Who makes exports."""
        return Exports(self.engine, self.settings)

    @cached_property
    def strangers(self) -> Strangers:
        """Who tells what shows none of the labels of a request."""
        return Strangers(self.engine, self.probe, self.data_limits)

    @cached_property
    def keys(self) -> Keys:
        """Who is asking."""
        return Keys(self.sessions, self.settings.key_memory_seconds)

    def deadline(self) -> float:
        """When a request that starts now must have its answer, on `time.monotonic()`'s clock."""
        return time.monotonic() + self.settings.request_deadline_seconds

    @property
    def limits(self) -> Limits:
        """The limits on requests."""
        return self.settings.limits

    @property
    def data_limits(self) -> DataLimits:
        """The limits on images, as saft_core/data takes them."""
        return DataLimits.from_attributes(self.settings.limits)
