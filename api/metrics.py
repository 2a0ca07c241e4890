"""Prometheus metrics of the API, told at /metrics: requests, the engine, concurrency limits and jobs.

What the engine knows of itself, such as its adapters in memory, is a number of `Engine.counters` (saft_core/serving):
one that is added there is told by itself, as a gauge if `is_gauge` says so of its name, or else as a counter. A gauge
of anything else is one more collector in `install`, with a function that reads its values.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saft_core.store.jobs import count_by_status

if TYPE_CHECKING:
    from api.services import Services

logger = logging.getLogger(__name__)

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Any other word a caller makes up is counted as "other": each label value costs memory for ever."""


class Metrics:
    """Counters and histograms that routes and the engine write to, in a registry of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "saft_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "saft_http_request_seconds", "Time to the last byte.", ["method", "route"], registry=self.registry
        )
        self.batches = Histogram(
            "saft_engine_batch_rows", "Images or texts in one batch.", registry=self.registry, buckets=BATCH_BUCKETS
        )
        self.images = Counter("saft_images_classified", "Images classified.", registry=self.registry)


Family = type[CounterMetricFamily] | type[GaugeMetricFamily]


class ReadAtScrape(Collector):
    """One metric whose values are read when Prometheus scrapes.

    family: counters, whose name ends in `_total` when it is told, or gauges. label: the metric's one label. read: gives
    the number of each value of the label; what it raises is logged, and the metric is left out of the scrape.
    """

    def __init__(
        self, family: Family, name: str, help_text: str, label: str, read: Callable[[], Mapping[str, int]]
    ) -> None:
        self._family, self._name, self._help_text, self._label, self._read = family, name, help_text, label, read

    def describe(self) -> Iterator[Metric]:
        """The name only: registering must not read, since the database need not be up yet."""
        yield self._empty()

    def _empty(self) -> CounterMetricFamily | GaugeMetricFamily:
        return self._family(self._name, self._help_text, labels=[self._label])

    def collect(self) -> Iterator[Metric]:  # noqa: D102 (prometheus_client's)
        family = self._empty()
        try:
            for value, number in self._read().items():
                family.add_metric([value], number)
        except Exception:
            logger.warning("%s cannot be read", self._name, exc_info=True)  # the other metrics are still worth having
        yield family


class RequestMetrics:
    """ASGI middleware that counts and times requests by route template, so that ids do not become label values."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(method, route).observe(time.perf_counter() - started)


def install(app: FastAPI, services: Services) -> None:
    """Count and time the requests of `app`, and register what is read at each scrape: engine, gates and jobs."""
    engine, gate = services.engine, services.gate

    def engine_numbers(*, gauges: bool) -> dict[str, int]:
        return {name: number for name, number in engine.counters().items() if is_gauge(name) == gauges}

    def requests_now() -> dict[str, int]:
        return {
            "inference": gate.slots.taken,
            "inference_waiting": gate.turns.waiting,
            "inference_computing": gate.turns.held,
            "uploads": services.uploads.taken,
            "thumbnails": services.thumbnail_gate.slots.taken,
        }

    def jobs_now() -> dict[str, int]:
        with services.sessions() as session:
            return count_by_status(session)

    events, state = partial(engine_numbers, gauges=False), partial(engine_numbers, gauges=True)
    for collector in (
        ReadAtScrape(
            CounterMetricFamily, "saft_engine_events", "What the engine's caches, routes and loop did.", "event", events
        ),
        ReadAtScrape(
            GaugeMetricFamily, "saft_engine_state", "What the engine holds and has waiting.", "quantity", state
        ),
        ReadAtScrape(
            GaugeMetricFamily, "saft_requests", "Requests under way, by what they are at.", "state", requests_now
        ),
        ReadAtScrape(GaugeMetricFamily, "saft_jobs", "Jobs by status.", "status", jobs_now),
    ):
        services.metrics.registry.register(collector)
    engine.passes.observe = services.metrics.batches.observe
    app.add_middleware(RequestMetrics, metrics=services.metrics)


def is_gauge(name: str) -> bool:
    """Whether a number of the engine, by its name in `Engine.counters`, goes up and down; the others only grow."""
    return name.startswith("waiting_") or name.endswith("_bytes")
