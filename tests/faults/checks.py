"""What must hold after a round: stores, lists and rejected records are those that the records of orders say."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from producers.partitioning import item_partition
from state.errors import StateDamaged
from state.recovery import set_aside
from state.settings import CountingSettings
from streams.workers.kafka.purchases import GENERATION, LENGTH, OFFSET, PARTITION, TOPIC
from tests.batch_definition import batch
from tests.faults.world import ITEM_PARTITIONS, PURCHASES
from tests.kafka_truth import differences, newest_counts, newest_histories
from tests.live_workers import ask
from tests.streamed import facts, histories, popularity, rows
from tests.workers import read_topic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.faults.world import World

PAIR_WINDOW = 100
_TRIES = 3


def check(world: World) -> int:
    """Compare everything, once the workers are level.

    Returns:
        How many damaged stores were found, and replaced, only when everything was read.

    Raises:
        AssertionError: something is not what the log says.
    """
    found_damaged = check_stores(world)
    check_lists(world)
    check_rejections(world)
    return found_damaged


def check_stores(world: World) -> int:
    """Compare a snapshot of the workers' stores; a store that only now turns out to be damaged is replaced by them."""
    damaged = 0
    for _ in range(_TRIES):
        taken = whole_snapshot(world)
        try:
            world.truth.check([place.parent for place in taken], world.topics, ITEM_PARTITIONS, PAIR_WINDOW)
        except StateDamaged as error:
            damaged += 1
            replace_damaged(world, error)
            world.until_level()
        else:
            return damaged
    raise AssertionError(f"stores are damaged again and again: {world.snapshots[-1]}")


def whole_snapshot(world: World) -> list[Path]:
    """A snapshot with every partition: one may be open nowhere while the group is rebalancing."""
    every = {f"histories-{number}" for number in range(PURCHASES)}
    every |= {f"counts-{number}" for number in range(ITEM_PARTITIONS)}
    for _ in range(_TRIES):
        with suppress(OSError):  # a worker has just ended, as with a store that it found damaged
            taken = world.snapshot()
            if every <= {store.name for place in taken for store in place.iterdir()}:
                return taken
        world.pause(1)
        world.until_level()
    raise AssertionError(f"some of {sorted(every)} are open at no worker")


def replace_damaged(world: World, error: StateDamaged) -> None:
    """Have the workers replace the stores that an error names, as after an audit: mark them, and start again."""
    for worker in world.wanted:
        worker.kill()
        for path in world.stores_of(worker):
            if f"/{path.name}" in str(error):
                set_aside(path)


def check_lists(world: World) -> None:
    """Compare the last list of each item in its partition with the one computed from the counts."""
    published = {}
    for partition, records in enumerate(read_topic(world.broker.bootstrap, world.topics.related_items)):
        for record in records:
            key = record.key.decode(errors="replace")
            if key in world.truth.lists and item_partition(key, ITEM_PARTITIONS) == partition:
                published[key] = record.value
            else:
                assert key in world.foreign, f"a list of {key!r}, which nobody bought, is in partition {partition}"
    wrong = differences({key: _list_in(value) for key, value in published.items()}, world.truth)
    assert not wrong, f"lists on the topic differ: {wrong}"


def _list_in(value: bytes | None) -> Any:  # noqa: ANN401 - a document
    try:
        return json.loads(value or b"")
    except ValueError:
        return {"related": "not a list"}


def check_rejections(world: World) -> None:
    """Compare the rejected records byte for byte: each must be there once.

    Of one that is kept in part, reason, length and digest depend on how much of it a worker inflates.
    """
    expected = Counter(
        (each.partition, each.key, each.value, _compared(each.headers)) for each in world.truth.rejections
    )
    found = Counter(
        (record.partition, record.key, record.value, _compared(record.headers))
        for records in read_topic(world.broker.bootstrap, world.topics.rejected, committed=True)
        for record in records
        if any(name == OFFSET for name, _ in record.headers)
    )
    assert found == expected, (
        f"rejected records differ: {_some(found - expected)} are too many, {_some(expected - found)} are missing"
    )


def _compared(headers: Iterable[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    """The headers of a rejected record that are compared."""
    headers = tuple(headers)
    if any(name == LENGTH for name, _ in headers):
        return tuple(header for header in headers if header[0] in (TOPIC, PARTITION, OFFSET, GENERATION))
    return headers


def _some(records: Counter[Any]) -> str:
    return f"{records.total()} {sorted(map(repr, records))[:2]}"


def check_catalogue(world: World) -> None:
    """Wait until every worker follows the catalogue."""

    def follow() -> bool:
        try:
            return all(ask(worker, "/items/item-0").document.get("title") == world.title for worker in world.wanted)
        except OSError:
            return False

    world.until("workers show the newest title", follow, timeout_s=30)


def check_definition(world: World, states: list[Path]) -> None:
    """Compare stopped workers' stores with the batch definition, over what was meant when the records were sent."""
    refused = world.truth.refused
    log = []
    for partition, records in world.truth.records.items():
        for record in records:
            order = world.load.meant.get(record.value or b"")
            assert order is not None or (partition, record.offset) in refused, f"what does {record} mean?"
            if order is not None:
                log.append(order)
    expected = facts(batch(log, PAIR_WINDOW), log)
    settings = CountingSettings(PAIR_WINDOW, ITEM_PARTITIONS)
    counts = newest_counts(states, world.topics, settings)
    found: dict[str, Any] = {"histories": {}, "pairs": {}, "exposures": {}, **popularity(counts[0])}
    for customers in newest_histories(states, world.topics, settings):
        found["histories"] |= histories(customers)
        customers.close()
    for store in counts:
        pairs, exposures = rows(store)
        found["pairs"] |= pairs
        found["exposures"] |= exposures
        store.close()
    for name in expected.keys() - {"lines", "rejected"}:  # these also count invalid records
        assert found[name] == expected[name], f"{name} differ from the batch definition"
