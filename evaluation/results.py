"""The results of all systems over all cutoffs: means, intervals, costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evaluation.intervals import Bootstrap, Interval
from evaluation.protocol import day_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluation.outcomes import Outcome, Outcomes
    from evaluation.protocol import Protocol

METRICS = ("hit", "recall", "ndcg")
HELD_BOUNDS = (1, 3, 6, 11, 21, 51, 101, 201, 501)
"""The shortest history of each group in the report's plot by history length."""


class MetricResult(NamedTuple):
    """One metric of one system."""

    value: Interval
    difference: Interval
    """From the system that it is compared with, on the same customers."""


class Row(NamedTuple):
    """One system.

    Attributes:
        metrics: metric name -> result, of the customers with history.
        cold: hit rate of the customers without history, None if there are none.
        coverage: share of the universe that is among anyone's first recommendations.
        popularity: mean rank of the first recommendations, as a share of the universe.
        build_seconds: time to fit the system, mean per cutoff.
        visit_ms: time to serve a visitor, in a batch.
        build_lookups: pairs of customers compared to fit the system, mean per cutoff.
        serve_lookups: customers looked up for a visitor.
        by_history: hit rate by history length: (shortest history, customers, rate).
    """

    name: str
    group: str
    metrics: Mapping[str, MetricResult]
    cold: float | None
    coverage: float
    popularity: float
    build_seconds: float
    visit_ms: float
    build_lookups: float
    serve_lookups: int
    by_history: list[tuple[int, int, float]]
    seconds: float


class Results:
    """The rows of all systems, in the order given.

    Args:
        protocol: of the evaluation.
        cutoffs: milliseconds.
        groups: system name -> group.
        outcomes: of every system at every cutoff.
        against: the system that the others are compared with.

    Attributes:
        rows: one for each system.
        customers, cold: number of eligible customers with and without history at each cutoff.
    """

    def __init__(
        self,
        protocol: Protocol,
        cutoffs: Sequence[int],
        groups: Mapping[str, str],
        outcomes: Outcomes,
        against: str,
    ) -> None:
        self.against = against
        self.protocol = protocol
        self.cutoffs = list(cutoffs)
        other = _loaded(outcomes, cutoffs, against)
        bootstrap = Bootstrap([outcome.customers for outcome in other], protocol.seed)
        self.customers = [len(outcome.hit) for outcome in other]
        self.cold = [len(outcome.cold_hit) for outcome in other]
        self.rows = [
            _row(name, group, _loaded(outcomes, cutoffs, name), other, bootstrap) for name, group in groups.items()
        ]

    def metric_name(self, metric: str) -> str:
        """The name of a metric in tables and results.json."""
        return f"hit@{self.protocol.at}" if metric == "hit" else f"{metric}@20"

    def document(self) -> dict[str, Any]:
        """Everything, as results.json has it."""
        return {
            "protocol": {
                **asdict(self.protocol),
                "cutoff_days": [day_text(cutoff) for cutoff in self.cutoffs],
                "customers": self.customers,
                "cold_customers": self.cold,
                "against": self.against,
            },
            "systems": {
                row.name: {
                    **{
                        self.metric_name(metric): {
                            **measure.value._asdict(),
                            "difference": measure.difference._asdict(),
                        }
                        for metric, measure in row.metrics.items()
                    },
                    f"cold hit@{self.protocol.at}": row.cold,
                    "coverage": row.coverage,
                    "seconds": row.seconds,
                    "build_seconds": row.build_seconds,
                    "visit_ms": row.visit_ms,
                    "customer_pairs_compared": row.build_lookups,
                    "customers_per_visit": row.serve_lookups,
                }
                for row in self.rows
            },
        }

    def json(self) -> str:
        """The contents of results.json."""
        return json.dumps(self.document(), indent=2) + "\n"


def _loaded(outcomes: Outcomes, cutoffs: Sequence[int], name: str) -> list[Outcome]:
    found = [outcomes.load(cutoff, name) for cutoff in cutoffs]
    return [outcome for outcome in found if outcome is not None]


def _row(name: str, group: str, found: list[Outcome], other: list[Outcome], bootstrap: Bootstrap) -> Row:
    metrics = {}
    for metric in METRICS:
        values = [getattr(outcome, metric) for outcome in found]
        others = [getattr(outcome, metric) for outcome in other]
        metrics[metric] = MetricResult(bootstrap.interval(values), bootstrap.difference(values, others))
    cold = np.concatenate([outcome.cold_hit for outcome in found])
    return Row(
        name=name,
        group=group,
        metrics=metrics,
        cold=float(cold.mean()) if len(cold) else None,
        coverage=float(np.mean([outcome.coverage for outcome in found])),
        popularity=float(np.mean([outcome.popularity.mean() for outcome in found])),
        build_seconds=float(np.mean([outcome.build_seconds for outcome in found])),
        visit_ms=1000 * sum(outcome.serve_seconds for outcome in found) / sum(len(outcome.hit) for outcome in found),
        build_lookups=float(np.mean([outcome.build_lookups for outcome in found])),
        serve_lookups=found[-1].serve_lookups,
        by_history=_by_history(found),
        seconds=sum(outcome.build_seconds + outcome.serve_seconds for outcome in found),
    )


def _by_history(found: list[Outcome]) -> list[tuple[int, int, float]]:
    held = np.concatenate([outcome.held for outcome in found])
    hit = np.concatenate([outcome.hit for outcome in found])
    group = np.searchsorted(HELD_BOUNDS, held, "right") - 1
    return [
        (bound, int((group == number).sum()), float(hit[group == number].mean()))
        for number, bound in enumerate(HELD_BOUNDS)
        if (group == number).any()
    ]
