"""A worker for the tests, perhaps without one of the parts that make it exact, or dying at a chosen step.

    python -m tests.worker_driver FAULTS worker --broker ... --state-dir ...

FAULTS are names of functions here, separated by commas, or "none". They change the code in this process only.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from state.history_store import HistoryStore
from state.related_store import RelatedStore
from streams.commands.kafka import main
from streams.engine import stages
from streams.engine.deltas import unpack_deltas
from streams.workers import ingest, tally, warm_up
from streams.workers.kafka import producers
from streams.workers.kafka.producers import FencedProducer, send_in_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    from state.count_store import CountStore
    from streams.workers.kafka.producers import OutgoingRecord

MORTAL = True
OFTEN = 0.01  # of the times that a step is taken, a worker of the chaos dies there
SOON = 0.3  # of the times, where a test wants to see it die: of the forty steps of its log, it gets through a few


def dying(step: Callable[..., Any], share: float, *, before: bool = False) -> Callable[..., Any]:
    """The step, after or before which the process now and then dies."""

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
    """Don't die at any step any more."""
    global MORTAL  # noqa: PLW0603
    MORTAL = False


def chaos() -> None:
    """Die now and then between any two steps of a commit."""
    HistoryStore.commit = dying(HistoryStore.commit, OFTEN)  # type: ignore[method-assign]
    HistoryStore.acknowledge = dying(HistoryStore.acknowledge, OFTEN, before=True)  # type: ignore[method-assign]
    RelatedStore.write = dying(RelatedStore.write, OFTEN, before=True)  # type: ignore[method-assign]
    write = FencedProducer.write

    async def taken(self: FencedProducer, records: Sequence[OutgoingRecord]) -> Any:  # noqa: ANN401
        _perhaps_die(OFTEN)
        return await write(self, records)

    FencedProducer.write = taken  # type: ignore[assignment, method-assign]
    setattr(tally, "count_deltas", dying(stages.count_deltas, OFTEN))  # noqa: B010 - not for others to import


def die_before_acknowledging() -> None:
    """Die when deltas have arrived, before the outbox knows."""
    # the first time: all that was committed meanwhile travels together, so that there may be no other
    HistoryStore.acknowledge = dying(HistoryStore.acknowledge, 1.0, before=True)  # type: ignore[method-assign]


def die_after_commit() -> None:
    """Die when orders are counted, before their deltas are sent."""
    HistoryStore.commit = dying(HistoryStore.commit, SOON)  # type: ignore[method-assign]


def die_within_a_write() -> None:
    """Die when some of the records of a write have arrived, without transactions: the first ones of each partition."""
    send = send_in_batches

    async def taken(producer: Any, records: Iterable[OutgoingRecord]) -> Any:  # noqa: ANN401
        records = list(records)
        if MORTAL and len(records) > 1 and random.random() < 0.2:  # noqa: S311
            await send(producer, records[: random.randrange(1, len(records))])  # noqa: S311
            _perhaps_die(1.0)
        return await send(producer, records)

    setattr(producers, "send_in_batches", taken)  # noqa: B010


def trust_the_first_partition() -> None:
    """Believe that all partitions have what the first one has, also without transactions."""
    told = ingest.Ingest._told

    async def taken(self: ingest.Ingest, reader: Any, partition: int, position: int) -> int:  # noqa: ANN401
        settings = self._settings
        self._settings = replace(settings, fencing=True)
        try:
            return await told(self, reader, partition, position)
        finally:
            self._settings = settings

    ingest.Ingest._told = taken  # type: ignore[method-assign]


def send_everything_again() -> None:
    """After a restart, send the whole outbox, whether stage B has it or not."""
    ingest.undelivered = lambda waiting, told: list(waiting)  # noqa: ARG005


def count_repeats() -> None:
    """Count every record of deltas, also one that was counted before."""

    def count(store: CountStore, records: Sequence[bytes]) -> npt.NDArray[np.uint32]:
        changes = [stages._change(store, unpack_deltas(record)) for record in records]
        store.commit(records, changes)
        return np.unique(np.concatenate([change.purchase_item for change in changes]))

    setattr(tally, "count_deltas", count)  # noqa: B010


def forget_the_offset() -> None:
    """Write the input offset behind the batch of the commit, not in it, and die in between."""
    commit = HistoryStore.commit

    def taken(self: HistoryStore, **of: Any) -> int:  # noqa: ANN401
        end = of.pop("purchases_offset")
        number = commit(self, purchases_offset=self.purchases_offset, **of)
        _perhaps_die(SOON)
        self.purchases_offset = end
        return number

    HistoryStore.commit = taken  # type: ignore[assignment, method-assign]


def acknowledge_at_once() -> None:
    """Take deltas for delivered when they are handed over, and die before they are sent."""
    put = producers.OutboxSender.put

    async def taken(self: producers.OutboxSender, delivery: producers.Delivery) -> None:
        self._acknowledge([delivery.commit])
        _perhaps_die(SOON)
        await put(self, delivery)

    producers.OutboxSender.put = taken  # type: ignore[method-assign]


def trust_the_store() -> None:
    """Believe that whatever left the outbox has arrived, without looking at the topic."""

    async def told(self: ingest.Ingest, reader: Any, partition: int, position: int) -> int:  # noqa: ANN401, ARG001
        store = self._partitions[partition].store
        return min([store.purchases_offset, *(entry.begin for entry in ingest._outbox(store))])

    ingest.Ingest._told = told  # type: ignore[method-assign]


if __name__ == "__main__":
    for fault in sys.argv.pop(1).split(","):
        if fault != "none":
            setattr(warm_up, "warm_up", lambda _: None)  # noqa: B010 - its commits are not those that are to fail
            globals()[fault]()
    main()
