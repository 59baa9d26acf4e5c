"""What is known at a cutoff; systems see nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from evaluation.states import States
from producers.orders import DAY_MS
from state.history_table import ENTRY
from streams.recommendations.assortment import current_assortment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from evaluation.protocol import Protocol
    from evaluation.purchases import Purchases
    from state.history_store import HistoryStore
    from state.names import Names
    from streams.recommendations.assortment import Assortment

    Floats = npt.NDArray[np.float64]


class History(NamedTuple):
    """What each customer with history holds, as rows in shared columns; the last row, the stranger's, is empty."""

    start: npt.NDArray[np.int64]
    """(c + 2,) where each row begins."""
    item: npt.NDArray[np.int64]
    """Numbers in the engine's state."""
    seq: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    """Milliseconds of its first purchase."""
    last: npt.NDArray[np.int64]
    """Milliseconds of its last purchase."""
    purchases: npt.NDArray[np.int64]

    @property
    def row(self) -> npt.NDArray[np.int64]:
        """The row of each element."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))


class Bought(NamedTuple):
    """Purchases before the cutoff by rising time, of customers with history and items of the universe."""

    row: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Past:
    """A log up to a cutoff: what was bought of the universe, the candidates.

    Candidates are called by their place in the universe, which is sorted by purchases, then id: so of equal scores
    the lower place wins, and who scores nothing recommends the most bought. Customers with history are called by
    their row; the row `stranger` stands for any customer without.

    Attributes:
        cutoff_ms: everything here is strictly before it.
        horizon_ms: how long after it purchases are targets.
        items: (U,) ids of the universe.
        customers: (c,) ids of those with history.
        history: what they hold.
        before: all purchases before the cutoff, those of customers without history and of other items included.
        held_too: whether items that the customer holds may be recommended.
        depth: how many recommendations are looked at.
        place: (U,) place in the universe of each item by its number in the engine's state.
        states: the engine's state.
    """

    cutoff_ms: int
    horizon_ms: int
    items: list[str]
    customers: list[str]
    history: History
    before: Purchases
    held_too: bool
    depth: int
    place: npt.NDArray[np.int64]
    states: States

    @property
    def stranger(self) -> int:
        """The row of a customer without history."""
        return len(self.customers)

    @cached_property
    def assortment(self) -> Assortment:
        """Popularity of all items, as recommendations use it."""
        store = self.states.shipped.counts[0]
        return current_assortment(store.popularity, store.names.every, [])

    @cached_property
    def bought(self) -> Bought:
        """What customers with history bought of the universe."""
        row = self.rows_of(self.before)[self.before.customer]
        place = self.places_of(self.before)[self.before.item]
        here = (row < self.stranger) & (place >= 0)
        return Bought(row[here], place[here], self.before.time[here])

    @cached_property
    def held(self) -> sparse.csr_array:
        """(c + 1, U) float32, 1 where a customer holds an item of the universe."""
        return self.matrix(np.ones(len(self.history.item), np.float32))

    def of_universe(self, values: npt.NDArray[Any]) -> Floats:
        """(U,) values of items by their place, from those by their number in the engine's state."""
        found = np.empty(len(self.items))
        found[self.place] = values
        return found

    def matrix(self, values: npt.NDArray[np.floating]) -> sparse.csr_array:
        """(c + 1, U) with a value for each element of the history."""
        shape = self.stranger + 1, len(self.items)
        return sparse.csr_array((values, (self.history.row, self.place[self.history.item])), shape)

    def decayed(self, half_life_days: float) -> sparse.csr_array:
        """(c + 1, U) purchases, halved every `half_life_days` before the cutoff."""
        age = (self.cutoff_ms - self.bought.time) / DAY_MS
        shape = self.stranger + 1, len(self.items)
        return sparse.csr_array((0.5 ** (age / half_life_days), (self.bought.row, self.bought.place)), shape)

    def rows_of(self, purchases: Purchases) -> npt.NDArray[np.int64]:
        """Row of each of a log's customers."""
        row = {customer: number for number, customer in enumerate(self.customers)}
        return np.array([row.get(customer, self.stranger) for customer in purchases.customers], np.int64)

    def places_of(self, purchases: Purchases) -> npt.NDArray[np.int64]:
        """Place of each of a log's items, -1 outside the universe."""
        place = {item: number for number, item in enumerate(self.items)}
        return np.array([place.get(item, -1) for item in purchases.items], np.int64)

    def held_pairs(self) -> npt.NDArray[np.int64]:
        """What is held, as `customer << 32 | item` by the log's numbers; outside the universe, what was ever bought."""
        outside = self.places_of(self.before)[self.before.item] < 0
        customer, item = self.before.customer[outside].astype(np.int64), self.before.item[outside].astype(np.int64)
        customers = {customer: number for number, customer in enumerate(self.before.customers)}
        items = {item: number for number, item in enumerate(self.before.items)}
        row = np.array([customers[name] for name in self.customers] + [0], np.int64)
        known = np.array([items[name] for name in self.states.shipped.counts[0].names.every], np.int64)
        pairs = row[self.history.row] << 32 | known[self.history.item]
        return np.unique(np.concatenate([customer << 32 | item, pairs]))


def past_at(
    cutoff_ms: int, purchases: Purchases, paths: Sequence[Path], columns: Mapping[str, str], protocol: Protocol
) -> Past:
    """What is known at a cutoff: the engine replays the log before it. `states.close()` when done."""
    before = purchases.between(0, cutoff_ms)
    lines = np.bincount(before.item, minlength=len(before.items))
    most = sorted(np.flatnonzero(lines).tolist(), key=lambda item: (-int(lines[item]), before.items[item]))
    universe = frozenset(before.items[item] for item in most[: protocol.universe or None])
    states = States(paths, columns, cutoff_ms, universe)
    store = states.shipped.counts[0]
    ids = store.names.every
    amount = store.popularity.totals()[1]
    ranked = sorted(range(len(ids)), key=lambda item: (-int(amount[item]), ids[item]))
    place = np.empty(len(ids), np.int64)
    place[ranked] = np.arange(len(ids))
    customers, history = _histories(states.shipped.histories, store.names)
    return Past(
        cutoff_ms=cutoff_ms,
        horizon_ms=protocol.horizon_ms,
        items=[ids[item] for item in ranked],
        customers=customers,
        history=history,
        before=before,
        held_too=protocol.target == "all",
        depth=protocol.depth,
        place=place,
        states=states,
    )


def _histories(store: HistoryStore, names: Names) -> tuple[list[str], History]:
    """Ids of the customers who hold anything, and what they hold, by the numbers of the counts."""
    rows: list[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]] = []
    for place, customer in enumerate(store.customers.every):
        items, entries = store.table.history.row(place)
        if customer and len(items):
            rows.append((customer, items, entries))
    number: npt.NDArray[np.int64] = np.array([names[item] for item in store.items.every], np.int64)
    held = np.concatenate([np.zeros(0, ENTRY), *[entries for _, _, entries in rows]])
    sizes = [len(items) for _, items, _ in rows]
    history = History(
        start=np.cumsum([0, *sizes, 0]),
        item=number[np.concatenate([np.zeros(0, np.uint32), *[items for _, items, _ in rows]])],
        **{field: held[field].astype(np.int64) for field in ("seq", "first", "last", "purchases")},
    )
    return [customer for customer, _, _ in rows], history
