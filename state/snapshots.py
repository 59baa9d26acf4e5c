"""Snapshots: RocksDB checkpoints of a worker's stores, each consistent with its own offsets.

The stores of a snapshot need not be at the same log position. Every store continues from its own offsets, so a worker
that starts from a snapshot reaches the same state as one that never stopped.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from state.errors import SnapshotFailed, StateError
from state.private_files import private_directory
from state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from state.directory import StateDirectory

_UNFINISHED = ".unfinished"
_OWN_DIRECTORY = 0o700


def place_below(root: Path, to: Path) -> Path:
    """The absolute path of a snapshot, which is below `root` whatever links and dots are in it.

    Raises:
        SnapshotFailed: it is not.
    """
    root = root.resolve()
    place = (root / to).resolve()
    if root not in place.parents:
        raise SnapshotFailed(f"{to} is not below {root}, where this worker writes snapshots: see its --snapshot-root")
    return place


def snapshot_stores(stores: Iterable[Store], to: Path) -> list[Path]:
    """Write open stores to `to`, a directory each, which only this user can read.

    Returns:
        The directories written.

    Raises:
        SnapshotFailed: there is something at one of them already; nothing was written.
    """
    stores = list(stores)
    taken = [to / store.path.name for store in stores if os.path.lexists(to / store.path.name)]
    if taken:
        raise SnapshotFailed(f"{taken[0]} is there already, and no snapshot replaces anything: name a new directory")
    private_directory(to)
    written = []
    for store in stores:
        target = to / store.path.name
        with TemporaryDirectory(_UNFINISHED, f"{store.path.name}.", to) as unfinished:
            whole = Path(unfinished, store.path.name)
            store.checkpoint(whole)
            whole.chmod(_OWN_DIRECTORY)
            whole.rename(target)
        written.append(target)
    return written


def snapshot_directory(directory: StateDirectory, to: Path) -> list[Path]:
    """Write the stores of a stopped worker to `to`.

    Raises:
        StateLocked: the worker is running; request the snapshot from it.
        SnapshotFailed: there is something at one of its directories already.
        StateError: there are no stores.
    """
    directory.lock()
    if not directory.stores():
        raise StateError(f"{directory.path} holds no state; name the --state-dir and --generation of a worker")
    with ExitStack() as stack:
        return snapshot_stores([stack.enter_context(closing(Store(path))) for path in directory.stores()], to)
