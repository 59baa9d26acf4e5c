"""Files of rejected lines: JSON lines that say where a line stands, why it was rejected, and how it was read.

Whoever repairs a line edits its `record`, as text or as a JSON object, and leaves the rest. Its `id` stands for the
line as it was rejected, however it is edited.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec
import xxhash

from producers.errors import LogError, ProducerError
from producers.fields import FieldReader
from producers.log_format import LogFormat
from producers.orders import RECORD, TEXT
from state.private_files import append_privately

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from producers.logs.merging import MergedLog
    from producers.logs.reading import Log
    from producers.orders import Rejection

POSTED = "POST /orders"
"""In place of a log, of orders that were refused when they were sent: they are in no log."""
_BEGIN = b'{"file":'
"""What a line of a rejects file begins with."""


class Reject(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of a file of rejected lines.

    Attributes:
        file: the log.
        place: where the line stands in it, as people find it.
        reason: why it was rejected.
        record: the line; a JSON object, or text that may hold one.
        row: where it stands in the log.
        log: name by which the state knows the log; "" if it was sent to a topic.
        form: how the record is written, as in `Rejection`.
        id: of the line as it was rejected.
        format: how the log is read, as `LogFormat.differences`.
    """

    file: str
    place: str = ""
    reason: str
    record: str | dict[str, Any]
    row: int
    log: str = ""
    form: str = ""
    id: str = ""
    format: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """The record as text."""
        return self.record if isinstance(self.record, str) else msgspec.json.encode(self.record).decode()

    @property
    def names(self) -> dict[str, str]:
        """Field -> its name in the record, where that is another."""
        if self.form != RECORD:
            return {}
        names = {field: columns[0] for field, columns in self.format.get("columns", {}).items()}
        return names if self.format.get("typed", True) or "type" in names else {**names, "type": ""}

    def customer(self) -> str | None:
        """Whose the line is; None if it does not say."""
        try:
            fields = msgspec.json.decode(self.text, type=dict[str, Any])
            value = fields.get(self.names.get("customer_id", "customer_id"))
            return FieldReader(LogFormat.from_settings(self.format)).id("customer_id", value)
        except (ValueError, RecursionError, ProducerError):
            return None


_decoder = msgspec.json.Decoder(Reject)


def rejects_of(
    file: str, log: str, log_format: LogFormat, rejections: Iterable[tuple[str, Rejection]]
) -> Iterator[Reject]:
    """Rejections of a log as lines of a file of rejected lines.

    Args:
        file: the log.
        log: its name: no other log that is counted into the same state, or sent to the same topic, has it.
        log_format: how it is read.
        rejections: each with its place.
    """
    settled = msgspec.json.decode(log_format.to_json())
    seen: Counter[tuple[int, str]] = Counter()
    for place, rejection in rejections:
        position, reason, record = rejection[:3]
        seen[position, record] += 1  # a record may have the same invalid line twice
        yield Reject(
            file=file,
            place=place,
            reason=reason,
            record=record,
            row=position,
            log=log,
            form=rejection.form,
            id=reject_id(log, position, seen[position, record], record),
            format=settled,
        )


def reject_id(*parts: object) -> str:
    """What stands for a rejected line: the same for the same log, row and content.

    >>> reject_id("00001-orders.csv", 7, 1, "{}") == reject_id("00001-orders.csv", 7, 1, "{}")
    True
    """
    return xxhash.xxh3_128_hexdigest("\0".join(map(str, parts)).encode())


class RejectsFile:
    """Rejected lines as JSON lines, each once, however often the replay is interrupted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep_before(self, positions: Mapping[str, int]) -> None:
        """Drop what was written of rows that the state does not stand for: they will be read, and rejected, again.

        Args:
            positions: name of a log -> rows of it that are counted; lines about other logs stay.

        Raises:
            LogError: the file holds something else.
        """
        lines = self.lines()
        rejects = [(line, decoded(line)) for line in lines]
        if not all(reject is not None or _is_cut_off(line) for line, reject in rejects):
            raise LogError(f"{self.path} is not a file of rejected lines: name another one, --rejects FILE")
        kept = [
            line
            for line, reject in rejects
            if reject is not None
            and line.endswith(b"\n")
            and (reject.log not in positions or reject.row < positions[reject.log])
        ]
        if len(kept) < len(lines):
            self._replace(kept)

    def forget(self, customer_id: str) -> None:
        """Drop the rejected lines of a customer, as far as they tell whose they are."""
        if self.path.exists():
            rejects = [(line, decoded(line)) for line in self.lines()]
            self._replace([line for line, reject in rejects if reject is None or not _is_of(reject, customer_id)])

    def lines(self) -> list[bytes]:
        """The lines that there are."""
        return self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []

    def _replace(self, lines: Iterable[bytes]) -> None:
        part = self.path.with_name(f".{self.path.name}.part")
        part.write_bytes(b"".join(lines))
        part.replace(self.path)  # at once: a crash in between must not lose what was kept

    def write(self, log: Log | MergedLog, names: Sequence[str], rejections: Iterable[Rejection]) -> None:
        """Append rejections of a log, or of several that are read as one; each has a name."""
        found = [(log.origin(rejection.position), rejection) for rejection in rejections]
        for number, group in groupby(found, key=lambda pair: pair[0].log):
            some = list(group)
            placed = [(origin.place, rejection._replace(position=origin.row)) for origin, rejection in some]
            self.append(rejects_of(some[0][0].path, names[number], some[0][0].log_format, placed))

    def append(self, rejects: Iterable[Reject]) -> None:
        """Append lines; the file appears with the first one."""
        encoded = [msgspec.json.encode(reject) for reject in rejects]
        if encoded:
            append_privately(self.path, b"\n".join(encoded) + b"\n")


def decoded(line: bytes) -> Reject | None:
    """A line of a file of rejected lines; None if it is none."""
    try:
        return _decoder.decode(line)
    except (ValueError, RecursionError):
        return None


def _is_cut_off(line: bytes) -> bool:
    """Whether a crash may have ended the writing of a line here; its row is not counted then."""
    return not line.endswith(b"\n") and (line.startswith(_BEGIN) or _BEGIN.startswith(line))


def _is_of(reject: Reject, customer_id: str) -> bool:
    """Whether a rejected line is a customer's; a line that is no record is if the id stands in it."""
    if reject.form == TEXT:
        return re.search(rf"(?<!\w){re.escape(customer_id)}(?!\w)", reject.text) is not None
    return reject.customer() == customer_id
