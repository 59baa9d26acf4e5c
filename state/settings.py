"""What a state was counted with; another count needs another state."""

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
        pair_window: items of a customer are paired when at most this many first purchases apart; 0: always.
        item_partitions: how many partitions the items are divided among.
    """

    pair_window: int = 100
    item_partitions: int = 1


def check_settings(rocks: Rocks, kind: str, settings: CountingSettings) -> None:
    """Check that the state of a `kind` of store was written with these settings and in this format.

    Raises:
        SettingsMismatch: it was not; the message names both.
    """
    stored = rocks.get(_KEY)
    if stored is None:
        return
    found = _found(rocks, stored)
    wanted = {"format": FORMAT, "kind": kind, **asdict(settings)}
    for name, value in wanted.items():
        if found.get(name) != value:
            raise SettingsMismatch(
                f"{rocks.path} was written with {name.replace('_', ' ')} {found.get(name)}, this run has {value}: "
                "set it back, or replay the log into a new --state-dir"
            )


def put_settings(batch: WriteBatch, kind: str, settings: CountingSettings) -> None:
    """Record the settings with a store's first commit."""
    batch.put(_KEY, json.dumps({"format": FORMAT, "kind": kind, **asdict(settings)}).encode())


def stored_settings(rocks: Rocks) -> CountingSettings | None:
    """The settings a state was written with, or None if it is new."""
    stored = rocks.get(_KEY)
    if stored is None:
        return None
    found = _found(rocks, stored)
    return CountingSettings(pair_window=found["pair_window"], item_partitions=found["item_partitions"])


def _found(rocks: Rocks, stored: bytes) -> dict[str, Any]:
    """What a state says it was written with.

    Raises:
        SettingsMismatch: it is of another format.
        StateDamaged: it is no record of settings.
    """
    try:
        found = json.loads(stored)
        written = found["format"]
    except (ValueError, KeyError, TypeError):
        raise StateDamaged(
            f"{rocks.path} is damaged: {stored[:80]!r} are no settings; restore a snapshot, or delete it and replay"
        ) from None
    if written != FORMAT:
        raise SettingsMismatch(
            f"{rocks.path} was written in format {written}, this version of alsobought reads format {FORMAT}: "
            "use the version that wrote it, or replay the log into a new --state-dir"
        )
    return dict(found)
