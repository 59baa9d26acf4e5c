"""The embedded run: both stages in one process, a log straight into a state directory, no broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from producers.orders import Rejection
from state.rocks import Rocks
from state.settings import stored_settings
from streams.stages import count_deltas, count_orders, open_counts, open_histories

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from producers.orders import Orders
    from state.settings import CountingSettings


class Embedded:
    """One purchases partition and all item partitions of one state directory.

    Args:
        state_dir: where the partitions' directories are, or will be.
        settings: what is counted.
        read_only: open without locking, for queries.
    """

    def __init__(self, state_dir: Path, settings: CountingSettings, *, read_only: bool = False) -> None:
        self.histories = open_histories(state_dir / "histories-0", settings, read_only=read_only)
        self.counts = [
            open_counts(state_dir / f"counts-{partition}", partition, settings, read_only=read_only)
            for partition in range(settings.item_partitions)
        ]
        if not read_only:
            self._deliver()

    @property
    def position(self) -> int:
        """Log position up to which orders are counted."""
        return self.histories.position

    def count(self, orders: Orders, end: int, rejected: int, sources: dict[str, int]) -> npt.NDArray[np.int64]:
        """Count orders through both stages; afterwards they are durable.

        Returns:
            Positions of the returned lines whose item was not held.
        """
        commit, deltas, not_held = count_orders(self.histories, 0, orders, end, rejected, sources)
        for counts in self.counts:
            count_deltas(counts, [deltas])
        self.histories.acknowledge([commit])
        return not_held

    def _deliver(self) -> None:
        """Count what a run before this one committed in stage A, but perhaps not in stage B."""
        sent = []
        for commit, deltas in self.histories.outbox():
            for counts in self.counts:
                count_deltas(counts, [deltas])
            sent.append(commit)
        if sent:
            self.histories.acknowledge(sent)

    def close(self) -> None:
        """Release the directories."""
        self.histories.close()
        for counts in self.counts:
            counts.close()
