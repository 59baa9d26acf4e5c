"""Counting rejected lines that somebody has repaired, or sending them to a topic, each once.

A line is counted where it is retried, behind everything that is counted already: as an order of its own, or together
with its neighbours in the file if they are lines of the same order. The state keeps the id of each line that was
counted so, in the commit that counts it, so that no line counts twice, however often or however edited it is retried.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from producers.errors import LogError
from producers.event_types import PURCHASES
from producers.fields import FieldReader
from producers.log_format import LogFormat, with_settings
from producers.logs.chunks import Content
from producers.logs.grouping import reject_line
from producers.logs.plain_json import RECORD as ROW
from producers.logs.reading import Log
from producers.orders import DAY_MS, ORDER, Orders, Rejection, concatenated
from producers.wire import OrderDecoder
from streams.engine.events import events_read
from streams.offline.erasures import Erasures
from streams.offline.known_logs import known_rows
from streams.offline.reject_reasons import NOT_HELD_REASON
from streams.offline.rejects import POSTED, Reject, RejectsFile, decoded, reject_id
from streams.offline.windows import commits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from producers.arrays import Mask
    from producers.logs.grouping import LogBatch
    from streams.engine.embedded import Embedded

RETRIED = "retried/"
"""What the name of a document begins with that says that a rejected line was counted; its id follows."""
_ROWS_AT_ONCE = 4096
_NOT_UTF8 = re.compile(rb"\\x[89a-f][0-9a-f]")
_NOT_UTF8_REASON = "holds bytes that are not UTF-8, shown as \\xe9: write the characters that they stand for"
_no_orders = OrderDecoder().decode([], [], FieldReader()).orders
_NOT_A_REJECT = "is not a rejected line: JSON with its fields, of which only record is to be edited"
NO_PURCHASE = "is no purchase, or of an item that is left out"
_OF_FIELDS = {
    "timestamp_format", "timezone", "start", "purchases", "returns", "negative_is_return", "quantity_units", "missing",
    "guests", "excluded_items",
}  # fmt: skip
"""Attributes of a format that say what fields mean."""


@dataclass(slots=True)
class Retried:
    """What became of rejected lines.

    Attributes:
        lines: order lines counted, or recognised as duplicates.
        left: lines that are still wrong.
        skipped: lines of the file, from 1, that were not looked at, and why.
    """

    lines: int = 0
    left: int = 0
    skipped: list[tuple[int, str]] = field(default_factory=list)


class RepairedLines:
    """Rejected lines as the rows of a log, each to be read as it would have been where it stands.

    Args:
        rejects: the lines.
        settings: attributes of their logs' formats to set otherwise.
        latest_ms: the latest time an order can have.

    Attributes:
        counted: which of the lines read so far are orders.

    Raises:
        LogError: there is no such attribute or value.
    """

    rows_total: int | None
    names: list[str]
    unfinished = False

    def __init__(
        self, rejects: Sequence[Reject], settings: Mapping[str, Any], events: Mapping[str, Any], latest_ms: int
    ) -> None:
        self._rejects = rejects
        self._settings = settings
        self._events = {"events": PURCHASES, "seeds": (), **events}
        self._latest_ms = latest_ms
        self.rows_total = len(rejects)
        self.names = []
        self.fraction = 0.0
        self.counted: set[int] = set()

    def place(self, position: int) -> str:
        """Where the line stands in its log."""
        return self._rejects[position].place

    def contents(self, _start: int = 0, /) -> Iterator[Content]:
        """As `Format` says."""
        for begin in range(0, len(self._rejects), _ROWS_AT_ONCE):
            some = self._rejects[begin : begin + _ROWS_AT_ONCE]
            end = begin + len(some)
            records = pa.array([reject.text.encode() for reject in some], pa.binary())
            self.fraction = end / len(self._rejects)
            yield Content({ROW: records}, np.arange(begin, end), [], end)

    def read(self, content: Content, _: FieldReader) -> tuple[Orders, Mask, list[Rejection]]:
        """As `Format` says, each line by the format of its log."""
        records = dict(zip(content.positions.tolist(), content.columns[ROW].to_pylist(), strict=True))
        rejected = [
            Rejection(place, _NOT_UTF8_REASON, self._rejects[place].text)
            for place, record in records.items()
            if _NOT_UTF8.search(record)
        ]
        orders, flat = _no_orders, [np.zeros(0, bool)]
        left = records.keys() - {rejection.position for rejection in rejected}
        for (form, settled), group in groupby(sorted(left), self._reading):
            reject = Reject(file="", reason="", row=0, record="", form=form, format=msgspec.json.decode(settled))
            asked = self._events if form == ORDER else {**self._settings, **self._events}
            reader = FieldReader(with_settings(LogFormat.from_settings(reject.format), asked), self._latest_ms)
            wanted = list(group)
            found = OrderDecoder(reject.names).decode([records[place] for place in wanted], wanted, reader)
            orders = concatenated(orders, found.orders)
            flat.append(found.flat)
            rejected += found.rejected
        self.counted.update((orders.after - 1).tolist())
        return orders, np.concatenate(flat), sorted(rejected)

    def _reading(self, position: int) -> tuple[str, bytes]:
        """How a line is read."""
        reject = self._rejects[position]
        settled = {} if reject.form == ORDER else reject.format
        return reject.form, msgspec.json.encode(settled)


def retry(
    embedded: Embedded,
    path: Path,
    settings: Mapping[str, Any],
    *,
    commit_lines: int,
    left: Path,
    stop: Callable[[], bool] = lambda: False,
) -> Retried:
    """Count the repaired lines of a file of rejected lines.

    Args:
        embedded: the state, which has counted the logs that the lines are from.
        path: the file.
        settings: attributes of the logs' formats to set otherwise for these lines.
        commit_lines: order lines a commit takes.
        left: where lines are kept that are still wrong.
        stop: asked after each commit whether to stop.

    Raises:
        LogError: the file cannot be read, holds something else, or is `left`.
    """

    def count(commit: Outcome) -> None:
        orders = commit.chunk.orders
        end = embedded.purchases_offset + len(orders.item) + 1
        embedded.count(orders, end, 0, commit.documents, commit.divide)

    unfit = _unfit(embedded.histories.documents)
    return _retried(
        path, settings, events_read(embedded.settings), left, unfit, count, commit_lines=commit_lines, stop=stop
    )


def resend(
    path: Path,
    settings: Mapping[str, Any],
    send: Callable[[Orders, int, list[str]], None],
    flush: Callable[[], None],
    *,
    events: Mapping[str, Any],
    ids: Collection[str],
    logs: Collection[str],
    left: Path,
    stop: Callable[[], bool] = lambda: False,
) -> Retried:
    """Send the repaired lines of a file of rejected lines to the topic that their logs were sent to.

    Args:
        path: the file.
        settings: attributes of the logs' formats to set otherwise for these lines.
        send: sends one of some orders, of lines with these ids.
        flush: returns once all that was sent is there.
        events: which are sent, as attributes of the logs' formats.
        ids: of lines that were sent before.
        logs: names of the logs that were sent.
        left: where lines are kept that are still wrong.
        stop: asked now and then whether to stop.

    Raises:
        LogError: the file cannot be read, holds something else, or is `left`.
    """

    def unfit(reject: Reject) -> str:
        if reject.id in ids:
            return "was sent before"
        return "" if reject.log in logs else f"is of {reject.file}, of which this topic has no order: repair it there"

    def publish(commit: Outcome) -> None:
        commit.divide(np.zeros(0, np.int64))
        orders = commit.chunk.orders
        for order in range(len(orders)):
            lines = orders.position[orders.start[order] : orders.start[order + 1]].tolist()
            send(orders, order, commit.ids_of(lines or [int(orders.after[order]) - 1]))
        flush()

    return _retried(path, settings, events, left, unfit, publish, commit_lines=_ROWS_AT_ONCE, stop=stop)


def _retried(
    path: Path,
    settings: Mapping[str, Any],
    events: Mapping[str, Any],
    left: Path,
    unfit: Callable[[Reject], str],
    take: Callable[[Outcome], None],
    *,
    commit_lines: int,
    stop: Callable[[], bool],
) -> Retried:
    """Have the repaired lines of a file taken, some at a time."""
    if left.resolve() == path.resolve():
        raise LogError(f"what is still wrong in {path} needs a file of its own: name another one, --rejects FILE")
    refuse_others(settings)
    rejects, skipped = load(path, unfit)
    result = Retried(skipped=skipped)
    latest_ms = int(time.time() * 1000) + DAY_MS
    lines = RepairedLines([reject for _, reject in rejects], settings, events, latest_ms)
    kept = RejectsFile(left)
    there = {reject.id for reject in map(decoded, kept.lines()) if reject is not None}
    for batch in Log(path, lines, FieldReader(latest_ms=latest_ms), 0, _ROWS_AT_ONCE):
        for chunk, _ in commits(batch, commit_lines, windows=False):
            commit = Outcome(chunk, rejects, lines.counted, kept, there)
            take(commit)
            result.lines += commit.lines
            result.left += commit.left
            result.skipped += commit.skipped
            if stop():
                return result
    return result


def refuse_others(settings: Mapping[str, Any]) -> None:
    """Check that only such attributes of a format are asked for as say what fields mean, not how a file is read.

    Raises:
        LogError: others are.
    """
    others = sorted(set(settings) - _OF_FIELDS)
    if others:
        names = ", ".join(name.replace("_", " ") for name in others)
        raise LogError(f"rejected lines are not read from their file again, so that {names} cannot be chosen for them")


class Outcome:
    """What becomes of the rejected lines of a commit, known once its returns are looked at, and before it is durable.

    Args:
        chunk: the orders.
        rejects: all lines of the file, each with its number.
        orders: which of them are orders.
        kept: keeps the lines that are still wrong.
        there: ids of the lines that are kept.

    Attributes:
        chunk: the orders.
        documents: to be stored with the commit.
    """

    def __init__(
        self,
        chunk: LogBatch,
        rejects: Sequence[tuple[int, Reject]],
        orders: set[int],
        kept: RejectsFile,
        there: set[str],
    ) -> None:
        self.documents: dict[str, bytes] = {}
        self.lines = 0
        self.left = 0
        self.skipped: list[tuple[int, str]] = []
        self.chunk = chunk
        self._rejects = rejects
        self._orders = orders
        self._kept = kept
        self._there = there

    def divide(self, refused: npt.NDArray[np.int64]) -> None:
        """Note which lines count, and keep the others.

        Args:
            refused: indices of the order lines that return what is not held.
        """
        orders = self.chunk.orders
        wrong = [*self.chunk.rejected, *(reject_line(orders, row, NOT_HELD_REASON) for row in refused.tolist())]
        counted = np.delete(orders.position, refused)
        wrong_whole = {rejection.position for rejection in wrong} - set(counted.tolist())
        stretch = range(self.chunk.begin, self.chunk.end)
        places = {place for place in stretch if place in self._orders} - wrong_whole
        for place in places:
            self.documents[RETRIED + self._rejects[place][1].id] = b""
        seen: Counter[tuple[int, str]] = Counter()
        left: dict[str, Reject] = {}
        for rejection in wrong:
            seen[rejection.position, rejection.record] += 1
            number = seen[rejection.position, rejection.record]
            reject = self._still_wrong(rejection, number, whole=rejection.position not in places)
            left.setdefault(reject.id, reject)
        self._kept.append(reject for reject in left.values() if reject.id not in self._there)
        self._there |= left.keys()
        self.lines, self.left = len(counted), len(left)
        known = places | {rejection.position for rejection in wrong}
        self.skipped = [(self._rejects[place][0], NO_PURCHASE) for place in stretch if place not in known]

    def ids_of(self, places: Iterable[int]) -> list[str]:
        """The ids of some lines, each once."""
        return list(dict.fromkeys(self._rejects[place][1].id for place in places))

    def _still_wrong(self, rejection: Rejection, number: int, *, whole: bool) -> Reject:
        """The line to keep: itself, or what is wrong of it if the rest of it counts."""
        reject = self._rejects[rejection.position][1]
        if whole:
            return msgspec.structs.replace(reject, reason=rejection.reason)
        part = msgspec.structs.replace(
            reject,
            reason=rejection.reason,
            record=rejection.record,
            id=reject_id(reject.id, number, rejection.record),
        )
        return msgspec.structs.replace(part, form=ORDER, format={}) if rejection.form == ORDER else part


def load(path: Path, unfit: Callable[[Reject], str]) -> tuple[list[tuple[int, Reject]], list[tuple[int, str]]]:
    """The lines of a file of rejected lines, each with its number from 1, and those left out with the reason.

    Args:
        path: the file.
        unfit: says why a line is not to be retried; "" if it is.

    Raises:
        LogError: the file cannot be read, or holds something else.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror or error}") from None
    rejects: list[tuple[int, Reject]] = []
    skipped: list[tuple[int, str]] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        reject = decoded(line)
        if reject is None:
            reason = _NOT_A_REJECT
        elif not reject.id:
            reason = "has no id, as an earlier version wrote it: replay its log into a new --state-dir"
        else:
            reason = "stands in the file twice" if reject.id in seen else unfit(reject)
            seen.add(reject.id)
        if reason or reject is None:
            skipped.append((number, reason))
        else:
            rejects.append((number, reject))
    if skipped and not rejects and all(reason == _NOT_A_REJECT for _, reason in skipped):
        raise LogError(f"{path} line {skipped[0][0]} {_NOT_A_REJECT}; nothing was counted")
    return rejects, skipped


def _unfit(documents: Mapping[str, bytes]) -> Callable[[Reject], str]:
    """Says why a line is not counted into a state with these documents; "" if it is."""
    rows = known_rows(documents)
    erasures = Erasures(documents)

    def unfit(reject: Reject) -> str:
        if erasures and (customer := reject.customer()) is not None and erasures.until(customer) >= 0:
            return "is of an erased customer"
        if RETRIED + reject.id in documents:
            return "was counted before"
        if reject.log == POSTED:
            return ""
        if reject.log not in rows:
            return f"is of {reject.file}, which this state has not counted"
        if reject.row >= rows[reject.log]:
            return f"is of a row of {reject.file} that is not counted yet: replay the log first"
        return ""

    return unfit
