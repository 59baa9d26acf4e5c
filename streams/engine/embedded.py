"""The embedded run: both stages in one process, a log straight into a state directory, no broker."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from producers.partitioning import item_partition
from state.commit_turns import CommitTurns
from state.directory import StateDirectory
from state.errors import StateDamaged, StateError
from state.private_files import keep_private
from state.related_store import RelatedStore, StoredList
from state.rocks import Rocks
from state.settings import CountingSettings, stored_settings
from streams.engine.ranker import Ranker
from streams.engine.scores import DEFAULT_SCORE, Scoring
from streams.engine.stages import count_deltas, count_orders, open_counts, open_histories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from producers.orders import Orders
    from state.count_store import CountStore
    from state.history_store import HistoryStore
    from state.memory import Memory
    from streams.engine.stages import OrderScorer


class Embedded:
    """One purchases partition and all item partitions of one state directory.

    Args:
        state_dir: holds a directory for each partition's store; they are created if missing.
        settings: the counting settings; by default those of an existing state.
        read_only: open without locking, for queries, between two commits of who has it open; the state must exist.
        memory: what its stores may take together; None: the default.

    Attributes:
        histories: the histories of all customers.
        counts: the counts of each item partition.
        related: the published lists of each item partition.

    Raises:
        StateError: the directory is locked, damaged, written with other settings, or missing (read_only).
    """

    def __init__(
        self,
        state_dir: Path,
        settings: CountingSettings | None = None,
        *,
        read_only: bool = False,
        memory: Memory | None = None,
    ) -> None:
        settings = settings or settings_of(state_dir) or CountingSettings()
        self.settings = settings
        self.counts: list[CountStore] = []
        self.related: list[RelatedStore] = []
        if not read_only:
            keep_private()
            state_dir.mkdir(parents=True, exist_ok=True)
        self._turns = CommitTurns(state_dir, create=not read_only)
        with self._turns.turn(), ExitStack() as opened:  # if one cannot be opened, the others are closed
            self.histories = open_histories(state_dir / "histories-0", settings, read_only=read_only, memory=memory)
            opened.callback(self.histories.close)
            for number in range(settings.item_partitions):
                path = state_dir / f"counts-{number}"
                self.counts.append(open_counts(path, number, settings, read_only=read_only, memory=memory))
                opened.callback(self.counts[-1].close)
            for number in range(settings.item_partitions):
                path = state_dir / f"related-{number}"
                self.related.append(RelatedStore(path, read_only=read_only, memory=memory))
                opened.callback(self.related[-1].close)
            if not read_only:
                self._count_outbox()
                self._check_offsets()
            opened.pop_all()

    @property
    def purchases_offset(self) -> int:
        """Log position up to which orders are counted."""
        return self.histories.purchases_offset

    def count(
        self,
        orders: Orders,
        end: int,
        rejected: int = 0,
        documents: Mapping[str, bytes] | None = None,
        on_refused: Callable[[npt.NDArray[np.int64]], None] = lambda _: None,
        scorer: OrderScorer = lambda *_: {},
    ) -> npt.NDArray[np.int64]:
        """Count orders through both stages; they are durable when this returns.

        Args:
            orders: the next orders of the log.
            end: log position after them.
            rejected: lines before `end` that were rejected before they became orders.
            documents: name -> document to store with the commit, about the logs that the orders are from.
            on_refused: called, before anything is durable, with the indices in `orders.item` of the lines returned.
            scorer: scores the orders before they are counted; its hit counts are part of the commit.

        Returns:
            Log positions of the returned lines whose item was not held.
        """
        with self._turns.turn():
            commit, deltas, not_held = count_orders(
                self.histories, 0, orders, end, rejected, documents, on_refused, scorer
            )
            for counts in self.counts:
                count_deltas(counts, [record.packed for record in deltas])
            self.histories.acknowledge([commit])
        return not_held

    def _count_outbox(self) -> None:
        """Count the deltas that an earlier run committed in stage A, but perhaps not in stage B."""
        waiting = list(self.histories.outbox())
        for counts in self.counts:
            count_deltas(counts, [deltas for _, deltas in waiting])
        if waiting:
            self.histories.acknowledge([commit for commit, _ in waiting])

    @property
    def settled(self) -> bool:
        """Whether every item partition has counted what the histories hold: false during a replay or after a crash."""
        return all(counts.purchases_offset_sum == self.purchases_offset for counts in self.counts)

    def _check_offsets(self) -> None:
        for counts in self.counts:
            if counts.purchases_offset_sum != self.purchases_offset:
                raise StateDamaged(
                    f"{counts.path} is at log position {counts.purchases_offset_sum}, {self.histories.path} at "
                    f"{self.purchases_offset}: one of them lost commits; restore a snapshot, or delete both and replay"
                )

    def publish(self) -> Iterator[int]:
        """Update every related list; yield the number of lists written, slice by slice."""
        for counts, related in zip(self.counts, self.related, strict=True):
            if related.score != DEFAULT_SCORE:  # a worker's lists by another score
                related.restart(DEFAULT_SCORE)
            if related.exact_as_of != counts.purchases_offset_sum:
                yield from publish_lists(counts, related)

    def compact(self) -> None:
        """Compact every store, so that deleted data is gone from the disk too."""
        self.histories.compact()
        for counts in self.counts:
            counts.compact()

    def close(self) -> None:
        """Close the stores and release their directories."""
        self.histories.close()
        for counts, related in zip(self.counts, self.related, strict=True):
            counts.close()
            related.close()

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(store.size_bytes() for store in (self.histories, *self.counts, *self.related))


def publish_lists(counts: CountStore, related: RelatedStore, scoring: Scoring = Scoring()) -> Iterator[int]:  # noqa: B008 - frozen
    """Write the list of every item of a partition; yield the number of lists written, slice by slice."""
    for items, lists in Ranker(counts, scoring).every():
        stored_lists = [
            (item, StoredList(*lists.cut(row, length)))
            for row, (item, length) in enumerate(zip(items.tolist(), lists.length.tolist(), strict=True))
        ]
        related.write(stored_lists)
        yield len(stored_lists)
    related.write([], exact_as_of=counts.purchases_offset_sum)


def settings_of(state_dir: Path) -> CountingSettings | None:
    """The counting settings of a state directory, or None if it holds no state.

    Raises:
        StateError: it is that of a worker, or cannot be read.
    """
    StateDirectory.check_not_a_worker_s(state_dir)
    path = state_dir / "histories-0"
    if not (path / "CURRENT").exists():
        return None
    rocks = Rocks(path, read_only=True)
    settings = stored_settings(rocks)
    rocks.close()
    return settings


def _stored_settings(state_dir: Path) -> CountingSettings:
    settings = settings_of(state_dir)
    if settings is None:
        raise StateError(f"{state_dir} holds no state; name the --state-dir of a replay")
    return settings


def open_to_read(state_dir: Path, memory: Memory | None = None) -> Embedded:
    """Open all stores of a state directory for queries, at one and the same log position.

    Raises:
        StateError: the directory holds no state, cannot be read, or a replay into it is running.
    """
    settings = _stored_settings(state_dir)
    embedded = Embedded(state_dir, settings, read_only=True, memory=memory)
    if embedded.settled:
        return embedded
    embedded.close()
    Embedded(
        state_dir, settings, memory=memory
    ).close()  # an earlier run was killed inside a commit: finish that commit
    return Embedded(state_dir, settings, read_only=True, memory=memory)


def open_to_write(state_dir: Path) -> Embedded:
    """Open an existing state directory to change it.

    Raises:
        StateError: the directory holds no state, or is locked.
    """
    return Embedded(state_dir, _stored_settings(state_dir))


def open_counts_of(state_dir: Path, item_id: str) -> CountStore:
    """Open the counts of the partition that owns an item, for queries.

    Raises:
        StateError: the directory holds no state, or cannot be read.
    """
    settings = _stored_settings(state_dir)
    partition = item_partition(item_id, settings.item_partitions)
    return open_counts(state_dir / f"counts-{partition}", partition, settings, read_only=True)


def open_histories_of(state_dir: Path) -> HistoryStore:
    """Open the histories for queries.

    Raises:
        StateError: the directory holds no state, or cannot be read.
    """
    return open_histories(state_dir / "histories-0", _stored_settings(state_dir), read_only=True)
