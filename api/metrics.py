"""What the service tells Prometheus about itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Any other word a caller makes up is counted as "other": each label value costs memory for ever."""


class Metrics:
    """The metrics of one app, in a registry of their own."""

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


class NumbersOf(Collector):
    """Numbers read when Prometheus asks: `read` maps a label value to a number.

    family: what the numbers are. A counter only grows, and its name ends in `_total` when it is told.
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
    """ASGI middleware: counts and times requests by route template, so that ids do not become label values."""

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
