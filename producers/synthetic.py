"""Made-up shoppers with planted affinities, so that it is known which items belong together.

Items come in groups, as coffee, filters and milk do. Every shopper has a few groups that they mostly buy from, and now
and then buys anything, most of it of popular groups and of those in season. So the related items of an item are those
of its group, and popular items of other groups are not, however often they are bought along.

Few shoppers buy much and many buy once; few items sell much and most sell now and then. Nothing is kept for a shopper
or an item, so that a shop of any size takes the same memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.orders import DAY_MS
from producers.wire import encode_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

BEGIN_MS = 1_735_689_600_000  # 2025-01-01
ROWS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("timestamp", pa.timestamp("ms", "UTC")),
        ("order_id", pa.string()),
        ("item_id", pa.string()),
    ]
)
"""The columns of a file of order lines."""
_BLOCK = 1_000
_BLOCKS_AT_ONCE = 64
_FAVOURITES = 3
_LARGEST_BASKET = 6
_FROM_FAVOURITES = 0.8
_IN_SEASON = 0.2
_SEASONS = 12
_SEASON_MS = 30 * DAY_MS
_ACTIVITY = 1.5  # of n shoppers, the first k place (k / n) ** (1 / _ACTIVITY) of the orders


class SyntheticOrder(NamedTuple):
    """One order of a made-up shopper."""

    customer_id: str
    time_ms: int
    order_id: str
    items: list[str]

    def encode(self) -> bytes:
        """The order as a record."""
        return encode_order(self.customer_id, self.time_ms, [(item, 1) for item in self.items], order_id=self.order_id)


class SyntheticOrders(NamedTuple):
    """Consecutive orders as columns: m orders, n lines."""

    number: npt.NDArray[np.int64]
    """(m,) the order's place among all orders, from 0."""
    time_ms: npt.NDArray[np.int64]
    """(m,) milliseconds since 1970 UTC."""
    customer: npt.NDArray[np.int64]
    """(m,) number of the shopper."""
    start: npt.NDArray[np.int64]
    """(m + 1,) the lines of order i are start[i] to start[i + 1]."""
    group: npt.NDArray[np.int64]
    """(n,) group of the item."""
    item: npt.NDArray[np.int64]
    """(n,) number of the item in its group."""


@dataclass(frozen=True, slots=True)
class SyntheticShop:
    """A shop with a fixed catalogue and fixed shoppers. The same seed gives the same orders.

    Attributes:
        seed: of everything random.
        customers: how many shoppers there are.
        groups: how many groups of items that belong together.
        group_items: items in a group.

    >>> shop = SyntheticShop(seed=1)
    >>> first, second = shop.orders(2)
    >>> first.order_id, first == next(SyntheticShop(seed=1).orders(1)), SyntheticShop.group_of("item-7-3")
    ('1-0', True, 7)
    """

    seed: int = 0
    customers: int = 10_000
    groups: int = 100
    group_items: int = 20

    def __post_init__(self) -> None:
        if min(self.customers, self.groups, self.group_items) < 1:
            raise ValueError("a shop needs at least one customer, one group and one item in it")

    @staticmethod
    def group_of(item_id: str) -> int:
        """The group that an item belongs to."""
        return int(item_id.split("-")[1])

    def orders(self, count: int, gap_ms: int = 10_000) -> Iterator[SyntheticOrder]:
        """The first `count` orders, one every `gap_ms` of event time from the start of 2025 on."""
        for block in self.blocks(count, gap_ms):
            bounds = block.start.tolist()
            pairs = list(zip(block.group.tolist(), block.item.tolist(), strict=True))
            for row, (number, time_ms, customer) in enumerate(
                zip(block.number.tolist(), block.time_ms.tolist(), block.customer.tolist(), strict=True)
            ):
                items = [f"item-{group}-{item}" for group, item in pairs[bounds[row] : bounds[row + 1]]]
                yield SyntheticOrder(f"shopper-{customer}", time_ms, f"{self.seed}-{number}", items)

    def blocks(self, count: int, gap_ms: int = 10_000) -> Iterator[SyntheticOrders]:
        """The same orders, `_BLOCK` at a time."""
        random = np.random.default_rng(self.seed)
        # the more popular an item, the more often it is bought, of its group and by chance
        shares = np.cumsum(1 / np.arange(1, self.group_items + 1))
        popular = random.permutation(self.groups)
        for begin in range(0, count, _BLOCK):
            customer = (self.customers * random.random(_BLOCK) ** _ACTIVITY).astype(np.int64)
            size = random.integers(1, _LARGEST_BASKET + 1, _BLOCK)
            number = begin + np.arange(_BLOCK)
            time_ms = BEGIN_MS + number * gap_ms
            favourite = self._favourite(customer, random.integers(0, _FAVOURITES, _BLOCK))
            drawn = (self.groups * random.random((_BLOCK, _LARGEST_BASKET)) ** 2).astype(np.int64)
            seasonal = random.random((_BLOCK, _LARGEST_BASKET)) < _IN_SEASON
            season = (time_ms // _SEASON_MS % _SEASONS)[:, None]
            drawn = np.where(seasonal, np.minimum(drawn - drawn % _SEASONS + season, self.groups - 1), drawn)
            loyal = random.random((_BLOCK, _LARGEST_BASKET)) < _FROM_FAVOURITES
            group = np.where(loyal, favourite[:, None], popular[drawn])
            item = np.searchsorted(shares, random.random((_BLOCK, _LARGEST_BASKET)) * shares[-1])
            wanted = (np.arange(_LARGEST_BASKET) < size[:, None]) & ~_repeated(group * self.group_items + item)
            wanted[count - begin :] = False
            rows = slice(0, min(_BLOCK, count - begin))
            start = np.concatenate([[0], np.cumsum(wanted[rows].sum(axis=1))])
            yield SyntheticOrders(number[rows], time_ms[rows], customer[rows], start, group[wanted], item[wanted])

    def rows(self, count: int, gap_ms: int = 10_000) -> Iterator[tuple[int, pa.Table]]:
        """The same orders as a row for each line, in tables of ROWS; with each, how many orders there are up to it."""
        waiting: list[pa.Table] = []
        for block in self.blocks(count, gap_ms):
            row = np.repeat(np.arange(len(block.number)), np.diff(block.start))
            columns = [
                _texts("shopper", block.customer[row]),
                pa.array(block.time_ms[row]).cast(ROWS.field("timestamp").type),
                _texts(str(self.seed), block.number[row]),
                _texts("item", block.group, block.item),
            ]
            waiting.append(pa.table(columns, ROWS))
            done = int(block.number[-1]) + 1
            if len(waiting) == _BLOCKS_AT_ONCE or done == count:
                yield done, pa.concat_tables(waiting)
                waiting = []

    def _favourite(self, customer: npt.NDArray[np.int64], choice: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(m,) one of each customer's favourite groups: a hash, since a table would grow with the customers."""
        seed = np.uint64(self.seed % (1 << 32)) << np.uint64(32)
        mixed = ((customer * _FAVOURITES + choice).astype(np.uint64) ^ seed) + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
        return (mixed % np.uint64(self.groups)).astype(np.int64)


def _repeated(items: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(m, l) whether an element of a row equals one before it."""
    repeated = np.zeros(items.shape, np.bool_)
    for later in range(1, items.shape[1]):
        repeated[:, later] = (items[:, :later] == items[:, later : later + 1]).any(axis=1)
    return repeated


def _texts(word: str, *numbers: npt.NDArray[np.int64]) -> pa.Array:
    """(n,) texts of a word and numbers, joined by hyphens."""
    return pc.binary_join_element_wise(word, *[pa.array(column).cast(pa.string()) for column in numbers], "-")
