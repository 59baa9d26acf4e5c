"""The evaluation of all systems at all cutoffs, with the same customers and targets for each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from evaluation.metrics import NO_CANDIDATE, CustomerMetrics, best_candidates, customer_metrics
from evaluation.outcomes import Outcome
from evaluation.past import past_at
from evaluation.targets import eligible_customers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from evaluation.outcomes import Outcomes
    from evaluation.past import Past
    from evaluation.protocol import Protocol
    from evaluation.purchases import Purchases
    from evaluation.systems.system import Fitted, System
    from evaluation.targets import Eligible, Targets
    from producers.log_format import LogFormat

    Integers = npt.NDArray[np.int64]

_BLOCK = 256


def evaluate(
    purchases: Purchases,
    paths: Sequence[Path],
    formats: Mapping[Path, LogFormat],
    protocol: Protocol,
    cutoffs: Sequence[int],
    systems: Sequence[System],
    outcomes: Outcomes,
    on_start: Callable[[int, str], None] = lambda _, __: None,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Evaluate every system at every cutoff, except where `outcomes` has the result already.

    Args:
        purchases: of the whole log.
        paths: its files, for the engine to replay.
        formats: how files are read that are not plain logs.
        protocol: the same for all.
        cutoffs: milliseconds.
        systems: to evaluate.
        outcomes: where results are stored.
        on_start: called with the cutoff and the system's name before each evaluation.
        on_end: called after each evaluation, also one that was skipped.
    """
    for cutoff in cutoffs:
        missing = [system for system in systems if outcomes.load(cutoff, system.name) is None]
        for _ in range(len(systems) - len(missing)):
            on_end()
        if not missing:
            continue
        on_start(cutoff, "replay")
        past = past_at(cutoff, purchases, paths, formats, protocol)
        try:
            eligible = eligible_customers(past, purchases, protocol)
            for system in missing:
                on_start(cutoff, system.name)
                outcomes.save(cutoff, system.name, outcome_of(past, eligible, protocol, system))
                on_end()
        finally:
            past.states.close()


def outcome_of(past: Past, eligible: Eligible, protocol: Protocol, system: System) -> Outcome:
    """The outcome of one system at one cutoff."""
    started = time.perf_counter()
    fitted = system.fit(past, protocol.seed)
    built = time.perf_counter()
    recommended = recommendations(past, fitted, eligible.rows)
    served = time.perf_counter()
    without_history = recommendations(past, fitted, np.array([past.cold_row]))
    warm = _metrics(recommended, eligible.targets, protocol.at)
    cold = _metrics(np.repeat(without_history, len(eligible.cold.total), axis=0), eligible.cold, protocol.at)
    first = recommended[:, : protocol.at]
    some = first != NO_CANDIDATE
    return Outcome(
        customers=eligible.customers,
        held=np.diff(past.history.start)[eligible.rows],
        hit=warm.hit,
        recall=warm.recall,
        ndcg=warm.ndcg,
        cold_hit=cold.hit,
        cold_recall=cold.recall,
        cold_ndcg=cold.ndcg,
        popularity=(first * some).sum(axis=1) / np.maximum(some.sum(axis=1), 1) / len(past.items),
        coverage=len(np.unique(first[some])) / len(past.items),
        build_seconds=built - started + fitted.shared_seconds,
        serve_seconds=served - built,
        build_lookups=fitted.build_lookups,
        serve_lookups=fitted.serve_lookups,
    )


def recommendations(past: Past, fitted: Fitted, rows: Integers) -> Integers:
    """(n, depth) the candidates that a system recommends to each of n customers, best first."""
    found = [np.zeros((0, past.depth), np.int64)]
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK]
        excluded = np.zeros((len(block), len(past.items)), bool)
        if not past.recommend_held:
            excluded = past.held[block].toarray() > 0
        candidates = best_candidates(fitted.scores(block), excluded, past.depth)
        missing = past.depth - candidates.shape[1]
        found.append(np.pad(candidates, ((0, 0), (0, missing)), constant_values=NO_CANDIDATE))
    return np.concatenate(found)


def _metrics(recommended: Integers, targets: Targets, at: int) -> CustomerMetrics:
    parts = [
        customer_metrics(recommended[here], targets.candidates[here].toarray(), targets.total[here], at)
        for here in (slice(begin, begin + _BLOCK) for begin in range(0, len(recommended), _BLOCK))
    ]
    columns = [np.concatenate([np.zeros(0), *column]) for column in zip(*parts, strict=True)]
    return CustomerMetrics(*columns or [np.zeros(0)] * 3)
