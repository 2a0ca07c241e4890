"""The parts that routes work with, made once for each app by the composition root (saft/wiring.py)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy.orm import Session, sessionmaker

from api.concurrency.gate import Gate
from api.concurrency.slots import Slots
from api.concurrency.threads import Threads
from api.concurrency.turns import Turns
from api.exports import Exports
from api.image_fetcher import Network
from api.images import ImageReader
from api.key_cache import KeyCache
from api.metrics import Metrics
from api.rate_limit import RateLimiter
from api.unknown import UnknownDetector
from saft_core.data.limits import DataLimits
from saft_core.data.probe_set import Probe
from saft_core.process import available_cpus
from saft_core.serving.engine import Engine
from saft_core.settings import Limits, Settings
from saft_core.store.blobs import BlobStore

SPOOL_THREADS = 4
WATCH_THREADS = 4


@dataclass(frozen=True)
class Services:
    """The parts that `create_app` serves.

    publish: sends the id of a queued job to the workers. ping_broker: raises if the broker does not answer.
    admin_key: gives the admin's key as it is now; called at every request of the admin's.
    rate_limiter: counts the requests of tenants that have a limit; None limits nobody.
    probe: pictures by which `unknown` is told for labels that a request brings; None tells it of none of them.
    network: the addresses that images by URL may be fetched from, within what the settings allow.
    """

    settings: Settings
    sessions: sessionmaker[Session]
    blobs: BlobStore
    engine: Engine
    publish: Callable[[str], None]
    ping_broker: Callable[[], None]
    admin_key: Callable[[], str]
    probe: Probe | None = None
    rate_limiter: RateLimiter | None = None
    network: Network = field(default_factory=Network)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        # Made now: two threads that ask at once would each have one of their own.
        _ = self.image_reader, self.unknown_detector, self.exports

    @cached_property
    def gate(self) -> Gate:
        """The concurrency gate of the inference routes."""
        return Gate("inference_requests", self.settings.inference_requests, available_cpus())

    @cached_property
    def thumbnail_gate(self) -> Gate:
        """The concurrency gate of thumbnails, of its own so that a page full of them takes no turn from inference."""
        turns = self.settings.thumbnail_threads or max(1, available_cpus() // 2)
        return Gate("thumbnail_requests", self.settings.thumbnail_requests, turns)

    @cached_property
    def uploads(self) -> Slots:
        """Slots of uploads, each held from the first byte to the answer."""
        return Slots(self.settings.upload_requests, "upload_requests")

    @cached_property
    def upload_turns(self) -> Turns:
        """Fair turns of tenants at `upload_threads`."""
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
        """Threads of /readyz and /metrics, apart from those of other routes so that neither waits for the other."""
        return Threads("watch", WATCH_THREADS)

    @cached_property
    def broker_threads(self) -> Threads:
        """The thread that pings the broker, apart because a broker that hangs keeps it for seconds."""
        return Threads("broker", 1)

    @cached_property
    def image_reader(self) -> ImageReader:
        """What decodes image files for the engine, within one budget of memory."""
        return ImageReader(self.engine, self.settings, self.network)

    @cached_property
    def exports(self) -> Exports:
        """What makes the files of exports."""
        return Exports(self.engine, self.settings)

    @cached_property
    def unknown_detector(self) -> UnknownDetector:
        """What tells how likely an image shows none of the labels of a request."""
        return UnknownDetector(self.engine, self.probe, self.data_limits)

    @cached_property
    def key_cache(self) -> KeyCache:
        """Which tenant an API key belongs to."""
        return KeyCache(self.sessions, self.settings.key_memory_seconds)

    def deadline(self) -> float:
        """When a request that starts now must have its answer, on `time.monotonic()`'s clock."""
        return time.monotonic() + self.settings.request_deadline_seconds

    @property
    def limits(self) -> Limits:
        """The limits on requests."""
        return self.settings.limits

    @property
    def data_limits(self) -> DataLimits:
        """The limits on uploaded images, as saft_core/data takes them."""
        return DataLimits.from_attributes(self.settings.limits)
