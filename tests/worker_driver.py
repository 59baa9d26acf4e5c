"""A worker with faults: without one of the parts that make it exact, or dying at a chosen step.

    python -m tests.worker_driver FAULTS worker --broker ... --state-dir ...

FAULTS are names of functions in this module, separated by commas, each perhaps with an argument behind a colon, or
"none". They patch this process only.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from state.history_store import HistoryStore
from state.related_store import RelatedStore
from state.settings import RULES, CountingSettings
from state.store import Store
from streams.commands.kafka import main
from streams.engine import stages
from streams.engine.deltas import unpack_deltas
from streams.workers import commit_records, ingest, standby, tally, warm_up, worker
from streams.workers.kafka import producers
from streams.workers.kafka.co_purchases import PART, DeltaHeaders, read_headers
from streams.workers.kafka.producers import FencedProducer, send_in_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    from state.count_store import CountStore
    from streams.workers.kafka.placement import Placement
    from streams.workers.kafka.producers import OutgoingRecord

MORTAL = True
OFTEN = 0.01  # the chance that a worker of the chaos test dies at a step
SOON = 0.3  # the chance where a test needs a death: of the forty steps of its log, the worker survives a few


def dying(step: Callable[..., Any], share: float, *, before: bool = False) -> Callable[..., Any]:
    """Wrap a step, after or before which the process sometimes dies."""

    def taken(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if before:
            _perhaps_die(share)
        result = step(*args, **kwargs)
        if not before:
            _perhaps_die(share)
        return result

    return taken


def _perhaps_die(share: float) -> None:
    if MORTAL and random.random() < share:  # noqa: S311
        os.kill(os.getpid(), signal.SIGKILL)


def immortal() -> None:
    """Never die."""
    global MORTAL  # noqa: PLW0603
    MORTAL = False


def chaos() -> None:
    """Sometimes die between two steps of a commit."""
    HistoryStore.commit = dying(HistoryStore.commit, OFTEN)  # type: ignore[method-assign]
    HistoryStore.acknowledge = dying(HistoryStore.acknowledge, OFTEN, before=True)  # type: ignore[method-assign]
    RelatedStore.write = dying(RelatedStore.write, OFTEN, before=True)  # type: ignore[method-assign]
    write = FencedProducer.write

    async def taken(self: FencedProducer, *arguments: Any) -> Any:  # noqa: ANN401
        _perhaps_die(OFTEN)
        return await write(self, *arguments)

    FencedProducer.write = taken  # type: ignore[assignment, method-assign]
    setattr(tally, "count_deltas", dying(stages.count_deltas, OFTEN))  # noqa: B010 - a private import of the module


STEPS: dict[str, tuple[Any, str]] = {
    "commit": (HistoryStore, "commit"),
    "send": (producers, "send_in_batches"),
    "end-transaction": (FencedProducer, "write"),
    "acknowledge": (HistoryStore, "acknowledge"),
    "count": (tally, "count_deltas"),
    "store-lists": (RelatedStore, "write"),
}
"""The steps of a worker, in the order of an order's way: where each is."""


def die_at(step: str) -> None:
    """Die `before-` or `after-` one of STEPS, sooner or later."""
    when, _, name = step.partition("-")
    owner, attribute = STEPS[name]
    taken = getattr(owner, attribute)
    if asyncio.iscoroutinefunction(taken):

        async def dying_step(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if when == "before":
                _perhaps_die(SOON)
            result = await taken(*args, **kwargs)
            if when == "after":
                _perhaps_die(SOON)
            return result

        setattr(owner, attribute, dying_step)
    else:
        setattr(owner, attribute, dying(taken, SOON, before=when == "before"))


def die_while_copying(step: str) -> None:
    """Die `before-offset` or `after-offset` is part of a transaction with copies, or `after-commit` of one."""
    send, write = AIOKafkaProducer.send_offsets_to_transaction, FencedProducer.write
    copying = ContextVar("copying", default=False)

    def die(now: str) -> None:
        if now == step and copying.get():
            _perhaps_die(SOON)

    async def sent(*arguments: Any) -> None:  # noqa: ANN401
        die("before-offset")
        await send(*arguments)
        die("after-offset")

    async def written(self: FencedProducer, records: Sequence[OutgoingRecord], *progress: Any) -> Any:  # noqa: ANN401
        copying.set(bool(records and progress))  # the first one of a partition has an offset only
        ends = await write(self, records, *progress)
        die("after-commit")
        return ends

    AIOKafkaProducer.send_offsets_to_transaction = sent
    FencedProducer.write = written  # type: ignore[assignment, method-assign]


def die_before_acknowledging() -> None:
    """Die when deltas are acknowledged, before the outbox entry is deleted."""
    # at the first time: all that was committed meanwhile is sent together, so there may be no second
    HistoryStore.acknowledge = dying(HistoryStore.acknowledge, 1.0, before=True)  # type: ignore[method-assign]


def die_after_commit() -> None:
    """Die when orders are counted, before their deltas are sent."""
    HistoryStore.commit = dying(HistoryStore.commit, SOON)  # type: ignore[method-assign]


def die_within_a_write() -> None:
    """Die when only the first records of a write have arrived, without transactions."""
    send = send_in_batches

    async def taken(producer: Any, records: Iterable[OutgoingRecord]) -> Any:  # noqa: ANN401
        records = list(records)
        if MORTAL and len(records) > 1 and random.random() < 0.2:  # noqa: S311
            await send(producer, records[: random.randrange(1, len(records))])  # noqa: S311
            _perhaps_die(1.0)
        return await send(producer, records)

    setattr(producers, "send_in_batches", taken)  # noqa: B010


def die_between_parts() -> None:
    """Die when only the first parts of deltas have arrived that are larger than a record."""
    send = send_in_batches

    async def taken(producer: Any, records: Iterable[OutgoingRecord]) -> Any:  # noqa: ANN401
        records = list(records)
        later = [place for place, record in enumerate(records) if dict(record.headers).get(PART, b"0") != b"0"]
        if MORTAL and later:
            await send(producer, records[: random.choice(later)])  # noqa: S311
            _perhaps_die(1.0)
        return await send(producer, records)

    setattr(producers, "send_in_batches", taken)  # noqa: B010


def trust_the_first_part() -> None:
    """Assume that deltas are delivered once their first part is."""

    def read(record: Any) -> DeltaHeaders | None:  # noqa: ANN401
        headers = read_headers(record)
        return headers and headers._replace(part=0, parts=1)

    setattr(ingest, "read_headers", read)  # noqa: B010


def trust_the_first_partition() -> None:
    """Assume that all partitions have what the first one has, even without transactions."""
    find = ingest.Ingest._find_delivered_offset

    async def taken(self: ingest.Ingest, reader: Any, number: int, purchases_offset: int) -> int:  # noqa: ANN401
        settings = self._settings
        self._settings = replace(settings, fencing=True)
        try:
            return await find(self, reader, number, purchases_offset)
        finally:
            self._settings = settings

    ingest.Ingest._find_delivered_offset = taken  # type: ignore[method-assign]


def send_everything_again() -> None:
    """After a restart send the whole outbox, whether stage B has it or not."""
    setattr(ingest, "undelivered", lambda entries, _: list(entries))  # noqa: B010


def count_repeats() -> None:
    """Count every record of deltas, even one that was counted before."""

    def count(store: CountStore, records: Sequence[bytes]) -> npt.NDArray[np.uint32]:
        changes = [stages._count_change(store, unpack_deltas(record)) for record in records]
        store.commit(records, changes)
        return np.unique(np.concatenate([change.purchase_item for change in changes]))

    setattr(tally, "count_deltas", count)  # noqa: B010


def forget_the_offset() -> None:
    """Write the input offset after the batch of the commit rather than in it, and die in between."""
    commit = HistoryStore.commit

    def taken(self: HistoryStore, **of: Any) -> int:  # noqa: ANN401
        end = of.pop("purchases_offset")
        number = commit(self, purchases_offset=self.purchases_offset, **of)
        _perhaps_die(SOON)
        self.purchases_offset = end
        return number

    HistoryStore.commit = taken  # type: ignore[assignment, method-assign]


def acknowledge_at_once() -> None:
    """Acknowledge deltas when they are queued, and die before they are sent."""
    put = producers.OutboxSender.put

    async def taken(self: producers.OutboxSender, delivery: producers.Delivery) -> None:
        self._acknowledge([delivery.commit])
        _perhaps_die(SOON)
        await put(self, delivery)

    producers.OutboxSender.put = taken  # type: ignore[method-assign]


def trust_the_store() -> None:
    """Assume that whatever left the outbox has arrived, without reading the topic."""

    async def taken(self: ingest.Ingest, reader: Any, number: int, purchases_offset: int) -> int:  # noqa: ANN401, ARG001
        entries = commit_records.outbox_of(self._partitions[number].store)
        return min([purchases_offset, *(entry.begin for entry in entries)])

    ingest.Ingest._find_delivered_offset = taken  # type: ignore[method-assign]


def stand_still() -> None:
    """Keep standbys as they are once all of them have been up to date."""
    follow = standby.Standbys._follow_all

    async def taken(self: standby.Standbys[Any], reader: Any) -> None:  # noqa: ANN401
        if not self.lag:
            await follow(self, reader)

    standby.Standbys._follow_all = taken  # type: ignore[method-assign]


def two_days_ahead() -> None:
    """Have a clock that is two days ahead, for everything that asks for the time of day."""
    ahead_s = 2 * 86_400
    clock, clock_ns, append = time.time, time.time_ns, BatchBuilder.append
    time.time = lambda: clock() + ahead_s
    time.time_ns = lambda: clock_ns() + ahead_s * 1_000_000_000

    def taken(self: Any, *, timestamp: int | None, **parts: Any) -> Any:  # noqa: ANN401
        return append(self, timestamp=int(time.time() * 1000) if timestamp is None else timestamp, **parts)

    BatchBuilder.append = taken  # compiled code below it asks for the time otherwise


def an_earlier_version() -> None:
    """Write deltas as versions did that neither knew which topics they read nor checked where customers are."""
    pairs = DeltaHeaders.pairs

    def taken(self: DeltaHeaders) -> tuple[tuple[str, bytes], ...]:
        return pairs(self._replace(purchases=None, partitioner=None, pair_window=None))

    async def decided(placement: Placement, *_: object) -> None:
        placement.partitioner = "none"

    setattr(DeltaHeaders, "pairs", taken)  # noqa: B010
    setattr(ingest, "decide_placement", decided)  # noqa: B010
    setattr(Store, "bind", lambda *_, **__: None)  # noqa: B010


def other_rules() -> None:
    """Count by other rules of validation, as another version does."""
    setattr(worker, "CountingSettings", partial(CountingSettings, rules=RULES + 1))  # noqa: B010


def run() -> None:
    """Run the command of this process's arguments, with the faults that the first of them names."""
    for fault in sys.argv.pop(1).split(","):
        if fault != "none":
            setattr(warm_up, "warm_up", lambda *_: None)  # noqa: B010 - its commits must not fail
            name, *argument = fault.split(":")
            globals()[name](*argument)
    main()


if __name__ == "__main__":
    run()
