"""The rates of the last hour: differences of counters, whatever opens, closes or stands still meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from streams.endpoint.answers import PartitionStatus, Status
from streams.endpoint.rates import MINUTES, Rates

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGIN_S = 1_700_000_040  # the first second of a minute


def status(lines: int, commits: Mapping[tuple[str, int], int], published: int = 0, lag: int = 0) -> Status:
    """A status with these counters."""
    partitions = [PartitionStatus(kind, number, "w", 0, lag, 0, 0, done) for (kind, number), done in commits.items()]
    return Status(lines, 0, 0, sum(commits.values()), 0, 0, 0, partitions, -1, published=published)


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = float(BEGIN_S)

    def __call__(self) -> float:
        return self.now


def figures(rates: Rates) -> list[tuple[int, int, int]]:
    """Lines, commits and published lists of each minute."""
    return [(row["lines"], row["commits"], row["lists_published"]) for row in rates.entries()]


def test_a_minute_has_what_changed_in_it() -> None:
    clock = Clock()
    rates = Rates(clock)
    items = ("items", 0)

    for after_s, lines, commits, published in ((0, 100, 7, 50), (5, 130, 8, 50), (59, 140, 9, 60), (61, 141, 10, 61)):
        clock.now = BEGIN_S + after_s
        rates.read(status(lines, {items: commits}, published, lag=after_s))

    assert figures(rates) == [(40, 2, 10), (1, 1, 1)]
    assert [row["begin"] for row in rates.entries()] == ["2023-11-14T22:14:00Z", "2023-11-14T22:15:00Z"]
    assert [row["lag"] for row in rates.entries()] == [59, 61]


def test_a_partition_that_is_opened_brings_its_past_but_no_work() -> None:
    """Otherwise each rebalance would show as a million lines in a minute."""
    rates = Rates(Clock())

    rates.read(status(0, {}))
    rates.read(status(1_000_000, {("items", 1): 500}))
    rates.read(status(1_000_010, {("items", 1): 501, ("purchases", 0): 900}))
    rates.read(status(400, {("purchases", 0): 903}))  # the lines are those that the process counted itself

    assert figures(rates) == [(10, 4, 0)]


def test_an_hour_is_kept_and_no_more() -> None:
    clock = Clock()
    rates = Rates(clock)
    for minute in range(2 * MINUTES):
        clock.now = BEGIN_S + 60 * minute
        rates.read(status(minute, {("items", 0): minute}))
    assert len(rates.entries()) == MINUTES

    clock.now += 30 * 60  # a machine that slept
    rates.read(status(500, {("items", 0): 500}))
    assert len(rates.entries()) == MINUTES // 2 + 1
    clock.now -= 3600  # a clock that is set back
    rates.read(status(501, {("items", 0): 501}))

    assert len(rates.entries()) == MINUTES // 2 + 1
    assert figures(rates)[-1] == (382, 382, 0)


def test_an_application_reads_while_it_runs() -> None:
    rates = Rates()

    async def run() -> None:
        read = asyncio.Event()

        def now() -> Status:
            read.set()
            return status(1, {})

        app = web.Application()
        app.cleanup_ctx.append(rates.reading(now))
        runner = web.AppRunner(app)
        await runner.setup()
        async with asyncio.timeout(60):
            await read.wait()
        await runner.cleanup()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
