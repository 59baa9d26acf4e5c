"""All systems on one bench: each cutoff, each system, the same customers and targets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from evaluation.metrics import NOTHING, Marks, best, marks
from evaluation.outcomes import Outcome
from evaluation.past import past_at
from evaluation.protocol import exam

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from evaluation.outcomes import Outcomes
    from evaluation.past import Past
    from evaluation.protocol import Exam, Protocol, Targets
    from evaluation.purchases import Purchases
    from evaluation.systems.system import Fitted, System

    Integers = npt.NDArray[np.int64]

_BLOCK = 256


def evaluate(
    purchases: Purchases,
    paths: Sequence[Path],
    columns: Mapping[str, str],
    protocol: Protocol,
    cutoffs: Sequence[int],
    systems: Sequence[System],
    outcomes: Outcomes,
    on_start: Callable[[int, str], None] = lambda _, __: None,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Put every system to the test at every cutoff, leaving out what `outcomes` has already.

    Args:
        purchases: the whole log.
        paths: its files, for the engine to replay.
        columns: field -> column of the files.
        protocol: what is asked.
        cutoffs: milliseconds.
        systems: who is asked.
        outcomes: where the results go.
        on_start: told cutoff and system before each.
        on_end: told after each, the one left out too.
    """
    for cutoff in cutoffs:
        missing = [system for system in systems if outcomes.load(cutoff, system.name) is None]
        for _ in range(len(systems) - len(missing)):
            on_end()
        if not missing:
            continue
        on_start(cutoff, "replay")
        past = past_at(cutoff, purchases, paths, columns, protocol)
        try:
            asked = exam(past, purchases, protocol)
            for system in missing:
                on_start(cutoff, system.name)
                outcomes.save(cutoff, system.name, outcome_of(past, asked, protocol, system))
                on_end()
        finally:
            past.states.close()


def outcome_of(past: Past, asked: Exam, protocol: Protocol, system: System) -> Outcome:
    """The outcome of one system at one cutoff."""
    started = time.perf_counter()
    fitted = system.fit(past, protocol.seed)
    built = time.perf_counter()
    recommended = recommendations(past, fitted, asked.visitors)
    served = time.perf_counter()
    stranger = recommendations(past, fitted, np.array([past.stranger]))
    warm = _marks(recommended, asked.targets, protocol.at)
    cold = _marks(np.repeat(stranger, len(asked.cold.total), axis=0), asked.cold, protocol.at)
    first = recommended[:, : protocol.at]
    some = first != NOTHING
    return Outcome(
        customers=asked.customers,
        held=np.diff(past.history.start)[asked.visitors],
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
    """(n, depth) what a system recommends to each of n customers, best first, as places in the universe."""
    found = [np.zeros((0, past.depth), np.int64)]
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK]
        barred = np.zeros((len(block), len(past.items)), bool)
        if not past.held_too:
            barred = past.held[block].toarray() > 0
        places = best(fitted.scores(block), barred, past.depth)
        found.append(np.pad(places, ((0, 0), (0, past.depth - places.shape[1])), constant_values=NOTHING))
    return np.concatenate(found)


def _marks(recommended: Integers, targets: Targets, at: int) -> Marks:
    parts = [
        marks(recommended[here], targets.wanted[here].toarray(), targets.total[here], at)
        for here in (slice(begin, begin + _BLOCK) for begin in range(0, len(recommended), _BLOCK))
    ]
    return Marks(*[np.concatenate([np.zeros(0), *column]) for column in zip(*parts, strict=True)] or [np.zeros(0)] * 3)
