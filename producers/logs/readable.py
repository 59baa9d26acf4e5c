"""Logs as they are read without a state: found, settled and looked at, before anything is made of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from producers.logs.log_file import as_spoken
from producers.logs.settling import Settler, look_at_all
from producers.logs.sorting import sort_log
from producers.logs.survey import Disorder
from producers.orders import DAY_MS
from producers.timestamps import LATEST_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from producers.log_format import LogFormat
    from producers.logs.inspection.profiles import Profile
    from producers.logs.log_file import LogFile


class ReadableLog(NamedTuple):
    """A log that was looked at."""

    path: Path
    """Where its rows are read: the file, or a sorted copy."""
    log_format: LogFormat
    file: LogFile
    notes: list[str]
    """What was assumed, and what a person should know, a sentence each."""


class Span(NamedTuple):
    """From when to when a log goes, in milliseconds since 1970 UTC; None if no line has a time."""

    path: Path
    oldest_ms: int | None
    newest_ms: int | None


def readable_logs(
    files: Sequence[LogFile], settings: Mapping[str, Any], profile: Profile | None, scratch: Path
) -> list[ReadableLog]:
    """Settle how files are read, and look at all of them.

    Args:
        files: that are there, in order.
        settings: attributes of `LogFormat` that are given.
        profile: used where `settings` says nothing.
        scratch: a directory for sorted copies.

    Raises:
        LogError: a file cannot be read, or is not in order of time, by itself or with the others.
        Undecided: only the user can say how one is read.
    """
    settler = Settler(settings, profile, files)
    found: list[tuple[Span, ReadableLog]] = []
    for place, file in enumerate(files):
        settled = settler.format_of(file)
        if settled is None:
            continue
        log_format, assumed, warnings = settled
        survey, log_format = look_at_all(file.path, log_format, settings, LATEST_MS, set(), assumed)
        path = file.path
        if log_format.order == "sort":
            directory = scratch / str(place)
            directory.mkdir(exist_ok=True)
            path, log_format = sort_log(path, log_format, directory)
        notes = [as_spoken(text, [file]) for text in (*assumed, *warnings)]
        found.append((Span(file.path, survey.oldest_ms, survey.newest_ms), ReadableLog(path, log_format, file, notes)))
    settler.check_empty()
    if settings.get("order") == "sort":
        found.sort(key=lambda pair: pair[0].oldest_ms or 0)
    if settings.get("order") != "as-it-stands":
        check_sequence(span for span, _ in found)
    return [log for _, log in found]


def check_sequence(spans: Iterable[Span]) -> None:
    """Check that logs follow one another in time, to a day.

    Raises:
        Disorder: one begins before the end of another that is counted before it.
    """
    before: Path | None = None
    end_ms = 0
    for path, oldest_ms, newest_ms in spans:
        if oldest_ms is None or newest_ms is None:
            continue
        if before is not None and oldest_ms < end_ms - DAY_MS:
            raise Disorder(
                f"{path} begins at {_shown(oldest_ms)}, before the end of {before} at {_shown(end_ms)}: counted so, "
                "returns may come before their purchases, and lists differ from those of all lines in order; nothing "
                "was counted. Name files in the order of their times; `replay --sort` counts the lines of all in "
                "order, and --as-it-stands all files as they are named"
            )
        if before is None or newest_ms > end_ms:
            before, end_ms = path, newest_ms


def _shown(time_ms: int) -> str:
    return str(np.datetime64(time_ms, "ms").astype("datetime64[s]")).replace("T", " ")
