"""What is known at a cutoff. Systems see nothing else."""

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
    from producers.log_format import LogFormat
    from state.history_store import HistoryStore
    from state.names import Names
    from streams.recommendations.assortment import Assortment

    Floats = npt.NDArray[np.float64]


class History(NamedTuple):
    """What each customer with history holds, as rows in shared columns. The last row, `cold_row`, is empty."""

    start: npt.NDArray[np.int64]
    """(c + 2,) the start of each row, and the end of the last."""
    item: npt.NDArray[np.int64]
    """Item numbers of the engine's state."""
    seq: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    """Time of the first purchase, milliseconds."""
    last: npt.NDArray[np.int64]
    """Time of the last purchase, milliseconds."""
    purchases: npt.NDArray[np.int64]

    @property
    def row(self) -> npt.NDArray[np.int64]:
        """The row of each element."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))


class Bought(NamedTuple):
    """Purchases before the cutoff in order of time, of customers with history and of candidates."""

    row: npt.NDArray[np.int64]
    candidate: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Past:
    """A log up to a cutoff, reduced to the universe: the U items that may be recommended, called candidates.

    A candidate is an index into the universe, which is sorted by purchases, then id: of equal scores the lower
    candidate wins, so a system without scores recommends the most bought items. A customer with history is a row;
    `cold_row` stands for every customer without.

    Attributes:
        cutoff_ms: everything here is strictly before it.
        horizon_ms: purchases within this time after it are targets.
        items: (U,) ids of the candidates.
        customers: (c,) ids of the customers with history.
        history: what they hold.
        before: all purchases before the cutoff, including other items and customers without history.
        recommend_held: whether items that the customer holds may be recommended.
        depth: how many recommendations a system makes for a customer.
        candidate: (U,) the candidate of each item number of the engine's state.
        states: replays of the log up to the cutoff.
    """

    cutoff_ms: int
    horizon_ms: int
    items: list[str]
    customers: list[str]
    history: History
    before: Purchases
    recommend_held: bool
    depth: int
    candidate: npt.NDArray[np.int64]
    states: States

    @property
    def cold_row(self) -> int:
        """The row that stands for customers without history."""
        return len(self.customers)

    @cached_property
    def assortment(self) -> Assortment:
        """Popularity of all items, as recommendations use it."""
        store = self.states.shipped.counts[0]
        return current_assortment(store.popularity, store.names.every, [])

    @cached_property
    def bought(self) -> Bought:
        """Purchases of candidates by customers with history."""
        row = self.rows_of(self.before)[self.before.customer]
        candidate = self.candidates_of(self.before)[self.before.item]
        here = (row < self.cold_row) & (candidate >= 0)
        return Bought(row[here], candidate[here], self.before.time[here])

    @cached_property
    def held(self) -> sparse.csr_array:
        """(c + 1, U) float32, 1 where a customer holds a candidate."""
        return self.matrix(np.ones(len(self.history.item), np.float32))

    def of_universe(self, values: npt.NDArray[Any]) -> Floats:
        """(U,) values by candidate, from values by item number of the engine's state."""
        found = np.empty(len(self.items))
        found[self.candidate] = values
        return found

    def matrix(self, values: npt.NDArray[np.floating]) -> sparse.csr_array:
        """(c + 1, U) matrix of one value for each element of the history."""
        shape = self.cold_row + 1, len(self.items)
        return sparse.csr_array((values, (self.history.row, self.candidate[self.history.item])), shape)

    def decayed(self, half_life_days: float) -> sparse.csr_array:
        """(c + 1, U) purchases, halved every `half_life_days` before the cutoff."""
        age = (self.cutoff_ms - self.bought.time) / DAY_MS
        shape = self.cold_row + 1, len(self.items)
        return sparse.csr_array((0.5 ** (age / half_life_days), (self.bought.row, self.bought.candidate)), shape)

    def rows_of(self, purchases: Purchases) -> npt.NDArray[np.int64]:
        """The row of each of a log's customers."""
        row = {customer: number for number, customer in enumerate(self.customers)}
        return np.array([row.get(customer, self.cold_row) for customer in purchases.customers], np.int64)

    def candidates_of(self, purchases: Purchases) -> npt.NDArray[np.int64]:
        """The candidate of each of a log's items, -1 outside the universe."""
        candidate = {item: number for number, item in enumerate(self.items)}
        return np.array([candidate.get(item, -1) for item in purchases.items], np.int64)

    def held_pairs(self) -> npt.NDArray[np.int64]:
        """What is held, as `customer << 32 | item` in the log's numbers; outside the universe, everything bought."""
        outside = self.candidates_of(self.before)[self.before.item] < 0
        customer, item = self.before.customer[outside].astype(np.int64), self.before.item[outside].astype(np.int64)
        customers = {customer: number for number, customer in enumerate(self.before.customers)}
        items = {item: number for number, item in enumerate(self.before.items)}
        row = np.array([customers[name] for name in self.customers] + [0], np.int64)
        known = np.array([items[name] for name in self.states.shipped.counts[0].names.every], np.int64)
        pairs = row[self.history.row] << 32 | known[self.history.item]
        return np.unique(np.concatenate([customer << 32 | item, pairs]))


def past_at(
    cutoff_ms: int, purchases: Purchases, paths: Sequence[Path], formats: Mapping[Path, LogFormat], protocol: Protocol
) -> Past:
    """What is known at a cutoff, after the engine has replayed the log before it. Call `states.close()` when done."""
    before = purchases.between(0, cutoff_ms)
    lines = np.bincount(before.item, minlength=len(before.items))
    most = sorted(np.flatnonzero(lines).tolist(), key=lambda item: (-int(lines[item]), before.items[item]))
    universe = frozenset(before.items[item] for item in most[: protocol.universe or None])
    states = States(paths, formats, cutoff_ms, universe)
    store = states.shipped.counts[0]
    ids = list(store.names.every)
    amount = store.popularity.totals()[1]
    ranked = sorted(range(len(ids)), key=lambda item: (-int(amount[item]), ids[item]))
    candidate = np.empty(len(ids), np.int64)
    candidate[ranked] = np.arange(len(ids))
    customers, history = _histories(states.shipped.histories, store.names)
    return Past(
        cutoff_ms=cutoff_ms,
        horizon_ms=protocol.horizon_ms,
        items=[ids[item] for item in ranked],
        customers=customers,
        history=history,
        before=before,
        recommend_held=protocol.target == "all",
        depth=protocol.depth,
        candidate=candidate,
        states=states,
    )


def _histories(store: HistoryStore, names: Names) -> tuple[list[str], History]:
    """Ids of the customers who hold anything, and what they hold, with the item numbers of the counts."""
    rows: list[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]] = []
    held_by = {number: (items, entries) for number, items, entries in store.histories() if len(items)}
    for number, customer in store.customers.every():
        if number in held_by:
            rows.append((customer, *held_by[number]))
    count_item: npt.NDArray[np.int64] = np.array([names[item] for _, item in store.items.every()], np.int64)
    held = np.concatenate([np.zeros(0, ENTRY), *[entries for _, _, entries in rows]])
    sizes = [len(items) for _, items, _ in rows]
    history = History(
        start=np.cumsum([0, *sizes, 0]),
        item=count_item[np.concatenate([np.zeros(0, np.uint32), *[items for _, items, _ in rows]])],
        **{field: held[field].astype(np.int64) for field in ("seq", "first", "last", "purchases")},
    )
    return [customer for customer, _, _ in rows], history
