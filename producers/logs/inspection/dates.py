"""How the times of a log are written, and whether it is in order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from producers.logs.inspection.roles import filled, time_rank
from producers.logs.shaping import as_text, joined
from producers.logs.tables.opening import open_table
from producers.logs.years import Years, names_no_year
from producers.notations import read_times, readings, reads_all, usual_notations
from producers.orders import DAY_MS
from producers.timestamps import TimestampReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from producers.log_format import LogFormat
    from producers.logs.inspection.findings import Inspection
    from producers.logs.inspection.roles import Roles
    from producers.logs.inspection.samples import Sample


def complete_years(sample: Sample, columns: Sequence[str], start: str | None) -> dict[str, str]:
    """Complete the times of a sample that have no year.

    Args:
        sample: to complete.
        columns: those of the time, as far as the user has said so.
        start: the day of its first line, if the user has said so; else any year does to tell days from months.

    Returns:
        An example of each column that was completed without knowing the year.
    """
    undated = {}
    for column, cells in sample.cells.items():
        if column not in columns and time_rank(column) is None:
            continue
        some = list(dict.fromkeys(filled(cells)))[:1000]
        notation = next((name for name in ("month-name", "day-first") if names_no_year(some, name)), None)
        if notation is None:
            continue
        sample.cells[column] = Years(notation, start or "2000-01-01").complete(pa.array(cells, pa.string())).to_pylist()
        if start is None:
            undated[column] = some[0]
    return undated


def ask_for_year(found: Inspection, columns: Sequence[str], undated: Mapping[str, str]) -> None:
    """Ask for the year of times that name none."""
    example = next((undated[column] for column in columns if column in undated), None)
    if example is not None:
        found.question = found.question or (
            f"{found.path}: '{example}' names no year: say the day of the first line, such as --start 2023-01-05"
        )


def check_notation(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    """How the times are written."""
    if "timestamp" not in roles.columns or "timestamp_format" in settings:
        return
    paths = roles.columns["timestamp"]
    if any(path not in sample.cells for path in paths):
        return
    if len(paths) == 1:
        texts = filled(sample.cells[paths[0]])
    else:
        rows = [" ".join(filled(cells)) for cells in zip(*(sample.cells[path] for path in paths), strict=True)]
        texts = [row for row in rows if row]
    notations = roles.notations or usual_notations(list(dict.fromkeys(texts))[:1000])
    if {"day-first", "month-first"} <= set(notations):
        found.times, found.notations = paths, ["day-first", "month-first"]
        example = next((text for text in texts if len(set(readings(text, ["day-first", "month-first"]))) > 1), texts[0])
        if not (found.complete or found.searched):
            found.warnings.append(
                f"the rows looked at leave open whether the day or the month comes first, as in '{example}': "
                "replay decides by the whole file, or asks"
            )
            return
        day, month = readings(example, ["day-first", "month-first"])
        found.question = found.question or (
            f"{found.path}: is '{example}' {day} (--timestamp-format day-first) "
            f"or {month} (--timestamp-format month-first)?"
        )
        return
    if not notations:
        example = texts[0] if texts else ""
        days = all(re.fullmatch(r"\d{1,5}(\.0)?( .*)?", text) for text in texts[:1000])
        found.question = found.question or (
            f"{found.path}: '{example}' in {' and '.join(paths)} is no date that is known: "
            + (
                "if it counts days, say from which: --timestamp-format days --start 2020-01-01"
                if days
                else "say how it is written, such as --timestamp-format %d/%m/%Y, or name another column with --columns"
            )
        )
        return
    decided["timestamp_format"] = notations[0]
    if notations[0] != "iso":
        example = texts[0]
        times = read_times(pa.array([example]), notations[0]).time.astype("datetime64[ms]").astype("datetime64[s]")
        found.assumed.append(f"'{example}' is {str(times[0]).replace('T00:00:00', '')} ({notations[0]})")
        found.options += ["--timestamp-format", notations[0]]


def fitting_notations(path: Path, table: LogFormat, columns: Sequence[str], notations: Sequence[str]) -> list[str]:
    """The notations that fit all of a file, of those that fit some of it.

    Args:
        path: the file.
        table: how it is divided into rows and columns.
        columns: those of the time.
        notations: to choose from.

    Raises:
        LogError: the file cannot be read.
    """
    left = list(notations)
    years = {name: Years(name, table.start) for name in left if table.start is not None}
    for batch in open_table(path, table).batches(list(dict.fromkeys(columns))):
        texts = as_text(joined([batch.columns[column] for column in columns])).drop_null()
        fitting = [name for name in left if reads_all(years[name].complete(texts) if years else texts, name)]
        left = fitting or left  # a line that fits none is rejected
        if len(left) < 2:
            break
    return left


def check_order(found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any]) -> None:
    """Whether the sample is in order of time, to a day."""
    log_format = found.log_format
    if log_format is None or "order" in settings:
        return
    columns = [sample.cells.get(path, []) for path in roles.columns["timestamp"]]
    if len(columns) == 1:
        texts = pa.array([cell.strip() if cell else None for cell in columns[0]], pa.string())
    else:
        texts = pa.array([" ".join(filled(cells)) or None for cells in zip(*columns, strict=True)], pa.string())
    if log_format.timestamp_format == "iso":
        times, readable = TimestampReader().read_column(texts)
    else:
        times, readable, _ = read_times(texts, log_format.timestamp_format, "UTC", log_format.start)
    times = times[readable]
    if len(times) < 2:
        return
    behind = np.maximum.accumulate(times) - times
    found.figures["out_of_order_share"] = float((behind > DAY_MS).mean())
    if (behind > DAY_MS).any():
        newest_first = bool((np.diff(times) <= 0).all())
        found.assumed.append("the log stands newest first" if newest_first else "the log is not in order of time")
        found.options.append("--sort")
