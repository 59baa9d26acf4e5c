"""Both stages under simulated faults: some seeds, and proof that a run notices what is wrong."""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from tests.simulation.__main__ import some_runs
from tests.simulation.run import QUIET, be_quiet, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.workers.ingest import Ingest
    from streams.workers.kafka.reading import TopicReader
    from tests.simulation.broker import Broker

SECONDS = 30 if os.environ.get("CI") else 10
ENOUGH_SEEDS = 60


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in QUIET}
    be_quiet()
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_whatever_goes_wrong_the_end_is_exact() -> None:
    """New seeds each time: a run that fails is repeated with the seed that the message names."""
    seed = time.time_ns() % 1_000_000_000
    end = time.monotonic() + SECONDS
    wrong = ""
    while time.monotonic() < end and not wrong:
        _, _, wrong = some_runs(seed, 1)
        seed += 1

    assert wrong == ""


def test_a_seed_repeats() -> None:
    """Otherwise nobody could look at what went wrong."""
    assert [run(seed) for seed in (1, 2)] == [run(seed) for seed in (1, 2)]


async def _own_offset(_: Ingest, reader: TopicReader, number: int, purchases_offset: int) -> int:
    """Believe that stage B has what the own store has sent."""
    del reader, number
    return purchases_offset


async def _nothing(_: Ingest, reader: TopicReader, number: int, purchases_offset: int) -> int:
    """Believe that stage B has nothing."""
    del reader, number, purchases_offset
    return 0


async def _none_copied(*_: object) -> int:
    """Believe that nothing was copied."""
    return 0


def _same_epoch(broker: Broker, name: str) -> int:
    """Fence nobody."""
    return broker._epochs.setdefault(name, 0)


MISTAKES: dict[str, dict[str, Callable[..., Any]]] = {
    "copies are not looked for": {"streams.workers.copier.Copier._find": _none_copied},
    "nobody is fenced": {
        "tests.simulation.broker.Broker.fence": _same_epoch,
        "tests.simulation.broker.Broker.check": lambda *_: None,
    },
    "the outbox is not sent again": {"streams.workers.ingest.undelivered": lambda *_: []},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_guard_that_is_missing_is_noticed(mistake: str) -> None:
    """Also the rarest of them, within as many seeds as are run in a second or two."""
    with ExitStack() as patches:
        for target, replacement in MISTAKES[mistake].items():
            patches.enter_context(patch(target, replacement))
        _, _, wrong = some_runs(0, ENOUGH_SEEDS)

    assert "Wrong" in wrong


@pytest.mark.parametrize("belief", [_own_offset, _nothing])
def test_a_stage_that_does_not_ask_what_was_delivered_is_caught(belief: Callable[..., Any]) -> None:
    """A simulation that finds nothing in broken code proves nothing about the code that is not."""
    with patch("streams.workers.ingest.Ingest._find_delivered_offset", belief):
        _, _, wrong = some_runs(0, ENOUGH_SEEDS)

    assert "Wrong" in wrong
