"""What was found in a log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producers.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from producers.log_format import LogFormat


class NoRows(LogError):
    """A file has a header, and nothing below it.

    Args:
        path: the file.
        columns: of the header.
    """

    def __init__(self, path: Path, columns: Sequence[str] = ()) -> None:
        super().__init__(f"{path} holds no rows below its header")
        self.path = path
        self.columns = columns


@dataclass
class Inspection:
    """What was found in a log.

    Attributes:
        path: the file.
        log_format: how it is read; None if only a person can tell.
        what: what the file is, in a few words.
        columns: its columns: name, the field that it is or "", why, and an example.
        assumed: what differs from a plain log, a sentence each.
        warnings: what a person should know before counting.
        question: what only a person can tell.
        options: arguments of `alsobought replay` beside the file and the state directory.
        unconfirmed: whether some option has to be given, since a name or a value might mean something else.
        times: the columns of its times.
        notations: of these, if both day-first and month-first are possible; else empty.
        searched: whether all of it was looked at for these, if need be.
        complete: whether the whole file was looked at.
        rows: that were looked at.
        figures: of these rows, by name: shares from 0 to 1, and counts.
        profile: a profile whose header the log has; "" if there is none.
    """

    path: Path
    log_format: LogFormat | None = None
    what: str = ""
    columns: list[tuple[str, str, str, str]] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    question: str | None = None
    options: list[str] = field(default_factory=list)
    unconfirmed: bool = False
    times: tuple[str, ...] = ()
    notations: list[str] = field(default_factory=list)
    searched: bool = False
    complete: bool = True
    rows: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    profile: str = ""
