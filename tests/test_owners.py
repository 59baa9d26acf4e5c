"""Who owns which partition, asked of the broker."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from streams.demo.ports import free_port
from streams.workers.cluster.owners import GroupOwners

if TYPE_CHECKING:
    import pytest


async def ask(owners: GroupOwners, times: int) -> None:
    for _ in range(times):
        owners.forget()  # as after each answer that failed
        assert await owners.of_all() == {}
    await owners.close()


def test_a_broker_that_is_away_is_asked_again_a_second_later_however_many_questions_come(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each question asked it, and each time the log had another line: thousands a second."""
    owners = GroupOwners(f"127.0.0.1:{free_port()}", {"ingest": "alsobought-ingest", "tally": "alsobought-tally.live"})

    with caplog.at_level(logging.WARNING, "streams.workers.cluster.owners"):
        asyncio.run(ask(owners, 20))

    said = [record for record in caplog.records if "owners of partitions are unknown" in record.getMessage()]
    assert 1 <= len(said) < 10
