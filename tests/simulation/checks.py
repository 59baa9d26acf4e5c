"""What must be there at the end of a run: all that the log says, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from producers.partitioning import customer_partition
from streams.workers.kafka.sources import source_of
from tests.batch_definition import NOT_HELD, batch
from tests.kafka_truth import lists
from tests.streamed import facts, histories, popularity, rows

if TYPE_CHECKING:
    from state.count_store import CountStore
    from tests.simulation.broker import LogRecord
    from tests.simulation.world import World

PATIENCE_S = 300.0


class Wrong(AssertionError):
    """What was counted or published is not what the log says."""


async def until_exact(world: World) -> None:
    """Return when everything is counted and every list is exact, which takes no time without faults.

    Raises:
        Wrong: it is never so.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while not is_exact(world):
        world.check()
        if loop.time() > deadline:
            errors = [repr(computer.last_error) for computer in world.computers]
            raise Wrong(
                f"after {PATIENCE_S:.0f} s without faults lists are not exact; last errors: {', '.join(errors)}"
            )
        await asyncio.sleep(0.5)


def is_exact(world: World) -> bool:
    """Whether every partition is served, everything is counted and delivered, and every list is exact."""
    ingest, tally = world.open_partitions("ingest"), world.open_partitions("tally")
    return (
        len(ingest) == world.log
        and len(tally) == world.items
        and not any(group.wanted for group in world.groups.values())
        and all(
            _is_read(world, world.topics.log, number, partition.store.purchases_offset)
            and not any(True for _ in partition.store.outbox())
            for number, partition in ingest.items()
        )
        and _is_copied(world)
        and all(_is_tallied(world, number, partition) for number, partition in tally.items())
    )


def _is_read(world: World, topic: str, number: int, offset: int) -> bool:
    """Whether a partition has no records from an offset on."""
    end = world.broker.end(topic, number, committed=True)
    return not world.broker.read(topic, number, offset, end, committed=True)


def _is_copied(world: World) -> bool:
    if not world.topics.rekey:
        return True
    copied = world.open_partitions("rekey")
    return len(copied) == world.purchases and all(
        _is_read(world, world.topics.purchases, number, offset) for number, offset in copied.items()
    )


def _is_tallied(world: World, number: int, partition: Any) -> bool:  # noqa: ANN401 - an ItemPartition
    begin = partition.counts.co_purchases_offset
    end = world.broker.end(world.topics.co_purchases, number, committed=False)
    waiting = world.broker.read(world.topics.co_purchases, number, begin, end, committed=False)
    empty = partition.counts.journal.commit == 0
    return not waiting and partition.caught_up and (empty or bool(partition.is_exact()))


def check(world: World) -> None:
    """Counts are those of the batch definition, lists those of the counts; what is invalid is rejected, and once.

    Raises:
        Wrong: they are not.
    """
    tally = world.open_partitions("tally")
    counts: list[CountStore] = [tally[number].counts for number in sorted(tally)]
    _check_copies(world)
    places = [_place(record) for record in world.broker.committed_records(world.topics.log)]
    log = [order for place in places if (order := world.meant[place]) is not None]
    state = batch(log, world.pair_window)
    expected = facts(state, log)
    found: dict[str, Any] = {"histories": {}, "pairs": {}, "exposures": {}, **popularity(counts[0])}
    for partition in world.open_partitions("ingest").values():
        found["histories"] |= histories(partition.store)
    for store in counts:
        pairs, exposures = rows(store)
        found["pairs"] |= pairs
        found["exposures"] |= exposures
    for name in expected.keys() - {"lines", "rejected"}:  # these also count invalid records
        if found[name] != expected[name]:
            raise Wrong(f"{name}: counted {found[name]}, the log says {expected[name]}")
    _check_lists(world, counts)
    _check_rejections(world, {rejected.order for rejected in state.rejected if rejected.reason == NOT_HELD})


def _place(record: LogRecord) -> tuple[int, int]:
    """Where a record that is counted stands in `purchases`."""
    source = source_of(record)
    return (record.partition, record.offset) if source is None else (source.partition, source.offset)


def _check_copies(world: World) -> None:
    """Each record of `purchases` is in the log once, orders with their customer's, those of a partition in order."""
    records = list(world.broker.committed_records(world.topics.log))
    places = [_place(record) for record in records]
    if sorted(places) != sorted(world.meant):
        raise Wrong(f"the log has {places}, orders are {sorted(world.meant)}")
    streams = sorted(  # by both partitions only, so that those of one stay in the order of the log
        ((record.partition, *place) for record, place in zip(records, places, strict=True)), key=lambda each: each[:2]
    )
    if streams != sorted(streams):
        raise Wrong(f"the log has orders of a partition in another order: {places}")
    for record, place in zip(records, places, strict=True):
        order = world.meant[place]
        if order is not None and record.partition != customer_partition(order.customer_id.encode(), world.log):
            raise Wrong(f"{record} is not in its customer's partition")


def _check_lists(world: World, counts: list[CountStore]) -> None:
    published = {
        (record.key or b"").decode(): msgspec.json.decode(record.value or b"{}")["related"]
        for record in world.broker.committed_records(world.topics.related_items)
    }
    computed = {name: msgspec.json.decode(document)["related"] for name, document in lists(counts).items()}
    if published != computed:
        differing = [name for name in computed if published.get(name) != computed[name]]
        raise Wrong(f"lists differ: {differing or sorted(published.keys() - computed.keys())}")


def _check_rejections(world: World, refused: set[int]) -> None:
    wanted = sum(order is None for order in world.meant.values()) + len(refused)
    headers = [dict(record.headers) for record in world.broker.committed_records(world.topics.rejected)]
    found = Counter((each["partition"], each["offset"]) for each in headers)
    if len(found) != wanted or found.total() != wanted:
        raise Wrong(f"{found.total()} records are rejected, {len(found)} different ones; the log has {wanted}")
