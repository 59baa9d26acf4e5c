"""The embedded run: both stages in one process, a log straight into a state directory, no broker."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from producers.partitioning import item_partition
from state.errors import StateDamaged, StateError
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
    from streams.engine.stages import Score


class Embedded:
    """One purchases partition and all item partitions of one state directory.

    Args:
        state_dir: where the partitions' directories are, or will be.
        settings: what is counted; by default what an existing state was counted with.
        read_only: open without locking, for queries; the state must exist.

    Attributes:
        histories: of all customers.
        counts: of each item partition.
        related: published lists of each item partition.

    Raises:
        StateError: the directory is locked, damaged, of other settings, or, to be read, not there.
    """

    def __init__(self, state_dir: Path, settings: CountingSettings | None = None, *, read_only: bool = False) -> None:
        settings = settings or settings_of(state_dir) or CountingSettings()
        self.settings = settings
        self.counts: list[CountStore] = []
        self.related: list[RelatedStore] = []
        with ExitStack() as opened:  # if one can't be opened, the others are released
            self.histories = open_histories(state_dir / "histories-0", settings, read_only=read_only)
            opened.callback(self.histories.close)
            for number in range(settings.item_partitions):
                path = state_dir / f"counts-{number}"
                self.counts.append(open_counts(path, number, settings, read_only=read_only))
                opened.callback(self.counts[-1].close)
            for number in range(settings.item_partitions):
                self.related.append(RelatedStore(state_dir / f"related-{number}", read_only=read_only))
                opened.callback(self.related[-1].close)
            if not read_only:
                self._deliver()
                self._check_positions()
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
        logs: Mapping[str, bytes | None] | None = None,
        on_refused: Callable[[npt.NDArray[np.int64]], None] = lambda _: None,
        score: Score = lambda *_: {},
    ) -> npt.NDArray[np.int64]:
        """Count orders through both stages; afterwards they are durable.

        Args:
            orders: what comes next in the log.
            end: log position after them.
            rejected: lines of this stretch that were rejected before they became orders.
            logs: what to keep with the commit about the logs that the orders are from.
            on_refused: told, before anything is durable, what is returned.
            score: told the orders before they are counted, as `count_orders` does; tallies them by UTC day.

        Returns:
            Positions of the returned lines whose item was not held.
        """
        commit, deltas, not_held = count_orders(self.histories, 0, orders, end, rejected, logs, on_refused, score)
        for counts in self.counts:
            count_deltas(counts, [deltas])
        self.histories.acknowledge([commit])
        return not_held

    def _deliver(self) -> None:
        """Count what a run before this one committed in stage A, but perhaps not in stage B."""
        for commit, deltas in list(self.histories.outbox()):
            for counts in self.counts:
                count_deltas(counts, [deltas])
            self.histories.acknowledge([commit])

    @property
    def settled(self) -> bool:
        """Whether every partition has counted what the histories hold; not so while a replay runs, or after a crash."""
        return all(counts.purchases_offset_sum == self.purchases_offset for counts in self.counts)

    def _check_positions(self) -> None:
        for counts in self.counts:
            if counts.purchases_offset_sum != self.purchases_offset:
                raise StateDamaged(
                    f"{counts.path} stands at log position {counts.purchases_offset_sum}, {self.histories.path} at "
                    f"{self.purchases_offset}: one of them lost commits; restore a snapshot, or delete both and replay"
                )

    def publish(self) -> Iterator[int]:
        """Bring every related list up to date; yields how many were written, slice by slice."""
        for counts, related in zip(self.counts, self.related, strict=True):
            if related.score != DEFAULT_SCORE:  # a worker's lists by another score
                related.restart(DEFAULT_SCORE)
            if related.exact_as_of != counts.purchases_offset_sum:
                yield from publish_lists(counts, related)

    def compact(self) -> None:
        """Compact every store, so that what was deleted is gone from the disk too."""
        self.histories.compact()
        for counts in self.counts:
            counts.compact()

    def close(self) -> None:
        """Release the directories."""
        self.histories.close()
        for counts, related in zip(self.counts, self.related, strict=True):
            counts.close()
            related.close()

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return (
            sum(
                counts.size_bytes() + related.size_bytes()
                for counts, related in zip(self.counts, self.related, strict=True)
            )
            + self.histories.size_bytes()
        )


def publish_lists(counts: CountStore, related: RelatedStore, scoring: Scoring = Scoring()) -> Iterator[int]:  # noqa: B008 - frozen
    """Write the list of every item of a partition; yields how many were written, slice by slice."""
    for items, lists in Ranker(counts, scoring).every():
        written = [
            (item, StoredList(*lists.cut(row, length)))
            for row, (item, length) in enumerate(zip(items.tolist(), lists.length.tolist(), strict=True))
        ]
        related.write(written)
        yield len(written)
    related.write([], exact_as_of=counts.purchases_offset_sum)


def settings_of(state_dir: Path) -> CountingSettings | None:
    """What a state directory was counted with, or None if there is none."""
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


def open_to_read(state_dir: Path) -> Embedded:
    """Open a state directory for queries about all of its stores, which all stand at one log position.

    Raises:
        StateError: there is no state in it, it can't be read, or a replay into it is going on.
    """
    settings = _stored_settings(state_dir)
    embedded = Embedded(state_dir, settings, read_only=True)
    if embedded.settled:
        return embedded
    embedded.close()
    Embedded(state_dir, settings).close()  # a run before this one was killed inside a commit: finish it
    return Embedded(state_dir, settings, read_only=True)


def open_to_write(state_dir: Path) -> Embedded:
    """Open an existing state directory to change it.

    Raises:
        StateError: there is no state in it, or it is locked.
    """
    return Embedded(state_dir, _stored_settings(state_dir))


def open_counts_of(state_dir: Path, item_id: str) -> CountStore:
    """Open for queries the counts of the partition that an item belongs to.

    Raises:
        StateError: there is no state, or it can't be read.
    """
    settings = _stored_settings(state_dir)
    partition = item_partition(item_id, settings.item_partitions)
    return open_counts(state_dir / f"counts-{partition}", partition, settings, read_only=True)


def open_histories_of(state_dir: Path) -> HistoryStore:
    """Open the histories for queries.

    Raises:
        StateError: there is no state, or it can't be read.
    """
    return open_histories(state_dir / "histories-0", _stored_settings(state_dir), read_only=True)
