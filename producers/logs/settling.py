"""How a log is read that was not read before: settled before anything of it is counted, or asked."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from producers.arrays import present
from producers.errors import LogError, Undecided
from producers.fields import FieldReader
from producers.log_format import LogFormat, with_settings
from producers.logs.columns import FIELDS, REQUIRED
from producers.logs.inspection.dates import fitting_notations
from producers.logs.inspection.findings import NoRows
from producers.logs.reading import open_format, plain_format
from producers.logs.sources import READ_ERRORS, Source
from producers.logs.survey import Survey, WrongEncoding, survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from producers.logs.chunks import Format
    from producers.logs.inspection.findings import Inspection
    from producers.logs.inspection.profiles import Profile
    from producers.logs.log_file import LogFile

FIRST_ROWS = 1000
LATEST_PLAIN_MS = 4_102_444_800_000
"""The year 2100: later times of a plain log are in another notation, such as 20230115101112."""
HEAD_BYTES, TAIL_BYTES = 64 << 10, 8 << 10
"""Of a plain CSV file, in which lines that are no rows are looked for."""
LONG_ITEM = 30
"""Characters, on average, above which ids of items are looked at more closely."""
_VIEW = re.compile(
    r"(?:^|(?<=[,\"]))\s*(?:(?:page_?|product_?)?view(?:_?item|ed)?|add[_ ]?to[_ ]?cart)\s*(?=[,\"\r\n]|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""Of a log that is not of purchases alone, a cell that says so."""
_EVENT_NAMES = re.compile(r"event|action|activity|behavio|interaction|stat(?:us|e)", re.IGNORECASE)


class Settled(NamedTuple):
    """How a log is read."""

    log_format: LogFormat
    assumed: list[str]
    """What differs from a plain log, a sentence each."""
    warnings: list[str]
    """What a person should know."""


class Settler:
    """Settles how files are read that were not read before; those found together are read alike.

    Args:
        settings: attributes of `LogFormat` that are given.
        profile: used where `settings` says nothing.
        files: all that are read together.

    Attributes:
        profile: the same.
    """

    def __init__(
        self, settings: Mapping[str, Any], profile: Profile | None = None, files: Sequence[LogFile] = ()
    ) -> None:
        self._settings = settings
        self.profile = profile
        self._files = files
        self._formats: dict[str, LogFormat] = {}
        self._empty: list[tuple[LogFile, NoRows]] = []

    def remember(self, file: LogFile, log_format: LogFormat) -> None:
        """Have the other files that were found with this one read alike."""
        if file.group:
            self._formats.setdefault(file.group, log_format)

    def format_of(self, file: LogFile) -> Settled | None:
        """How a file is read; None if it holds no rows, as jobs write them beside others.

        Raises:
            LogError: it cannot be read, or not as those that were found with it.
            Undecided: only the user can say how.
        """
        alike = self._formats.get(file.group)
        settings = {**self._settings, "constants": file.keys} if file.keys else dict(self._settings)
        if alike is not None:
            columns = {**alike.columns, **self._settings.get("columns", {})}
            settings = {**_meaning(alike), **settings, "columns": columns}
        try:
            settled = settle_format(file.path, settings, self.profile, self._others(file))
        except NoRows as error:
            if not file.group:
                raise
            self._empty.append((file, error))
            return None
        if alike is not None:
            self._check_alike(file, settled.log_format, alike)
        self.remember(file, settled.log_format)
        return settled

    def check_empty(self) -> None:
        """Check that files without rows might be read as those that were found with them, now that these are known.

        Raises:
            LogError: one could not, or there is no other.
        """
        for file, error in self._empty:
            alike = self._formats.get(file.group)
            if alike is None:
                raise error
            there = {*error.columns, *file.keys}
            absent = [path for name in REQUIRED for path in alike.column_of(name) if path not in there]
            if absent and alike.header:
                raise LogError(
                    f"{file.path} holds no rows, and no column {' or '.join(absent)} as the other files of {file.group}"
                )

    def _others(self, file: LogFile) -> list[LogFile]:
        return [other for other in self._files if file.group and other.group == file.group and other.path != file.path]

    def _check_alike(self, file: LogFile, log_format: LogFormat, alike: LogFormat) -> None:
        """Check that a file can be read as those that were found with it.

        Raises:
            LogError: it cannot.
        """
        advice = f"name it by itself, with the options that read it, or keep it out of {file.group}"
        log = open_format(file.path, log_format)
        bad, rows, reason = _bad_rows(log, log_format)
        if bad > rows / 2:
            raise LogError(
                f"{file.path} is not written as the other files of {file.group}: {bad:,} of its first {rows:,} lines "
                f"are bad, most often because: {reason}; {advice}"
            )
        if log_format.timestamp_format in _DAY_OR_MONTH and "timestamp_format" not in self._settings:
            columns = log_format.column_of("timestamp")
            left = fitting_notations(file.path, log_format, columns, _DAY_OR_MONTH)
            if left and alike.timestamp_format not in left:
                raise LogError(
                    f"{file.path} writes its dates {left[0]}, the other files of {file.group} "
                    f"{alike.timestamp_format}; {advice}"
                )


_DAY_OR_MONTH = ("day-first", "month-first")
_MEANING = (
    "timezone", "start", "decimal_mark", "missing", "purchases", "returns", "typed", "negative_is_return",
    "quantity_units", "guests", "fill_down", "item_pattern", "excluded_items", "order", "count_last_line",
)  # fmt: skip
"""Attributes of `LogFormat` that say what values mean, as far as a file may be read by those of another."""


def _meaning(log_format: LogFormat) -> dict[str, Any]:
    """What other files that are read alike are not asked about."""
    found = {name: value for name, value in log_format.differences().items() if name in _MEANING}
    return {**found, "timestamp_format": log_format.timestamp_format}


def settle_format(
    path: Path, settings: Mapping[str, Any], profile: Profile | None = None, others: Sequence[LogFile] = ()
) -> Settled:
    """How a file is read.

    Args:
        path: the file.
        settings: attributes of `LogFormat` that are given.
        profile: used where `settings` says nothing.
        others: files that are read alike, and may tell whether the day or the month comes first.

    Raises:
        NoRows: it holds none.
        LogError: it cannot be read.
        Undecided: only the user can say how.
    """
    plain = None if profile is not None else _plain(path, settings)
    if plain is not None:
        return Settled(plain, [], [])
    found = inspected(path, settings, profile, others)
    if found.question is not None:
        raise Undecided(f"{found.question}; nothing was counted")
    if found.unconfirmed or found.log_format is None:
        options = shlex.join(found.options)
        said = "; ".join(found.assumed)
        raise Undecided(
            f"{path}: {said or 'its columns have other names'}. If that is right, add {options}; nothing was counted. "
            f"`alsobought inspect {shlex.quote(str(path))}` shows more"
        )
    return Settled(replace(found.log_format, number_columns=()), found.assumed, found.warnings)


def inspected(
    path: Path,
    settings: Mapping[str, Any],
    profile: Profile | None = None,
    others: Sequence[LogFile] = (),
    *,
    whole: bool = True,
) -> Inspection:
    """What is found in a file; `others` and `whole` say where else to look which of two notations its dates have.

    Raises:
        NoRows: it holds none.
        LogError: it cannot be read.
    """
    from producers.logs.inspection.inspection import inspect  # noqa: PLC0415 - plain logs do without

    found = inspect(path, settings, profile, whole=whole)
    if found.notations:
        notation, deciding = _decided_by(others, found, settings)
        if notation is not None:
            found = inspect(path, {**settings, "timestamp_format": notation}, profile)
            found.assumed.append(f"dates are {notation}, as {deciding} shows")
            found.options += ["--timestamp-format", notation]
    return found


def _decided_by(
    others: Sequence[LogFile], found: Inspection, settings: Mapping[str, Any]
) -> tuple[str | None, Path | None]:
    """Which of two notations a file is written in, by the first of the others that tells, and that file."""
    from producers.logs.inspection.samples import take_sample  # noqa: PLC0415

    for other in others:
        known = {"constants": other.keys, "start": settings.get("start")}
        table = {**take_sample(other.path, settings).settings, **known}
        left = fitting_notations(other.path, LogFormat.from_settings(table), found.times, found.notations)
        if len(left) == 1:
            return left[0], other.path
    return None, None


def _bad_rows(log: Format, log_format: LogFormat) -> tuple[int, int, str]:
    """How many of the first rows are bad, not for want of a customer, of how many, and most often why."""
    for content in islice(log.contents(), 1):
        part = content.cut(0, FIRST_ROWS)
        orders, _, rejected = log.read(part, FieldReader(log_format, LATEST_PLAIN_MS))
        rejected = [*rejected, *part.rejected]
        bad = [line.reason for line in rejected if line.reason != "customer_id is missing"]
        return len(bad), len(orders.item) + len(rejected), max(bad, key=bad.count, default="")
    return 0, 0, ""


def _plain(path: Path, settings: Mapping[str, Any]) -> LogFormat | None:
    """The format of a log that is what its name says, of which the first rows leave no question; None of others."""
    columns = settings.get("columns", {})
    constants = settings.get("constants", {})
    events = not settings.get("purchases") and any(map(_EVENT_NAMES.search, constants))
    if events or any("+" in path for paths in columns.values() for path in paths):
        return None
    used = {*FIELDS, *(path for paths in columns.values() for path in paths)}
    constants = {name: value for name, value in constants.items() if name in used}
    try:
        log_format = with_settings(plain_format(path, {}), {**settings, "columns": columns, "constants": constants})
        with path.open("rb") as file:
            head = file.read(4)
        magic = {"parquet": b"PAR1", "csv": b"", "jsonl": b"{"}[log_format.container]
        packed = head.startswith(b"\x1f\x8b")
        if packed != (log_format.compression == "gzip") or (not packed and not head.lstrip().startswith(magic)):
            return None
        log = open_format(path, log_format)
        reader = FieldReader(log_format, LATEST_PLAIN_MS)
        if not log_format.purchases and any(map(_EVENT_NAMES.search, log.names)):
            return None
        for content in islice(log.contents(), 1):
            orders, _, rejected = log.read(content.cut(0, FIRST_ROWS), reader)
            first = [line for line in [*rejected, *content.rejected] if line.position < FIRST_ROWS]
            nothing = not len(orders) and reader.types and not log_format.names_events
            lines = len(orders.item) + len(first)
            bad = [line for line in first if line.reason != "customer_id is missing"]
            times = content.columns.get("timestamp")
            timeless = times is not None and not present(times).any()
            if nothing or len(bad) > lines / 2 or timeless or _are_long([orders.items[item] for item in orders.item]):
                return None
        return None if _has_odd_lines(path, log_format, typed="type" in log.names) else log_format
    except (LogError, *READ_ERRORS):
        return None


def _has_odd_lines(path: Path, log_format: LogFormat, *, typed: bool) -> bool:
    """Whether a file seems to hold events other than purchases, comments, totals or its header once more.

    Its beginning is looked at, and the end of a CSV file.

    Args:
        path: the file.
        log_format: how it is read.
        typed: whether it has the field type.
    """
    from producers.logs.inspection.dialect import find_comment, find_footers  # noqa: PLC0415 - it takes a while to load

    events = typed and (log_format.names_events or log_format.container == "jsonl")  # on a topic, others are skipped
    events = events or bool(log_format.purchases)
    if log_format.container == "parquet":
        return not events and any(map(_VIEW.fullmatch, _first_texts(path)))
    source = Source(path, log_format.compression)
    with source.open() as stream:
        text = stream.read(HEAD_BYTES)
        if not events and _VIEW.search(text.decode("utf-8", "replace")):
            return True
        if log_format.container == "jsonl":
            return False
        if log_format.compression == "none" and source.size > HEAD_BYTES:
            stream.seek(max(HEAD_BYTES, source.size - TAIL_BYTES))
            text += b"\n" + stream.read()
    header, *lines = text.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    return bool(find_comment(lines) or find_footers(list(filter(None, lines)), ",", header))


def _first_texts(path: Path) -> set[str]:
    """The texts in the first rows of a Parquet file."""
    with pq.ParquetFile(path) as file:
        names = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        batch = next(file.iter_batches(FIRST_ROWS, columns=names), None) if names else None
    return {cell for column in batch.columns for cell in column.unique().to_pylist() if cell} if batch else set()


def _are_long(items: Sequence[str]) -> bool:
    """Whether ids are so long that they may be lists or titles."""
    return sum(map(len, items)) > LONG_ITEM * len(items)


def look_at_all(
    path: Path,
    log_format: LogFormat,
    settings: Mapping[str, Any],
    latest_ms: int,
    rows: set[int],
    assumed: list[str],
) -> tuple[Survey, LogFormat]:
    """Look at all of a log; what its encoding is, and whether ids are numbers, is settled then."""
    given = "encoding" in settings
    try:
        found = survey(path, log_format, latest_ms, {1, *rows}, any_bytes=given)
    except WrongEncoding:
        if log_format.container == "parquet":
            raise
        log_format = replace(log_format, encoding=_encoding(path, log_format))
        assumed.append(f"its text is {log_format.encoding}")
        found = survey(path, log_format, latest_ms, {1, *rows}, any_bytes=True)
    if not log_format.number_columns and found.number_columns:
        log_format = replace(log_format, number_columns=found.number_columns)
        assumed.append(f"{' and '.join(found.number_columns)} hold whole numbers, so that 17.0 is 17")
    return found, log_format


def _encoding(path: Path, log_format: LogFormat) -> str:
    """The encoding of a text that is not UTF-8.

    Raises:
        Undecided: only the user can tell.
    """
    from producers.logs.inspection.text import encoding_of  # noqa: PLC0415 - plain logs do without

    with Source(path, log_format.compression, log_format.member).open() as stream:
        parts: list[bytes] = []
        while chunk := stream.read(1 << 20):
            if not chunk.isascii() or not parts:
                parts.append(chunk)
    return encoding_of(path, parts[:32], whole=len(parts) <= 1)
