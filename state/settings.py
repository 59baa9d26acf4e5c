"""Counting settings: what every count of a state depends on. Other settings need another state."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from state.errors import SettingsMismatch, StateDamaged

if TYPE_CHECKING:
    from state.rocks import Rocks, WriteBatch

FORMAT = 1
_KEY = b"msettings"


@dataclass(frozen=True, slots=True)
class CountingSettings:
    """Settings that every count depends on.

    Attributes:
        pair_window: two items of a customer are a pair if their first purchases are at most this far apart, counted in
            first purchases of the customer; 0: always.
        item_partitions: number of partitions that the items are divided into.
    """

    pair_window: int = 100
    item_partitions: int = 1


def check_settings(rocks: Rocks, kind: str, settings: CountingSettings) -> None:
    """Check that a store of a `kind` was written with these settings and in this format; a new store passes.

    Raises:
        SettingsMismatch: it was written with others; the message names both.
    """
    stored = rocks.get(_KEY)
    if stored is None:
        return
    found = _found(rocks, stored)
    expected = {"format": FORMAT, "kind": kind, **asdict(settings)}
    for name, value in expected.items():
        if found.get(name) != value:
            raise SettingsMismatch(
                f"{rocks.path} was written with {name.replace('_', ' ')} {found.get(name)}, this run has {value}: "
                "set it back, or replay the log into a new --state-dir"
            )


def put_settings(batch: WriteBatch, kind: str, settings: CountingSettings) -> None:
    """Record the settings with a store's first commit."""
    batch.put(_KEY, json.dumps({"format": FORMAT, "kind": kind, **asdict(settings)}).encode())


def stored_settings(rocks: Rocks) -> CountingSettings | None:
    """The settings that a state was written with, or None if it is new."""
    stored = rocks.get(_KEY)
    if stored is None:
        return None
    found = _found(rocks, stored)
    return CountingSettings(pair_window=found["pair_window"], item_partitions=found["item_partitions"])


def _found(rocks: Rocks, stored: bytes) -> dict[str, Any]:
    """The format, kind and settings of a stored record.

    Raises:
        SettingsMismatch: the state is of another format.
        StateDamaged: the record is not one of settings.
    """
    try:
        found = json.loads(stored)
        written = found["format"]
    except (ValueError, KeyError, TypeError):
        raise StateDamaged(
            f"{rocks.path} is damaged: {stored[:80]!r} is not a record of settings; "
            "restore a snapshot, or delete it and replay"
        ) from None
    if written != FORMAT:
        raise SettingsMismatch(
            f"{rocks.path} was written in format {written}, this version of alsobought reads format {FORMAT}: "
            "use the version that wrote it, or replay the log into a new --state-dir"
        )
    return dict(found)
