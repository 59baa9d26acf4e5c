"""The log of a shop without Kafka: orders are written to files that a replay reads, and counted from there.

A record is in the log, synced, before it is counted. What a crash leaves uncounted is counted when the log is opened
next, by the replay of its files that anybody could run. So the state is a function of the log here as well, and the
commit that counts records says up to which row of which file.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np
import pyarrow as pa

from producers.errors import LogError
from producers.fields import FieldReader
from producers.log_format import LogFormat
from producers.logs.chunks import Content
from producers.logs.grouping import LogBatch, reject_line
from producers.logs.plain_json import RECORD
from producers.logs.reading import open_format
from producers.logs.survey import RowDigest
from producers.orders import DAY_MS, ERASE, compacted
from producers.orders import RECORD as WHOLE_RECORD
from producers.values import as_text
from producers.wire import OrderDecoder, decode_alone, encode_order
from state.errors import StorageFailed
from state.private_files import append_privately, private_directory
from streams.engine.events import events_read, split
from streams.offline.erasures import Erasures
from streams.offline.known_logs import Planned, known_logs
from streams.offline.reject_reasons import NOT_HELD_REASON
from streams.offline.rejects import POSTED, Reject, RejectsFile, reject_id, rejects_of
from streams.offline.replay import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt

    from producers.orders import Orders
    from streams.engine.embedded import Embedded
    from streams.offline.known_logs import KnownLog

LARGEST_FILE_BYTES = 64 << 20
"""Then another one is begun: a log that is opened reads its last file."""
_MOST_REFUSED = 4096
_ROWS_APART = 5000
_BLOCK_BYTES = 1 << 20
_FORMAT = LogFormat(container="jsonl", order="as-it-stands")
_SETTINGS = {"order": "as-it-stands"}


class LogFull(OSError):
    """Records could not be written, none of them is in the log, and nothing was counted."""


class OrderLog:
    """Files of orders beside a state, to which this process alone appends, and the state that counts them.

    Args:
        embedded: the state, open to be written.
        state_dir: its directory, where rejected lines are kept.
        directory: of the log; created if missing.
        file_bytes: about how large a file becomes.

    Raises:
        LogError: another process writes to it, or what is in it is not what was counted of it.
    """

    def __init__(
        self, embedded: Embedded, state_dir: Path, directory: Path, file_bytes: int = LARGEST_FILE_BYTES
    ) -> None:
        self.directory = directory
        self._embedded = embedded
        self._format = replace(_FORMAT, **events_read(embedded.settings))
        self._state_dir = state_dir
        self._file_bytes = file_bytes
        self._rejects = RejectsFile(state_dir / "rejected.jsonl")
        self._refused: set[str] = set()
        self._erasures = Erasures(embedded.histories.documents)
        private_directory(directory)
        append_privately(directory / ".lock", b"")
        self._lock = (directory / ".lock").open("rb")
        try:
            self._take()
            self._recover()
        except BaseException:
            self._lock.close()
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LogError(f"{self.directory} is being written by another process: name another --log") from None

    def _recover(self) -> None:
        """Count what is in the log and not counted yet."""
        files = sorted(self.directory.glob("*.jsonl"))
        if files:
            _cut_unfinished(files[-1])
            self._replay([path for path in files if path.stat().st_size])
        self._open(files[-1] if files else self.directory / "00001.jsonl")

    def _replay(self, files: Sequence[Path]) -> None:
        replay(self._embedded, files, _SETTINGS, commit_lines=5000, rejects=self._rejects.path)

    def _open(self, path: Path) -> None:
        """Go on with a file, which may be new."""
        self.path = path
        append_privately(path, b"")
        _sync_directory(self.directory)
        self._known: tuple[str, KnownLog] | None = None
        self._digest = RowDigest()
        self._rows = 0
        for content in open_format(path, _FORMAT).contents():
            self._digest.update((content,), content.end)
            self._rows = content.end
        shown = str(path.absolute())
        for name, known in known_logs(self._embedded.histories.documents).items():
            if known.path == shown:
                self._known = name, known

    @property
    def offset(self) -> int:
        """Log position of the state, up to which orders are counted."""
        return self._embedded.purchases_offset

    @staticmethod
    def prepare(record: bytes) -> bytes:
        """As `as_record`."""
        return as_record(record)

    def append(self, records: Sequence[bytes]) -> None:
        """Write records, as of `as_record`; they are on the disk when this returns. It may run in a thread.

        Raises:
            LogFull: they cannot be written.
            StorageFailed: nobody knows whether they are on the disk. They may be counted when the log is opened next.
        """
        if self.path.stat().st_size >= self._file_bytes:
            self._open(self.directory / f"{int(self.path.stem) + 1:05}.jsonl")
        begin = self.path.stat().st_size
        with self.path.open("ab", buffering=0) as file:
            try:
                _write_all(file.fileno(), b"".join(record + b"\n" for record in records))
            except OSError as error:
                os.ftruncate(file.fileno(), begin)
                raise LogFull(f"{self.path} cannot be written to: {error.strerror}; nothing was counted") from error
            try:
                os.fsync(file.fileno())
            except OSError as error:
                raise StorageFailed(f"{self.path} cannot be synced: {error.strerror}") from error

    def count(self, records: Sequence[bytes]) -> Orders:
        """Count records that were just appended, and return what they say but for events that are kept."""
        end = self._rows + len(records)
        latest_ms = int(time.time() * 1000) + DAY_MS
        orders = OrderDecoder().decode(records, range(self._rows, end), FieldReader(self._format, latest_ms)).orders
        if self._known is None:
            self._replay([self.path])  # it finds out that the state does not know the file, and names it
            self._open(self.path)
        else:
            name, known = self._known
            self._note(name, known, records, latest_ms)
            batch = self._erasures.left_out(LogBatch(orders, [], self._rows, end), lambda _: self._format)
            self._embedded.count(
                batch.orders,
                self._embedded.purchases_offset + len(records),
                documents={name: msgspec.json.encode(known)},
                on_refused=self._writer(name, batch.orders),
            )
            self._rows = end
        for order in np.flatnonzero(orders.kind == ERASE).tolist():
            self._forget(orders.customers[orders.customer[order]])
        return compacted(split(orders)[0])

    def _note(self, name: str, known: KnownLog, records: Sequence[bytes], latest_ms: int) -> None:
        """Note that the file is counted up to the end of some records, as a replay of it would."""
        end = self._rows + len(records)
        content = Content({RECORD: pa.array(records, pa.binary())}, np.arange(self._rows, end), [], end)
        self._digest.update((content,), end)
        found = self.path.stat()
        known.size, known.modified_ns, known.total_rows = found.st_size, found.st_mtime_ns, end
        known.limits[-1:] = [(end, latest_ms)]  # what could be counted before can be counted later
        Planned(self.path, name, self._format, self.path, self._format, known, self._digest).advance(
            self._digest, _ROWS_APART
        )

    def _writer(self, name: str, orders: Orders) -> Callable[[npt.NDArray[np.int64]], None]:
        """Keeps the returns among some orders of which nothing is held."""

        def write(refused: npt.NDArray[np.int64]) -> None:
            lines = [reject_line(orders, line, NOT_HELD_REASON) for line in refused.tolist()]
            placed = [(f"line {line.position + 1:,}", line) for line in lines]
            self._rejects.append(rejects_of(str(self.path), name, self._format, placed))

        return write

    def refuse(self, record: bytes, reason: str) -> None:
        """Keep an order that cannot be counted, for `alsobought replay --retry-rejects`; it is not in the log."""
        text = as_text(record)
        found = reject_id(POSTED, text)
        if found in self._refused:  # a client that tries again and again
            return
        if len(self._refused) >= _MOST_REFUSED:
            self._refused.clear()
        self._refused.add(found)
        self._rejects.append(
            [Reject(file=POSTED, reason=reason, record=text, row=0, log=POSTED, form=WHOLE_RECORD, id=found)]
        )

    def _forget(self, customer_id: str) -> None:
        """Drop the rejected lines of a customer who is erased."""
        for path in self._state_dir.glob("rejected*.jsonl"):
            RejectsFile(path).forget(customer_id)

    def close(self) -> None:
        """Let other processes write to the log."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def as_record(record: bytes) -> bytes:
    """An order as a line of the log: what is counted of it, written so that any reading of the file agrees.

    >>> as_record(b'{"customer_id": "ann", "timestamp": "2017-01-01", "item_id": 7, "email": "ann@shop.example"}')
    b'{"customer_id":"ann","timestamp":1483228800000,"lines":[{"item_id":"7"}]}'
    """
    (orders, _, _), log_format = decode_alone(record)
    order_id = OrderDecoder().structure(record).order_id
    reader = FieldReader()
    lines = zip([orders.items[item] for item in orders.item.tolist()], orders.quantity.tolist(), strict=True)
    return encode_order(
        orders.customers[0],
        int(orders.time[0]),
        lines,
        order_id=None if reader.is_missing("order_id", order_id) else reader.id("order_id", order_id),
        kind=int(orders.kind[0]),
        log_format=log_format,
    )


def _cut_unfinished(path: Path) -> None:
    """Cut off a last record that was not written to its end, of which nobody was told that it is in the log."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(end - _BLOCK_BYTES, 0)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        file.truncate(end)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _sync_directory(path: Path) -> None:
    """Have the names of its files on the disk, too."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
