"""The owner of all partitions where the broker cannot be asked."""

from __future__ import annotations

import asyncio

from streams.workers.cluster.owners import SoleOwner, StagePartition


def test_the_only_worker_owns_every_partition() -> None:
    async def asked() -> None:
        owner = SoleOwner("127.0.0.1:6066", purchases=2, items=1)
        owner.forget()
        assert await owner.of(StagePartition("ingest", 1)) == "127.0.0.1:6066"
        assert await owner.of(StagePartition("tally", 1)) is None
        assert (await owner.of_all()).keys() == {("ingest", 0), ("ingest", 1), ("tally", 0)}
        await owner.close()

    asyncio.run(asked())
