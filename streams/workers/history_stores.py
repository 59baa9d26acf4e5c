"""The stores of stage A: opened, recovered, restored from a snapshot, or emptied to be counted again."""

from __future__ import annotations

import logging
import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from state.directory import HISTORIES
from state.errors import SettingsMismatch, StateDamaged
from state.recovery import newest_first, open_or_recover, set_aside
from streams.engine.stages import open_histories

if TYPE_CHECKING:
    from collections.abc import Mapping

    from state.directory import StateDirectory
    from state.history_store import HistoryStore
    from state.log_identity import LogIdentity
    from state.memory import Memory
    from state.settings import CountingSettings

logger = logging.getLogger(__name__)


class HistoryStores:
    """Opens the histories of purchases partitions.

    Args:
        directory: where they are.
        counting: what is counted.
        logs: the topics by role; those left out are not compared with those that were counted before.
        snapshots: where snapshots are, as `snapshots_of` takes it; None: there are none.
        memory: what the stores may take together; None: the default.
    """

    def __init__(
        self,
        directory: StateDirectory,
        counting: CountingSettings,
        logs: Mapping[str, LogIdentity],
        snapshots: str | None,
        memory: Memory | None = None,
    ) -> None:
        self._memory = memory
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
        return self._open(number, self._snapshots)

    def _open(self, number: int, snapshots: str | None) -> HistoryStore:
        def open_at(path: Path) -> HistoryStore:
            store = open_histories(path, self._counting, memory=self._memory)
            with store.closed_on_error():
                store.bind(number, self._logs, empty=store.journal.commit == 0)
            return store

        return open_or_recover(self._directory.store(HISTORIES, number), snapshots, open_at)

    def restored(self, number: int, store: HistoryStore, begin: int) -> HistoryStore:
        """The store of a snapshot in place of one that is behind the beginning of the topic.

        Args:
            number: of the partition.
            store: is closed if it is replaced.
            begin: the offset with which the topic begins.

        Returns:
            The same store if no snapshot reaches that far: reading from its offset will be refused.
        """
        if not self._snapshot_reaches(store.path, begin):
            return store
        store.close()
        set_aside(store.path, f"ends before offset {begin}, with which the topic begins,")
        return self.open(number)

    def _snapshot_reaches(self, path: Path, offset: int) -> bool:
        """Whether the newest snapshot of a store that can be read has counted up to an offset."""
        for snapshot in newest_first(self._snapshots, path):
            with TemporaryDirectory(dir=path.parent, prefix="looked-at.") as directory:
                copy = Path(directory, path.name)
                try:
                    snapshot.restore(copy)
                    with closing(open_histories(copy, self._counting, read_only=True, memory=self._memory)) as store:
                        return store.purchases_offset >= offset
                except (StateDamaged, SettingsMismatch) as error:
                    logger.warning("the snapshot %s cannot be used: %s", snapshot.shown, str(error))
        return False

    def emptied(self, number: int, store: HistoryStore, delivered_offset: int) -> HistoryStore:
        """A store that is not ahead of the deltas that were delivered, in place of one, which is closed.

        That of a snapshot, unless it is ahead as well: what it has not delivered may be divided otherwise. Else an
        empty one.
        """
        for places in (self._snapshots, None):
            store.close()
            shutil.rmtree(store.path)
            store = self._open(number, places)
            if store.purchases_offset <= delivered_offset:
                break
        return store
