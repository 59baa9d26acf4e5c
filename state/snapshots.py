"""Snapshots: RocksDB checkpoints of a worker's stores, each consistent with its own offsets.

The stores of a snapshot need not be at the same log position. Every store continues from its own offsets, so a worker
that starts from a snapshot reaches the same state as one that never stopped.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from state.errors import StateError
from state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from state.directory import StateDirectory

_UNFINISHED = ".unfinished"


def snapshot_stores(stores: Iterable[Store], to: Path) -> list[Path]:
    """Write open stores to `to`, a directory each; an earlier snapshot of the same store is replaced.

    Returns:
        The directories written.
    """
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for store in stores:
        unfinished = to / f"{store.path.name}{_UNFINISHED}"
        shutil.rmtree(unfinished, ignore_errors=True)
        store.checkpoint(unfinished)
        target = to / store.path.name
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
        written.append(target)
    return written


def snapshot_directory(directory: StateDirectory, to: Path) -> list[Path]:
    """Write the stores of a stopped worker to `to`.

    Raises:
        StateLocked: the worker is running; request the snapshot from it.
        StateError: there are no stores.
    """
    directory.lock()
    if not directory.stores():
        raise StateError(f"{directory.path} holds no state; name the --state-dir and --generation of a worker")
    written = []
    for path in directory.stores():
        store = Store(path)
        try:
            written += snapshot_stores([store], to)
        finally:
            store.close()
    return written


def restore_store(path: Path, snapshot: Path | None) -> bool:
    """Copy a store from a snapshot to `path` unless there is a store already; return whether it was copied."""
    if snapshot is None or path.exists() or not (snapshot / path.name / "CURRENT").exists():
        return False
    unfinished = path.with_name(f"{path.name}{_UNFINISHED}")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(snapshot / path.name, unfinished)
    unfinished.rename(path)
    return True
