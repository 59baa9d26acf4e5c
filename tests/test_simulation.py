"""Both stages under simulated faults: some seeds, and proof that a run notices what is wrong."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from tests.simulation.__main__ import some_runs
from tests.simulation.run import QUIET, be_quiet, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.workers.ingest import Ingest
    from streams.workers.kafka.reading import TopicReader

SECONDS = 60 if os.environ.get("CI") else 10
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


@pytest.mark.parametrize("belief", [_own_offset, _nothing])
def test_a_stage_that_does_not_ask_what_was_delivered_is_caught(belief: Callable[..., Any]) -> None:
    """A simulation that finds nothing in broken code proves nothing about the code that is not."""
    with patch("streams.workers.ingest.Ingest._find_delivered_offset", belief):
        _, _, wrong = some_runs(0, ENOUGH_SEEDS)

    assert "Wrong" in wrong
