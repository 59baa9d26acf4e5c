"""Which log a file is: one counted before, perhaps grown since, or another; and how it is read.

A log is known by the digest of every row that was read of it. A file that begins with these rows is the log, and is
counted from where it stood; another file that only begins alike is another log. A log at its old path whose past is no
longer what was counted is an error.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from producers.errors import LogError
from producers.log_format import LogFormat, with_settings
from producers.logs.inspection.profiles import Profile, load_profile
from producers.logs.reading import open_format
from producers.logs.resettling import Resettled, check_past, resettled
from producers.logs.settling import look_at_all
from producers.logs.sorting import sort_log
from producers.logs.survey import Disorder, RowDigest, Survey, WrongEncoding, survey
from streams.offline.known_logs import KnownLog, Planned, counted_limits, known_logs, known_rows, spans_of
from streams.offline.overlaps import check_not_repeated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producers.logs.log_file import LogFile
    from producers.logs.settling import Settler


class LogChanged(LogError):
    """A log is no longer what was counted of it."""


def plan(
    file: LogFile,
    settings: Mapping[str, Any],
    documents: Mapping[str, bytes],
    latest_ms: int,
    scratch: Path,
    settler: Settler,
    *,
    another: bool = False,
) -> Planned | None:
    """Find out which log a file is, look at all of it, and settle how it is read; None if it holds no rows yet.

    Args:
        file: where it is, and what it is called.
        settings: attributes of its format that the user has named.
        documents: what the state keeps about the logs it has counted.
        latest_ms: how late an order can be, if the log's rows have not been seen before.
        scratch: where a sorted copy is written, if one is needed.
        settler: settles how it is read, if it was not read before.
        another: whether a file that differs from what was counted at its path is another log.

    Raises:
        LogError: the file cannot be read so, is not in order, or its past has changed.
        Undecided: only the user can say how it is read.
    """
    path, profile = file.path, settler.profile
    known = known_logs(documents)
    same = [name for name, one in known.items() if one.path == file.name != ""]
    for name in reversed(same):
        if is_unchanged(file, known[name]):
            log_format = _agreed(path, known[name], settings)
            settler.remember(file, log_format)
            return Planned(
                path, name, log_format, path, log_format, known[name], RowDigest(), unchanged=True, shown=file.shown
            )
    for name in reversed(same):
        try:
            planned = _same_path(path, name, known[name], settings, profile, latest_ms, scratch)
        except LogChanged:
            if not another:
                raise
            planned = None
        if planned is not None:
            settler.remember(file, planned.log_format)
            return _looked_at(planned, file, latest_ms)
    settled = settler.format_of(file)
    if settled is None:
        return None
    log_format, assumed, warnings = settled
    others = {name: one for name, one in known.items() if name not in same and one.rows}
    rows = {one.rows for one in others.values()}
    found, log_format = look_at_all(path, log_format, settings, latest_ms, rows, assumed)
    source, source_format = _readable(path, log_format, scratch)
    if source != path:
        found = survey(source, source_format, latest_ms, {1, *rows}, any_bytes=True)
    planned = Planned(path, "", log_format, source, source_format, KnownLog(file.name), RowDigest())
    planned.assumed, planned.warnings, planned.unfinished = assumed, warnings, found.unfinished
    grown = _grown(others, found)
    if grown is not None:
        planned.name, planned.known, planned.digest = grown, known[grown], found.digests[known[grown].rows]
        planned.known.path = file.name
        before = replace(LogFormat.from_settings(planned.known.settled), order=log_format.order)
        if log_format not in (before, replace(before, order="sort")):
            check_past(path, before, log_format, planned.counted())
    planned.first = found.digests[1].hexdigest() if 1 in found.digests else ""
    planned.known.oldest_ms, planned.known.newest_ms = found.oldest_ms, found.newest_ms
    planned.known.total_rows = found.rows
    planned.known.given, planned.known.profile = dict(settings), profile.name if profile else None
    planned.is_new, planned.order_ids = grown is None, found.order_ids
    if planned.is_new:
        if not another:
            check_not_repeated(path, planned.known.span, spans_of(known[name] for name in same))
        planned.warn_of_overlap(known.values())
    return _looked_at(planned, file, latest_ms)


def is_unchanged(file: LogFile, known: KnownLog) -> bool:
    """Whether nothing was added to a log, and all of it is counted, as far as its size and its date tell."""
    found = (file.name, file.size, file.modified_ns, known.total_rows)
    return file.modified_ns >= 0 and found == (known.path, known.size, known.modified_ns, known.rows)


def _grown(known: Mapping[str, KnownLog], found: Survey) -> str | None:
    """The name of the longest log with which a file begins, None if there is none.

    One line alone, such as a heartbeat, is no evidence while the log it is from is still there.
    """
    for name, one in sorted(known.items(), key=lambda pair: -pair[1].rows):
        begins = one.rows in found.digests and found.digests[one.rows].hexdigest() == one.digest
        if begins and (one.rows > 1 or found.rows == one.rows or not Path(one.path).exists()):
            return name
    return None


def new_name(documents: Mapping[str, bytes], file: LogFile, first: str, more: int = 0) -> str:
    """A name for a log that is none of those known; it tells the log also from those that other states know.

    Args:
        documents: of the state.
        file: the log.
        first: digest of its first row.
        more: logs that may have a name that is not in the state yet.
    """
    number = len(known_rows(documents)) + 1 + more
    return f"{number:05}-{first[:8]}-{re.sub(r'[^A-Za-z0-9._-]', '-', file.path.name)[-60:]}"


def _looked_at(planned: Planned, file: LogFile, latest_ms: int) -> Planned:
    """The same, with what belongs to rows that are seen for the first time."""
    known = planned.known
    planned.shown = file.shown
    known.size, known.modified_ns = file.size, file.modified_ns
    known.settled = msgspec.json.decode(planned.log_format.to_json())
    seen = known.limits[-1][0] if known.limits else 0
    if known.total_rows > seen:
        known.limits.append((known.total_rows, latest_ms))
    return planned


def _agreed(path: Path, known: KnownLog, settings: Mapping[str, Any]) -> LogFormat:
    """How a log is read that was read before.

    Raises:
        LogError: it is asked for otherwise now.
    """
    settled = LogFormat.from_settings(known.settled)
    asked = with_settings(settled, settings)
    free: dict[str, Any] = {"order": "time", "count_last_line": False}
    if replace(asked, **free) != replace(settled, **free):
        differing = {
            name: value for name, value in asked.differences().items() if value != settled.differences().get(name)
        }
        shown = ", ".join(f"{name.replace('_', ' ')} {value!r}" for name, value in differing.items())
        raise LogError(
            f"{path} was counted up to row {known.rows:,} with another format than is asked for now ({shown}): "
            "name the same options again, or replay it into a new --state-dir"
        )
    return asked


def _same_path(
    path: Path,
    name: str,
    known: KnownLog,
    settings: Mapping[str, Any],
    profile: Profile | None,
    latest_ms: int,
    scratch: Path,
) -> Planned | None:
    """The log at a path where one was counted before; None if it is another one from its first row on.

    Raises:
        LogError: its past has changed, it is shorter, or a later line contradicts what was settled.
    """
    checked = [1, known.rows, *(rows for rows, _ in known.checkpoints)]
    log_format = LogFormat.from_settings(known.settled)
    log_format = replace(log_format, order=settings.get("order", log_format.order))
    strange = False  # whether a line is not in the encoding that was settled
    try:
        source, source_format = _readable(path, log_format, scratch)
        any_bytes = "encoding" in (settings if known.given is None else {**known.given, **settings})
        try:
            found = survey(source, source_format, latest_ms, checked, any_bytes=any_bytes)
        except (Disorder, WrongEncoding) as error:
            strange = isinstance(error, WrongEncoding)
            loose = replace(source_format, order="as-it-stands")
            found = survey(source, loose, latest_ms, checked, any_bytes=True)
            before = found.digests.get(known.rows)
            if before is not None and before.hexdigest() == known.digest and not strange:
                raise
    except Disorder:
        raise
    except LogError:
        return None
    matched = 0
    for rows, digest in [*known.checkpoints, (known.rows, known.digest)]:
        if rows not in found.digests or found.digests[rows].hexdigest() != digest:
            if not matched:
                return None
            log = open_format(source, source_format)
            if rows not in found.digests and found.rows < known.rows:
                raise LogChanged(
                    f"{path} has {found.rows:,} rows; {known.rows:,} of it are counted: it has become shorter, or is "
                    "another log. Fetch it again; if it is another log, add --another-log; to count what it is now, "
                    "replay it into a new --state-dir"
                )
            raise LogChanged(
                f"{path} has changed since it was counted, between {log.place(matched)} and {log.place(rows - 1)}: "
                "counting on would skip or repeat lines. Restore the file, or replay it into a new --state-dir; "
                "if it is another log that begins alike, add --another-log"
            )
        matched = rows
    log_format = _agreed(path, known, settings)
    _check_numbers(path, log_format, found, known)
    newer = _newer(path, log_format, known, settings, profile, found, strange=strange)
    assumed: list[str] = []
    if newer is not None:
        log_format = source_format = newer.log_format
        found, assumed = newer.found, newer.assumed
        known.digest = found.digests[known.rows].hexdigest()
        known.checkpoints = [(rows, found.digests[rows].hexdigest()) for rows, _ in known.checkpoints]
    known.total_rows = found.rows
    known.newest_ms = found.newest_ms
    past = found.digests.get(known.rows, RowDigest())
    if source == path:
        source_format = log_format
    return Planned(
        path, name, log_format, source, source_format, known, past, assumed=assumed, unfinished=found.unfinished
    )


def _newer(
    path: Path,
    log_format: LogFormat,
    known: KnownLog,
    settings: Mapping[str, Any],
    profile: Profile | None,
    found: Survey,
    *,
    strange: bool,
) -> Resettled | None:
    """How a log that has grown is read, if that is otherwise than was settled.

    Raises:
        LogError: as `resettled`.
    """
    if known.given is None or log_format.order == "sort":
        return None
    given = {**known.given, **settings}
    if log_format.constants:
        given["constants"] = log_format.constants
    if columns := {**known.given.get("columns", {}), **settings.get("columns", {})}:
        given["columns"] = columns
    try:
        profile = profile or (load_profile(known.profile) if known.profile else None)
    except LogError:
        return None  # its file is gone, and what it said is settled
    return resettled(path, log_format, given, profile, found, counted_limits(known), strange=strange)


def _readable(path: Path, log_format: LogFormat, scratch: Path) -> tuple[Path, LogFormat]:
    """Where a log's rows are read, and how: a sorted copy if that is asked for."""
    if log_format.order != "sort":
        return path, log_format
    return sort_log(path, log_format, scratch)


def _check_numbers(path: Path, log_format: LogFormat, found: Survey, known: KnownLog) -> None:
    """Check that later lines hold numbers where all before them did, if that made a difference.

    Raises:
        LogError: one does not.
    """
    for name in log_format.number_columns:
        if name in found.first_texts and found.first_texts[name] >= known.rows:
            place = open_format(path, log_format).place(found.first_texts[name])
            raise LogError(
                f"{path} {place}: {name} is no number, as all before it were, so that 17.0 was counted as 17: "
                "replay the log into a new --state-dir"
            )
