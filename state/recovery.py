"""Damaged stores of a worker: set aside and kept, then restored from a snapshot, or left to be counted again.

A worker's state can always be had from the log, so a damaged store is no reason to stop. It is set aside rather than
deleted, so that somebody can look at it, and only a few times, since a disk that damages store after store needs help.
"""

from __future__ import annotations

import gc
import logging
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from state.errors import OtherLog, SettingsMismatch, SnapshotFailed, StateDamaged
from state.snapshot_places import snapshots_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from state.snapshot_places import StoreSnapshot
    from state.store import Store

logger = logging.getLogger(__name__)

ASIDE = "damaged"
"""Directory beside the stores with those that were set aside."""
MOST_ASIDE = 3
"""Of one store; then somebody must look at the disk."""

S = TypeVar("S", bound="Store")


def open_or_recover(path: Path, snapshots: str | None, open_at: Callable[[Path], S]) -> S:
    """Open a store; one that is damaged is set aside, and another takes its place.

    Args:
        path: of the store, in the directory of its generation; a missing one is restored from a snapshot, or made.
        snapshots: where snapshots are, as `snapshots_of` takes it; None: there are none.
        open_at: opens the store at a path.

    Raises:
        StateDamaged: it was damaged too often.
    """
    if not _mark(path).exists():
        try:
            if not path.exists():
                return _replaced(path, snapshots, open_at)
            return open_at(path)
        except StateDamaged as error:
            logger.warning("%s", str(error))
        gc.collect()  # what failed may hold an iterator, and as long as one exists RocksDB keeps its lock on the path
    set_aside(path)
    _mark(path).unlink(missing_ok=True)
    return _replaced(path, snapshots, open_at)


def _replaced(path: Path, snapshots: str | None, open_at: Callable[[Path], S]) -> S:
    """Open a store that is not there, from the newest snapshot that is whole, or as a new one."""
    for snapshot in newest_first(snapshots, path):
        try:
            snapshot.restore(path)
            store = open_at(path)
            with store.closed_on_error():
                store.verify()
        except (StateDamaged, OtherLog, SettingsMismatch) as error:
            logger.warning("the snapshot %s cannot be used: %s", snapshot.shown, str(error))
            shutil.rmtree(path, ignore_errors=True)
        else:
            logger.info("%s was restored from %s", path, snapshot.shown)
            return store
        gc.collect()
    return open_at(path)


def newest_first(snapshots: str | None, path: Path) -> Iterator[StoreSnapshot]:
    """The snapshots of a store, as `snapshots_of` has them; none if their place cannot be read, which is logged."""
    try:
        yield from snapshots_of(path.name, path.parent.name, snapshots)
    except SnapshotFailed as error:
        logger.warning("%s; no snapshot of %s can be restored", str(error), path.name)


def set_aside(path: Path, why: str = "is damaged") -> None:
    """Move a store to the directory of damaged ones, if it is there.

    Args:
        path: of the store.
        why: for the log.

    Raises:
        StateDamaged: several are there already.
    """
    if not path.exists():
        return
    aside = path.with_name(ASIDE)
    aside.mkdir(exist_ok=True)
    before = [each for each in aside.iterdir() if each.name.rpartition("-")[0] == path.name]
    if len(before) >= MOST_ASIDE:
        raise StateDamaged(
            f"{path} is damaged, as {len(before)} stores before it that {aside} keeps: look at the disk, delete them, "
            "and start again. Then it is restored from a snapshot (--restore-from), or counted again"
        )
    numbers = [int(each.name.rpartition("-")[2]) for each in before]
    target = aside / f"{path.name}-{max(numbers, default=0) + 1}"
    path.rename(target)
    logger.error("%s %s and was moved to %s; it is restored from a snapshot, or counted again", path, why, target)


def stores_aside(directory: Path) -> list[Path]:
    """The damaged stores of a generation's directory that are kept, sorted."""
    return sorted(each for each in (directory / ASIDE).glob("*-*-*") if each.is_dir())


@contextmanager
def marking_damage(stores: Callable[[], Iterable[Store]]) -> Iterator[None]:
    """A store that turns out to be damaged meanwhile is set aside when it is opened next.

    Args:
        stores: those that are open.
    """
    try:
        yield
    except StateDamaged as error:
        for store in stores():
            if str(store.path) in str(error):
                mark = _mark(store.path)
                mark.parent.mkdir(exist_ok=True)
                mark.touch()
        raise


def _mark(path: Path) -> Path:
    return path.with_name(ASIDE) / f"{path.name}.found"
