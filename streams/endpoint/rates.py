"""What this process did in each minute of the last hour, for the page and for whoever has no Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.engine.documents import timestamp_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

    from streams.endpoint.answers import Status

MINUTES = 60
READ_EVERY_S = 5.0
_MINUTE_S = 60


@dataclass(slots=True)
class _Minute:
    number: int
    """Minutes since 1970."""
    lines: int = 0
    commits: int = 0
    published: int = 0
    lag: int = 0
    oldest_unpublished_ms: int = 0


class _Reading(NamedTuple):
    """Counters of a status."""

    source: tuple[str, int] | None
    """The partition whose lines they are; None: the process counts them itself."""
    lines: int
    commits: dict[tuple[str, int], int]
    published: int


class Rates:
    """The last sixty minutes of a process, from differences of its counters.

    A partition that was opened since the last reading brings the counts of its past with it: those are no work of this
    minute, so what is counted is what changed in the partitions that were open at both readings.

    Args:
        clock: returns seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._minutes: deque[_Minute] = deque(maxlen=MINUTES)
        self._before: _Reading | None = None

    def read(self, status: Status) -> None:
        """Add what changed since the last reading to the minute that it is."""
        minute = self._current_minute()
        now = _reading(status)
        if (before := self._before) is not None:
            if now.source == before.source:
                minute.lines += max(now.lines - before.lines, 0)
            minute.commits += sum(
                max(commits - before.commits[key], 0) for key, commits in now.commits.items() if key in before.commits
            )
            minute.published += max(now.published - before.published, 0)
        minute.lag, minute.oldest_unpublished_ms = status.lag, status.refresh_age_ms
        self._before = now

    def entries(self) -> list[dict[str, Any]]:
        """The minutes, the latest last; those in which nothing was read are missing."""
        return [
            {
                "begin": timestamp_text(minute.number * _MINUTE_S * 1000),
                "lines": minute.lines,
                "commits": minute.commits,
                "lists_published": minute.published,
                "lag": minute.lag,
                "oldest_unpublished_ms": minute.oldest_unpublished_ms,
            }
            for minute in self._minutes
        ]

    def reading(self, status: Callable[[], Status]) -> Callable[[web.Application], AsyncIterator[None]]:
        """A context of an application in which the status is read every few seconds."""

        async def run() -> None:
            while True:
                self.read(status())
                await asyncio.sleep(READ_EVERY_S)

        async def context(_: web.Application) -> AsyncIterator[None]:
            task = asyncio.create_task(run())
            yield
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        return context

    def _current_minute(self) -> _Minute:
        number = int(self._clock() // _MINUTE_S)
        while self._minutes and self._minutes[0].number <= number - MINUTES:
            self._minutes.popleft()
        if not self._minutes or self._minutes[-1].number < number:  # a clock that was set back goes on in the last one
            self._minutes.append(_Minute(number))
        return self._minutes[-1]


def _reading(status: Status) -> _Reading:
    items = [(row.kind, row.partition) for row in status.partitions if row.kind == "items"]
    commits = {(row.kind, row.partition): row.commits for row in status.partitions}
    return _Reading(items[0] if items else None, status.lines, commits, status.published)
