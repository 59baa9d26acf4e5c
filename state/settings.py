"""Counting settings: what every count of a state depends on. Other settings need another state."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from state.directory import HISTORIES
from state.errors import SettingsMismatch, StateDamaged

if TYPE_CHECKING:
    from state.rocks import Rocks, WriteBatch

FORMAT, LATEST_FORMAT = 3, 4
"""Of states written from now on: 3 of those that an earlier version may go on with, 4 of others.

1: names logs otherwise; versions that know no other would count the logs of a later state again. 2: has no rows id ->
number; versions that know no later one would write none, and leave those of customers whom they erase. 3: counts
purchases, and pairs of customers; versions that know no later one would count those into any state.
"""
_READABLE = (1, 2, FORMAT, LATEST_FORMAT)
RULES = 2
"""Version of the rules of validation: of everything that decides what a record of a log or a topic counts as.

They are `producers.fields`, `producers.timestamps`, `producers.wire`, `producers.logs.lines` (which values are valid,
which mean the same id or time, what becomes of a record of which a line is invalid), the grouping of lines into orders
in `producers.logs.reading`, the limits in `producers.orders`, and `streams.engine.histories` (which lines are
duplicates, what a return takes). Raise it with any change of these by which some record would count as something
else: two versions in one state give counts that no log gives. `tests/test_rules.py` notices such changes.

An event of a type that a state does not count is no change: it counts as little whether it is skipped or, as earlier
versions had it, rejected.

1: of states that keep no version. 2: a bad line of a record is rejected alone; more texts mean
a missing value; ids and quantities lose what Excel wraps them in; a fraction is one piece; 10,000 lines an order.
"""
FIRST_RULES, _RULES_WITH_DOCUMENTS = 1, 2
"""Those of states and deltas that keep no version; and of histories that keep documents about their logs."""
CUSTOMER, ORDER = "customer", "order"
PAIR_KINDS = (CUSTOMER, ORDER)
PURCHASES = "purchase"
"""The event type that is counted unless settings say otherwise."""
_KEY = b"msettings"
_LOG = b"l"


@dataclass(frozen=True, slots=True)
class CountingSettings:
    """Settings that every count depends on.

    Attributes:
        pair_window: two items of a customer are a pair if their first purchases are at most this far apart, counted in
            first purchases of the customer; of an order, if their lines are, counted in its lines; 0: always.
        item_partitions: number of partitions that the items are divided into.
        rules: version of the rules of validation.
        pairs: what holds the two items of a pair: one of PAIR_KINDS.
        events: the event type that is counted.
        seed_weights: of each other type whose events histories keep as seeds of recommendations, by name. Which types
            these are is fixed; how much each weighs is not, and is that of the last commit.
    """

    pair_window: int = 100
    item_partitions: int = 1
    rules: int = RULES
    pairs: str = CUSTOMER
    events: str = PURCHASES
    seed_weights: tuple[tuple[str, float], ...] = ()

    @property
    def seeds(self) -> tuple[str, ...]:
        """The event types that are kept as seeds."""
        return tuple(name for name, _ in self.seed_weights)


def check_settings(rocks: Rocks, kind: str, settings: CountingSettings) -> bool:
    """Check that a store of a `kind` was written with these settings and in a known format; a new store passes.

    Returns:
        Whether the store has a record of all of them; otherwise its next commit writes one.

    Raises:
        SettingsMismatch: it was written with others; the message names both.
    """
    stored = rocks.get(_KEY)
    if stored is None:
        return False
    found = {"rules": settings.rules} | _found(rocks, stored)
    wanted = _stored_as(kind, settings)
    for name, value in wanted.items():
        if name == "format" or found.get(name) == value:
            continue
        if name == "rules":
            raise SettingsMismatch(_other_rules(rocks, found[name], value))
        if name == "seed_weights" and list(found[name]) == list(value):
            continue
        raise SettingsMismatch(
            f"{rocks.path} was written with {name.replace('_', ' ')} {_shown(found.get(name))}, this run has "
            f"{_shown(value)}: set it back, or replay the log into a new --state-dir"
        )
    return all(bool(found[name] == wanted[name]) for name in ("format", "seed_weights"))


def _stored_as(kind: str, settings: CountingSettings) -> dict[str, Any]:
    """The record of settings; counts do not depend on seeds."""
    weights = dict(settings.seed_weights) if kind == HISTORIES else {}
    usual = settings.pairs == CUSTOMER and settings.events == PURCHASES and not weights
    written = {"format": FORMAT if usual else LATEST_FORMAT, "kind": kind, **asdict(settings)}
    return written | {"seed_weights": weights}


def _shown(value: object) -> str:
    """A setting as options have it."""
    if isinstance(value, dict):
        return ",".join(f"{name}={weight:g}" for name, weight in value.items()) or "none"
    return str(value)


def _other_rules(rocks: Rocks, found: int, rules: int) -> str:
    state = rocks.path.parent
    return (
        f"{state} was counted by validation rules {found}, this version of alsobought counts by rules {rules}: "
        "together they would give counts that no log gives. Count the logs into another directory: alsobought replay "
        f"LOG... --state-dir {state}-rules-{rules}; or give all workers another generation: --generation "
        f"{state.name}-rules-{rules}. Queries, exports and erasures go on working with what is there"
    )


def put_settings(batch: WriteBatch, kind: str, settings: CountingSettings) -> None:
    """Record the settings with a store's first commit, or before it is written to in this format."""
    batch.put(_KEY, json.dumps(_stored_as(kind, settings)).encode())


def stored_settings(rocks: Rocks) -> CountingSettings | None:
    """The settings that the histories of a state were written with, or None if it is new."""
    stored = rocks.get(_KEY)
    if stored is None:
        return None
    found = _found(rocks, stored)
    return CountingSettings(
        found["pair_window"],
        found["item_partitions"],
        found.get("rules", RULES),
        found["pairs"],
        found["events"],
        tuple(found["seed_weights"].items()),
    )


def _found(rocks: Rocks, stored: bytes) -> dict[str, Any]:
    """The format, kind and settings of a stored record.

    Format 1 has no rules. Histories that keep documents about their logs have those of today, other histories the
    first; counts follow the deltas that they are given, and are not asked.

    Raises:
        SettingsMismatch: the state is of another format.
        StateDamaged: the record is not one of settings.
    """
    try:
        found = dict(json.loads(stored))
        written = found["format"]
    except (ValueError, KeyError, TypeError):
        raise StateDamaged(
            f"{rocks.path} is damaged: {stored[:80]!r} is not a record of settings; "
            "restore a snapshot, or delete it and replay"
        ) from None
    if written not in _READABLE:
        raise SettingsMismatch(
            f"{rocks.path} was written in format {written}, this version of alsobought reads format {LATEST_FORMAT}: "
            "use the version that wrote it, or replay the log into a new --state-dir"
        )
    if written == 1 and found.get("kind") == HISTORIES:
        found["rules"] = _RULES_WITH_DOCUMENTS if next(rocks.scan(_LOG), None) is not None else FIRST_RULES
    return {"pairs": CUSTOMER, "events": PURCHASES, "seed_weights": {}} | found
