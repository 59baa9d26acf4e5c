"""The stores of stage A: opened, recovered, restored from a snapshot, or emptied to be counted again."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

from state.directory import HISTORIES
from state.recovery import newest_first, open_or_recover, set_aside
from streams.engine.stages import open_histories

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from state.directory import StateDirectory
    from state.history_store import HistoryStore
    from state.log_identity import LogIdentity
    from state.settings import CountingSettings


class HistoryStores:
    """Opens the histories of purchases partitions.

    Args:
        directory: where they are.
        counting: what is counted.
        logs: the topics by role; those left out are not compared with those that were counted before.
        snapshots: a snapshot, or a directory of snapshots; None: there is none.
    """

    def __init__(
        self,
        directory: StateDirectory,
        counting: CountingSettings,
        logs: Mapping[str, LogIdentity],
        snapshots: Path | None,
    ) -> None:
        self._directory = directory
        self._counting = counting
        self._logs = {role: logs[role] for role in ("purchases", "co-purchases") if role in logs}
        self._snapshots = snapshots

    def open(self, number: int) -> HistoryStore:
        """Open a partition's store; see `open_or_recover`.

        Raises:
            OtherLog: it was counted from another topic.
            StateError: it cannot be opened.
        """

        def open_at(path: Path) -> HistoryStore:
            store = open_histories(path, self._counting)
            with store.closed_on_error():
                store.bind(self._logs, empty=store.journal.commit == 0)
            return store

        return open_or_recover(self._directory.store(HISTORIES, number), self._snapshots, open_at)

    def restored(self, number: int, store: HistoryStore, begin: int) -> HistoryStore:
        """The store of a snapshot in place of one that is behind the beginning of the topic.

        Args:
            number: of the partition.
            store: is closed if it is replaced.
            begin: the offset with which the topic begins.

        Returns:
            The same store if no snapshot reaches that far: reading from its offset will be refused.
        """
        if not self._snapshot_reaches(store.path.name, begin):
            return store
        store.close()
        set_aside(store.path, f"ends before offset {begin}, with which the topic begins,")
        return self.open(number)

    def _snapshot_reaches(self, name: str, offset: int) -> bool:
        """Whether the newest snapshot of a store has counted up to an offset."""
        for snapshot in newest_first(self._snapshots, name):
            with closing(open_histories(snapshot / name, self._counting, read_only=True)) as store:
                return store.purchases_offset >= offset
        return False

    def emptied(self, number: int, store: HistoryStore) -> HistoryStore:
        """An empty store in place of one, which is closed."""
        store.close()
        shutil.rmtree(store.path)
        return self.open(number)
