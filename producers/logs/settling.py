"""How a log is read that was not read before: settled before anything of it is counted, or asked."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from producers.arrays import present
from producers.errors import LogError, Undecided
from producers.fields import FieldReader
from producers.log_format import LogFormat, with_settings
from producers.logs.reading import open_format, plain_format
from producers.logs.survey import Survey, WrongEncoding, survey
from producers.timestamps import LATEST_MS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from producers.logs.inspection.profiles import Profile

FIRST_ROWS = 1000
LATEST_PLAIN_MS = 4_102_444_800_000
"""The year 2100: later times of a plain log are in another notation, such as 20230115101112."""
_EVENT_NAMES = re.compile(r"event|action|activity|behavio|interaction", re.IGNORECASE)


def settle_format(
    path: Path, settings: Mapping[str, Any], profile: Profile | None = None
) -> tuple[LogFormat, list[str], list[str]]:
    """How a log is read that was not read before, what was assumed, and what a person should know.

    Raises:
        LogError: it cannot be read.
        Undecided: only the user can tell how.
    """
    from producers.logs.inspection.inspection import inspect  # noqa: PLC0415 - plain logs do without

    plain = None if profile is not None else _plain(path, settings)
    if plain is not None:
        return plain, [], []
    found = inspect(path, settings, profile)
    if found.question is not None:
        raise Undecided(f"{found.question}; nothing was counted")
    if found.unconfirmed or found.log_format is None:
        options = shlex.join(found.options)
        said = "; ".join(found.assumed)
        raise Undecided(
            f"{path}: {said or 'its columns have other names'}. If that is right, add {options}; nothing was counted. "
            f"`alsobought inspect {shlex.quote(str(path))}` shows more"
        )
    return replace(found.log_format, number_columns=()), found.assumed, found.warnings


def settle_and_check(
    path: Path, settings: Mapping[str, Any], profile: Profile | None = None
) -> tuple[LogFormat, list[str], list[str]]:
    """The same as `settle_format`, after a look at all of the log.

    Raises:
        LogError: it cannot be read, or is not in order.
        Undecided: only the user can tell how it is read.
    """
    if not path.exists():
        raise LogError(f"{path} cannot be read: No such file or directory")
    if settings.get("order") == "sort":
        raise LogError("--sort needs --state-dir: what is on a topic already cannot be put in order")
    log_format, assumed, warnings = settle_format(path, settings, profile)
    _, log_format = look_at_all(path, log_format, settings, LATEST_MS, set(), assumed)
    return log_format, assumed, warnings


def _plain(path: Path, settings: Mapping[str, Any]) -> LogFormat | None:
    """The format of a log that is what its name says, of which the first rows leave no question; None of others."""
    try:
        columns = {name: paths[0] for name, paths in settings.get("columns", {}).items()}
        log_format = with_settings(plain_format(path, {}), {**settings, "columns": settings.get("columns", {})})
        if any("+" in column for column in columns.values()):
            return None
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
            _, _, rejected = log.read(content.cut(0, FIRST_ROWS), reader)
            first = [line for line in [*rejected, *content.rejected] if line.position < FIRST_ROWS]
            rows = min(content.end, FIRST_ROWS)
            times = content.columns.get("timestamp")
            if len(first) > rows / 2 or (times is not None and not present(times).any()):
                return None
    except (LogError, OSError):
        return None
    return log_format


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
    from producers.logs.sources import Source  # noqa: PLC0415

    with Source(path, log_format.compression, log_format.member).open() as stream:
        parts: list[bytes] = []
        while chunk := stream.read(1 << 20):
            if not chunk.isascii() or not parts:
                parts.append(chunk)
    return encoding_of(path, parts[:32], whole=len(parts) <= 1)
