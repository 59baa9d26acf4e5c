"""Replaying log files into a state directory: where each file stands, what was rejected, when to commit."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from producers.errors import LogError
from producers.logs.grouping import reject_line
from producers.logs.log_file import Stopped
from producers.orders import DAY_MS
from streams.engine.events import events_read
from streams.offline.counted_logs import CountedLogs, open_planned
from streams.offline.erasures import Erasures
from streams.offline.known_logs import known_rows
from streams.offline.planning import SCRATCH_PREFIX, Plans, clear_scratch
from streams.offline.reject_reasons import NOT_HELD_REASON, kind_of_reason
from streams.offline.rejects import RejectsFile
from streams.offline.windows import commits, whole_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from producers.logs.grouping import LogBatch
    from producers.logs.inspection.profiles import Profile
    from producers.logs.log_file import LogFile
    from producers.logs.merging import MergedLog
    from producers.logs.reading import Log
    from producers.orders import Orders
    from streams.engine.embedded import Embedded
    from streams.offline.known_logs import Planned
    from streams.quality.prequential import Prequential

_HOPELESS_LINES = 1000
BUSY_SHARE = 0.05
NOTED_SHARE = 0.01
"""Of the lines of one batch: those of customers with less are left out of their sums, which are low by at most that."""
BUSY_LINES = 1000


@dataclass(slots=True)
class Progress:
    """How far a replay has come; what a person watching wants to know.

    Attributes:
        shown: what people call the file being read, or the first of several.
        fraction: how much of it has been read, 0 to 1.
        lines: order lines read in this run, whatever became of them.
        rejected: of those, how many were rejected.
        skipped: lines that were counted before.
        done: files that are done.
        together: files that are read now; several if they are sorted.
        files: how many there are.
        fractions: quantities that were fractions, each counted as one piece.
        excluded: lines of items left out, and skipped.
        types: lines that were skipped, by their type, which is not counted.
        erased: lines of erased customers, left out.
        reasons: how many lines were rejected, by reason.
        busy: customers with many of a file's lines, and their shares.
        unfinished: files of which a last line was left that may not be whole yet.
        utc_assumed: whether a timestamp without zone was taken for UTC.
        commits_ms: how long each commit took.
    """

    shown: str = ""
    fraction: float = 0.0
    lines: int = 0
    rejected: int = 0
    skipped: int = 0
    done: int = 0
    together: int = 0
    files: int = 0
    utc_assumed: bool = False
    fractions: int = 0
    excluded: int = 0
    erased: int = 0
    types: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    busy: list[tuple[str, float]] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    commits_ms: list[float] = field(default_factory=list)


def replay(
    embedded: Embedded,
    logs: Iterable[str | Path],
    settings: Mapping[str, Any],
    *,
    commit_lines: int,
    rejects: Path,
    profile: Profile | None = None,
    another: bool = False,
    erasures: Path | None = None,
    on_fetch: Callable[[LogFile, float, int], None] = lambda *_: None,
    on_plan: Callable[[Planned], None] = lambda _: None,
    on_commit: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    prequential: Prequential | None = None,
) -> Progress:
    """Count log files from where the state stands with each.

    Args:
        embedded: the state.
        logs: where they are, as `producers.logs.locations.located` takes it, in order.
        settings: attributes of the files' format, as in `LogFormat`; the others are found by looking at them.
        commit_lines: order lines a commit takes; an order is never divided.
        rejects: where rejected lines are kept.
        profile: a profile that the files are read by.
        erasures: a list of erasures to take over.
        another: whether a file that differs from what was counted at its path is another log.
        on_fetch: told which file is fetched, how much of it, 0 to 1, and how many bytes.
        on_plan: called with each file before it is counted.
        on_commit: called after each commit.
        stop: asked after each commit whether to stop.
        prequential: scores the orders of the windows of `streams.offline.windows`, before they are counted.

    Raises:
        LogError: a file cannot be read, or is not what was counted of it; all are looked at before the first is
            counted. If one turns out damaged, what stands before the damage is counted.
    """
    progress = Progress()
    file = RejectsFile(rejects)
    latest_ms = int(time.time() * 1000) + DAY_MS
    settings = {**settings, **events_read(embedded.settings)}
    histories = embedded.histories
    erased = Erasures(histories.documents)
    if erasures is not None:
        erased.take(erasures, (customer for _, customer in histories.customers.every()))

    clear_scratch(histories.path.parent)
    with TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=histories.path.parent) as scratch:
        plans = Plans(histories, settings, profile, latest_ms, Path(scratch), another=another)
        try:
            plans.make(logs, on_fetch, stop)
        except Stopped:
            return progress
        progress.files = len(plans)
        with plans.spoken_of():
            for planned in plans.in_turn():
                progress.shown, progress.fraction, progress.together = planned[0].shown, 0.0, len(planned)
                for one in planned:
                    progress.skipped += one.known.rows
                    on_plan(one)
                new = [one for one in planned if not one.unchanged]
                if new:
                    log = open_planned(new, latest_ms, max(65_536, commit_lines))
                    file.keep_before({**known_rows(histories.documents), **{one.name: one.known.rows for one in new}})
                    _count(embedded, new, log, progress, file, commit_lines, on_commit, stop, prequential, erased)
                    progress.unfinished += [one.shown for one in new if log.unfinished or one.unfinished]
                progress.fraction = 1.0
                if stop():
                    break
                progress.done, progress.together = progress.done + len(planned), 0
    return progress


def _count(
    embedded: Embedded,
    planned: Sequence[Planned],
    log: Log | MergedLog,
    progress: Progress,
    file: RejectsFile,
    commit_lines: int,
    on_commit: Callable[[Progress], None],
    stop: Callable[[], bool],
    prequential: Prequential | None,
    erasures: Erasures,
) -> None:
    """Count one log, or several that are read as one, from where each stands."""
    counted = CountedLogs(planned, log)
    names = [one.name for one in planned]
    busiest = Busiest()
    fractions, excluded, types = progress.fractions, progress.excluded, progress.types
    batches = (erasures.left_out(batch, lambda position: log.origin(position).log_format) for batch in _hopeful(log))
    for batch in whole_windows(batches) if prequential else batches:
        busiest.look_at(batch.orders)
        for chunk, scored in commits(batch, commit_lines, windows=prequential is not None):
            started = time.perf_counter()
            documents = counted.documents(chunk) | erasures.unstored()
            reasons: list[str] = [rejection.reason for rejection in chunk.rejected]
            not_held = embedded.count(
                chunk.orders,
                embedded.purchases_offset + chunk.end - chunk.begin,
                len(chunk.rejected),
                documents,
                _writer(file, log, names, chunk),
                prequential.score if prequential is not None and scored else lambda *_: {},
            )
            progress.commits_ms.append((time.perf_counter() - started) * 1000)
            progress.lines += len(chunk.orders.item) + len(chunk.rejected)
            progress.rejected += len(chunk.rejected) + len(not_held)
            progress.reasons.update(kind_of_reason(reason) for reason in reasons)
            progress.reasons[NOT_HELD_REASON] += len(not_held)
            progress.fraction, progress.erased = log.fraction, erasures.lines
            progress.utc_assumed |= log.utc_assumed
            progress.fractions, progress.excluded = fractions + log.fractions, excluded + log.excluded
            progress.types = types + log.types
            on_commit(progress)
            if stop():
                return
    progress.busy += busiest.found()


class Busiest:
    """Watches for customers with more than a share of a log's lines: a guest account binds all items together."""

    def __init__(self) -> None:
        self._lines = 0
        self._counts: Counter[str] = Counter()

    def look_at(self, orders: Orders) -> None:
        """Look at some orders."""
        lines = np.bincount(orders.customer, np.diff(orders.start), len(orders.customers))
        self._lines += len(orders.item)
        many = np.flatnonzero(lines > NOTED_SHARE * len(orders.item)).tolist()
        self._counts.update({orders.customers[place]: int(lines[place]) for place in many})

    def found(self) -> list[tuple[str, float]]:
        """The customers, with their shares of the lines."""
        if self._lines < BUSY_LINES:
            return []
        return [
            (name, count / self._lines)
            for name, count in self._counts.most_common()
            if count > BUSY_SHARE * self._lines
        ]


def _hopeful(log: Log | MergedLog) -> Iterator[LogBatch]:
    """The batches of a log, unless most of its first lines are bad; those are looked at before any is counted.

    Raises:
        LogError: most are, or the log is damaged.
    """
    batches, first, damage = iter(log), [], None
    try:
        for batch in batches:
            first.append(batch)
            if batch.end >= _HOPELESS_LINES:
                break
    except LogError as error:
        damage = error
    if damage is None:
        _check_hope(log, first)
    yield from first
    if damage is not None:
        raise damage
    yield from batches


def _check_hope(log: Log | MergedLog, first: Sequence[LogBatch]) -> None:
    """Refuse a log of which most of the first lines are bad.

    Args:
        log: the log.
        first: its first batches, with 1,000 lines or all that there are.

    Raises:
        LogError: more than half of these lines are rejected, and not for want of a customer.
    """
    if not first or first[0].begin > 0:
        return
    bad = [line for batch in first for line in batch.rejected if line.position < _HOPELESS_LINES]
    head = [line for line in bad if line.reason != "customer_id is missing"]
    lines = len(bad) + sum(int((batch.orders.position < _HOPELESS_LINES).sum()) for batch in first)
    if len(head) > lines / 2:
        reasons = [rejection.reason for rejection in head]
        often = max(set(reasons), key=reasons.count)
        raise LogError(
            f"{log.path}: {len(head)} of the first {lines} lines are bad, the first at {log.place(head[0].position)}, "
            f"most often because: {often}; nothing was counted; `alsobought inspect` shows how the file is read"
        )


def _writer(
    file: RejectsFile, log: Log | MergedLog, names: Sequence[str], chunk: LogBatch
) -> Callable[[npt.NDArray[np.int64]], None]:
    """Writes what is rejected of a chunk, with the refused returns among its order lines."""

    def write(refused: npt.NDArray[np.int64]) -> None:
        returns = [reject_line(chunk.orders, line, NOT_HELD_REASON) for line in refused.tolist()]
        file.write(log, names, sorted([*chunk.rejected, *returns]))

    return write
