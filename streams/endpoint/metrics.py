"""Metrics of a worker, for Prometheus."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.quality.rates import total

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.core import Metric

    from state.memory import PartUse
    from streams.endpoint.answers import Status
    from streams.quality.prequential import HitCounts

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCIES_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """The content of /metrics: the status of the process, what it takes, and the latency of its answers.

    Args:
        status: returns the current status; called at each scrape.
        version: of this software.
    """

    def __init__(self, status: Callable[[], Status], version: str = "0") -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        built = Gauge(
            "alsobought_build_info", "1, of the software that runs", ["version", "python"], registry=self._registry
        )
        built.labels(version, platform.python_version()).set(1)
        self._latency = Histogram(
            "alsobought_request_seconds",
            "Time to answer a request",
            ["route", "status"],
            buckets=_LATENCIES_S,
            registry=self._registry,
        )
        self._labelled: dict[tuple[str, int], Histogram] = {}
        self._registry.register(_StatusCollector(status))

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        child = self._labelled.get((route, status))
        if child is None:
            child = self._labelled[route, status] = self._latency.labels(route, str(status))
        child.observe(seconds)

    def text(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class _StatusCollector(Collector):
    """The status as metrics."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """The current metrics."""
        status = self._status()
        yield CounterMetricFamily("alsobought_lines", "Order lines read", status.lines)
        yield CounterMetricFamily("alsobought_duplicates", "Order lines ignored as duplicates", status.duplicates)
        yield CounterMetricFamily("alsobought_rejects", "Order lines rejected", status.rejected)
        yield CounterMetricFamily("alsobought_commits", "Commits of this state", status.commits)
        yield GaugeMetricFamily(
            "alsobought_customers",
            "Customers who hold at least one item; with --pairs order, orders that do",
            status.customers,
        )
        yield GaugeMetricFamily("alsobought_items", "Items known", status.items)
        yield GaugeMetricFamily("alsobought_lists", "Related lists published", status.lists)
        yield CounterMetricFamily(
            "alsobought_published_lists", "Related lists published since the start", status.published
        )
        yield from _score_metrics(total(status.hit_counts.values()))
        yield GaugeMetricFamily(
            "alsobought_newest_timestamp_seconds", "Newest purchase", max(status.newest_ms, 0) / 1000
        )
        yield GaugeMetricFamily(
            "alsobought_damaged_stores", "Damaged stores that were set aside and are kept", status.damaged_stores
        )
        if status.snapshot_age_s is not None:
            yield GaugeMetricFamily(
                "alsobought_snapshot_age_seconds",
                "Since the newest snapshot of the store for which that is longest",
                status.snapshot_age_s,
            )
            yield CounterMetricFamily(
                "alsobought_snapshot_failures", "Snapshots that could not be written", status.snapshot_failures
            )
        if status.rekeyed is not None:
            yield from _rekey_metrics(status.rekeyed, status.rekey_lag)
        skipped = CounterMetricFamily(
            "alsobought_skipped_records", "Records skipped as invalid or not written by a worker", labels=["topic"]
        )
        for topic, count in sorted(status.skipped.items()):
            skipped.add_metric([topic], count)
        yield skipped
        types = CounterMetricFamily(
            "alsobought_skipped_events", "Records skipped since their event type is not counted", labels=["type"]
        )
        for name, count in sorted(status.skipped_types.items()):
            types.add_metric([name], count)
        yield types
        lag = GaugeMetricFamily("alsobought_lag_records", "Records waiting to be counted", labels=["kind", "partition"])
        size = GaugeMetricFamily("alsobought_state_bytes", "State on disk", labels=["kind", "partition"])
        age = GaugeMetricFamily(
            "alsobought_refresh_age_seconds",
            "Age of the oldest change that no published list reflects yet",
            labels=["kind", "partition"],
        )
        for partition in status.partitions:
            labels = [partition.kind, str(partition.partition)]
            lag.add_metric(labels, partition.lag)
            size.add_metric(labels, partition.state_bytes)
            age.add_metric(labels, partition.oldest_unpublished_ms / 1000)
        behind = GaugeMetricFamily(
            "alsobought_standby_lag_records",
            "Records that the owner of a partition on standby here has counted, and this worker has not",
            labels=["kind", "partition"],
        )
        for (kind, number), records in status.standby_lag.items():
            behind.add_metric([kind, str(number)], records)
        yield from (lag, size, age, behind)
        yield from _memory_metrics(status.memory)


def _memory_metrics(parts: Mapping[str, PartUse]) -> Iterable[Metric]:
    used = GaugeMetricFamily("alsobought_memory_bytes", "Memory that the stores take", labels=["part"])
    budget = GaugeMetricFamily("alsobought_memory_budget_bytes", "Memory that the stores may take", labels=["part"])
    for part, use in parts.items():
        used.add_metric([part], use.used)
        budget.add_metric([part], use.budget)
    yield from (used, budget)


def _rekey_metrics(records: int, waiting: Mapping[int, int]) -> Iterable[Metric]:
    yield CounterMetricFamily("alsobought_rekeyed_records", "Records of purchases copied by customer", records)
    lag = GaugeMetricFamily("alsobought_rekey_lag_records", "Records waiting to be copied", labels=["partition"])
    for partition, count in sorted(waiting.items()):
        lag.add_metric([str(partition)], count)
    yield lag


def _score_metrics(scored: HitCounts) -> Iterable[Metric]:
    yield CounterMetricFamily("alsobought_scored_orders", "Orders scored before they were counted", scored.orders)
    yield CounterMetricFamily(
        "alsobought_scored_hits", "Scored orders with one of the six items recommended", scored.hits
    )
    yield CounterMetricFamily(
        "alsobought_scored_bestseller_hits",
        "Scored orders with one of the six bestsellers of two weeks",
        scored.bestseller_hits,
    )
