"""Metrics of the controller for Prometheus. Needs prometheus-client, the extra `metrics`.

No label has a value that a container can choose, so the number of time series is limited: `network` is one of
the engine's networks, all other values are fixed words.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dockeripv6mapper import __version__
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.mapping.state import Tally

PREFIX = "dockeripv6mapper"
PASS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Seconds. A pass over one container takes about a millisecond."""
ENGINE_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 60)
"""Seconds. The engine answers a connect in 3 ms before a start, in 75 to 150 ms on a running container."""
LAG_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
"""Seconds. Usually 0.2 to 0.5 ms."""


class TallyCollector(Collector):
    """The last tally as gauges. The controller replaces the whole object, so each scrape is consistent."""

    tally = Tally()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges of the last tally."""
        tally = self.tally
        mappings = GaugeMetricFamily(
            f"{PREFIX}_mappings",
            "Labelled containers; the network is empty if the label names no existing one.",
            labels=("state", "network"),
        )
        for (state, network), count in tally.mappings.items():
            mappings.add_metric((state.value, network), count)
        refusals = GaugeMetricFamily(
            f"{PREFIX}_refusals", "Containers that are not mapped, by reason.", labels=("reason",)
        )
        for reason, count in tally.refusals.items():
            refusals.add_metric((reason.value,), count)
        entries = GaugeMetricFamily(
            f"{PREFIX}_proxy_entries", "NDP proxy entries that carry the mapper's mark."
        )
        entries.add_metric((), tally.proxy_entries)
        inbound = GaugeMetricFamily(
            f"{PREFIX}_inbound",
            "Containers that run at their mapped addresses, by what the firewall rules let in from outside.",
            labels=("access",),
        )
        for access, count in tally.inbound.items():
            inbound.add_metric((access.value,), count)
        yield from (mappings, refusals, entries, inbound)


class Metrics(Meter):
    """The metrics, served at `address` from `__enter__` to `__exit__`, from a registry of their own."""

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._port = port
        self.registry = registry = CollectorRegistry()
        self._tally = TallyCollector()
        registry.register(self._tally)
        ProcessCollector(registry=registry)
        Info(PREFIX, "The program.", registry=registry).info({"version": __version__})
        self._connected = Gauge(
            f"{PREFIX}_engine_connected",
            "Whether the connection to the engine's events is up.",
            registry=registry,
        )
        self._lag = Histogram(
            f"{PREFIX}_event_lag_seconds",
            "Delay from an event of the engine to its processing.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )
        self._passes = Histogram(
            f"{PREFIX}_pass_duration_seconds",
            "One pass, from facts to actions, over everything (full) or over some containers (partial).",
            labelnames=("scope",),
            buckets=PASS_BUCKETS,
            registry=registry,
        )
        self._actions = Histogram(
            f"{PREFIX}_engine_action_duration_seconds",
            "The engine's response time to a change of an endpoint, such as connect.",
            labelnames=("action", "outcome"),
            buckets=ENGINE_BUCKETS,
            registry=registry,
        )
        self._races = Counter(
            f"{PREFIX}_races",
            "New containers that had their address before their first process ran (won), or later (lost).",
            labelnames=("result",),
            registry=registry,
        )
        self._answers = Counter(
            f"{PREFIX}_neighbour_answers",
            "Neighbour solicitations that the daemon answered, since the kernel's do not get through.",
            labelnames=("uplink",),
            registry=registry,
        )
        self._retries = Counter(
            f"{PREFIX}_retries",
            "Actions for a container that failed and were tried again.",
            registry=registry,
        )

    def __enter__(self) -> Self:
        """Start the HTTP server. Raises `MapperError` if the address cannot be bound."""
        try:
            self._server, self._thread = start_http_server(self._port, self._address, self.registry)
        except OSError as error:
            raise MapperError(
                f"serving metrics at {self._address} port {self._port}: {error.strerror}",
                hint="--metrics ADDRESS:PORT names another",
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def engine_connected(self, connected: bool) -> None:
        self._connected.set(connected)

    def event(self, lag: float) -> None:
        # Negative if the engine runs on another machine, whose clock is ahead.
        self._lag.observe(max(0.0, lag))

    def passed(self, seconds: float, *, whole: bool) -> None:
        self._passes.labels("full" if whole else "partial").observe(seconds)

    def acted(self, action: str, seconds: float, *, failed: bool) -> None:
        self._actions.labels(action, "failed" if failed else "done").observe(seconds)

    def raced(self, *, won: bool) -> None:
        self._races.labels("won" if won else "lost").inc()

    def retrying(self) -> None:
        self._retries.inc()

    def answered(self, uplink: str) -> None:
        self._answers.labels(uplink).inc()

    def tallied(self, tally: Tally) -> None:
        self._tally.tally = tally
