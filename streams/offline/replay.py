"""Replaying log files into a state directory: where each file stands, what was rejected, when to commit."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from producers.errors import LogError
from producers.logs import Log, fingerprint, open_log, same_log
from producers.orders import DAY_MS, Rejection
from streams.offline.windows import commits, whole_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from producers.logs import LogBatch
    from streams.engine.embedded import Embedded
    from streams.quality.prequential import Prequential

_HOPELESS_LINES = 1000
_BEGIN = b'{"file":'
"""What a line of a rejects file begins with."""


@dataclass(slots=True)
class Progress:
    """How far a replay has come; what a person watching wants to know.

    Attributes:
        path: the file being read.
        fraction: how much of it has been read, 0 to 1.
        lines: order lines read in this run, whatever became of them.
        rejected: of those, how many were rejected.
        skipped: lines that were counted before.
        utc_assumed: whether a timestamp without zone was taken for UTC.
        commits_ms: how long each commit took.
    """

    path: Path | None = None
    fraction: float = 0.0
    lines: int = 0
    rejected: int = 0
    skipped: int = 0
    utc_assumed: bool = False
    commits_ms: list[float] = field(default_factory=list)

    def joined(self, later: Progress) -> Progress:
        """This and what a run over the next file came to."""
        return Progress(
            later.path,
            later.fraction,
            self.lines + later.lines,
            self.rejected + later.rejected,
            self.skipped + later.skipped,
            self.utc_assumed or later.utc_assumed,
            self.commits_ms + later.commits_ms,
        )


class RejectsFile:
    """Rejected lines as JSON lines, each once, however often the replay is interrupted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep_before(self, positions: Mapping[str, int]) -> None:
        """Drop what was written of rows that the state does not stand for: they will be read, and rejected, again.

        Args:
            positions: fingerprint of a log -> rows of it that are counted; what is told of other logs stays.

        Raises:
            LogError: the file holds something else.
        """
        if not self._path.exists():
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        if not all(_row(line) or _is_cut_off(line) for line in lines):
            raise LogError(f"{self._path} is not a file of rejected lines: name another one, --rejects FILE")
        kept = [line for line in lines if _counted(line, positions)]
        if len(kept) < len(lines):
            self._replace(kept)

    def forget(self, customer_id: str) -> None:
        """Drop the rejected lines of a customer, as far as they tell whose they are."""
        if not self._path.exists():
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        self._replace([line for line in lines if _customer(line) != customer_id])

    def _replace(self, lines: Iterable[bytes]) -> None:
        part = self._path.with_name(f".{self._path.name}.part")
        part.write_bytes(b"".join(lines))
        part.replace(self._path)  # at once: a crash in between must not lose what was kept

    def write(self, log: Log, digest: str, rejections: Iterable[Rejection]) -> None:
        """Append rejections of a log."""
        encoded = [
            msgspec.json.encode(
                {
                    "file": str(log.path),
                    "place": log.place(rejection.position),
                    "reason": rejection.reason,
                    "record": rejection.record,
                    "row": rejection.position,
                    "log": digest,
                }
            )
            for rejection in rejections
        ]
        if encoded:
            with self._path.open("ab") as file:
                file.write(b"\n".join(encoded) + b"\n")


def write_rejections(path: Path, log: Path, rejections: Iterable[Rejection]) -> None:
    """Append lines of a log that were not sent to a file of rejected lines."""
    encoded = [
        msgspec.json.encode(
            {"file": str(log), "reason": rejection.reason, "record": rejection.record, "row": rejection.position}
        )
        for rejection in rejections
    ]
    if encoded:
        with path.open("ab") as file:
            file.write(b"\n".join(encoded) + b"\n")


def _counted(line: bytes, positions: Mapping[str, int]) -> bool:
    entry = _row(line)
    return entry is not None and line.endswith(b"\n") and (entry[0] not in positions or entry[1] < positions[entry[0]])


def _customer(line: bytes) -> str | None:
    """Whose line it was that a line of a rejects file holds; None if it does not tell."""
    try:
        return str(msgspec.json.decode(msgspec.json.decode(line)["record"])["customer_id"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return None


def _is_cut_off(line: bytes) -> bool:
    """Whether a crash may have ended the writing of a line here; its row is not counted then."""
    return not line.endswith(b"\n") and (line.startswith(_BEGIN) or _BEGIN.startswith(line))


def _row(line: bytes) -> tuple[str, int] | None:
    """The log and the row that a line of a rejects file tells of; None if it is none."""
    try:
        entry = msgspec.json.decode(line)
        return str(entry["log"]), int(entry["row"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return None


def replay(
    embedded: Embedded,
    paths: Iterable[Path],
    columns: Mapping[str, str],
    *,
    commit_lines: int,
    rejects: Path,
    on_commit: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    prequential: Prequential | None = None,
) -> Progress:
    """Count log files from where the state stands with each; a file that was counted before is passed over.

    Args:
        embedded: the state.
        paths: the files, in order.
        columns: field -> column of the files.
        commit_lines: order lines a commit takes; an order is never divided.
        rejects: where rejected lines are kept.
        on_commit: told after each commit.
        stop: asked after each commit whether to stop.
        prequential: scores the orders of the windows of `streams.offline.windows`, before they are counted.

    Raises:
        LogError: a file can't be read; what came before it is counted.
    """
    progress = Progress()
    file = RejectsFile(rejects)
    sources = embedded.histories.sources
    latest_ms = int(time.time() * 1000) + DAY_MS
    for path in paths:
        source = _known(path, sources) or ":".join(map(str, fingerprint(path)))
        digest = source.split(":")[0]
        begin = sources.get(source, 0)
        file.keep_before({digest: begin, **{name.split(":")[0]: rows for name, rows in sources.items()}})
        progress.skipped += begin
        log = open_log(path, columns, begin, latest_ms, max(65_536, commit_lines))
        progress.path, progress.fraction = path, 0.0
        for batch in whole_windows(log) if prequential else log:
            _check_hope(log, batch)
            for stretch, scored in commits(batch, commit_lines, windows=prequential is not None):
                started = time.perf_counter()
                rows = stretch.end - stretch.begin
                not_held = embedded.count(
                    stretch.orders,
                    embedded.purchases_offset + rows,
                    len(stretch.rejected),
                    {source: stretch.end},
                    _writer(file, log, digest, stretch),
                    prequential.score if prequential is not None and scored else lambda *_: {},
                )
                progress.commits_ms.append((time.perf_counter() - started) * 1000)
                progress.lines += len(stretch.orders.item) + len(stretch.rejected)
                progress.rejected += len(stretch.rejected) + len(not_held)
                progress.fraction, progress.utc_assumed = log.fraction, log.utc_assumed
                on_commit(progress)
                if stop():
                    return progress
        progress.fraction = 1.0
    return progress


def _known(path: Path, sources: Mapping[str, int]) -> str | None:
    """The name under which a log is known: that of a file which begins alike."""
    for name in sources:
        digest, _, length = name.partition(":")
        if length.isdigit() and same_log(path, digest, int(length)):
            return name
    return None


def _check_hope(log: Log, batch: LogBatch) -> None:
    """Refuse a log of which most of the first lines are bad.

    Raises:
        LogError: more than half of its first 1,000 lines were rejected.
    """
    if batch.begin > 0 or not batch.rejected:
        return
    head = [rejection for rejection in batch.rejected if rejection.position < _HOPELESS_LINES]
    lines = len(head) + int((batch.orders.position < _HOPELESS_LINES).sum())
    if lines and len(head) > lines / 2:
        reasons = [rejection.reason for rejection in head]
        often = max(set(reasons), key=reasons.count)
        raise LogError(
            f"{log.path}: {len(head)} of the first {lines} lines are bad, the first at {log.place(head[0].position)}, "
            f"most often because: {often}; nothing was counted: is --columns right?"
        )


def _writer(file: RejectsFile, log: Log, digest: str, stretch: LogBatch) -> Callable[[npt.NDArray[np.int64]], None]:
    """Writes what is rejected of a stretch, with the returns refused at the positions that it is told."""

    def write(refused: npt.NDArray[np.int64]) -> None:
        returns = [_not_held(stretch, position) for position in refused.tolist()]
        file.write(log, digest, sorted([*stretch.rejected, *returns]))

    return write


def _not_held(stretch: LogBatch, position: int) -> Rejection:
    """The rejection of a return of something the customer does not hold."""
    orders = stretch.orders
    line = int(np.searchsorted(orders.position, position))
    order = int(np.searchsorted(orders.start, line, "right")) - 1
    record = {
        "customer_id": orders.customers[orders.customer[order]],
        "item_id": orders.items[orders.item[line]],
        "timestamp": int(orders.time[order]),
        "quantity": int(orders.quantity[line]),
        "type": "return",
    }
    return Rejection(position, "return of an item not held", msgspec.json.encode(record).decode())
