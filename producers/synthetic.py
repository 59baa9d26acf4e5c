"""Made-up shoppers with planted affinities, so that it is known which items belong together.

Items come in groups, as coffee, filters and milk do. Every shopper has a few groups that they mostly buy from, and now
and then buys anything. So the related items of an item are those of its group, and popular items of other groups are
not, however often they are bought along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from producers.wire import encode_order

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN_MS = 1_735_689_600_000  # 2025-01-01
_BLOCK = 1_000
_FAVOURITES = 3
_LARGEST_BASKET = 6
_FROM_FAVOURITES = 0.8


class SyntheticOrder(NamedTuple):
    """One order of a made-up shopper."""

    customer_id: str
    time_ms: int
    order_id: str
    items: list[str]

    def encode(self) -> bytes:
        """The order as a record."""
        return encode_order(self.customer_id, self.time_ms, [(item, 1) for item in self.items], order_id=self.order_id)


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
        random = np.random.default_rng(self.seed)
        favourites = random.integers(0, self.groups, (self.customers, _FAVOURITES))
        # the more popular an item, the more often it is bought, of its group and by chance
        shares = 1 / np.arange(1, self.group_items + 1)
        shares /= shares.sum()
        popular = random.permutation(self.groups)
        for begin in range(0, count, _BLOCK):
            customer = random.integers(0, self.customers, _BLOCK)
            size = random.integers(1, _LARGEST_BASKET + 1, _BLOCK)
            favourite = favourites[customer, random.integers(0, _FAVOURITES, _BLOCK)]
            chance = popular[(self.groups * random.random((_BLOCK, _LARGEST_BASKET)) ** 2).astype(int)]
            loyal = random.random((_BLOCK, _LARGEST_BASKET)) < _FROM_FAVOURITES
            group = np.where(loyal, favourite[:, None], chance)
            item = random.choice(self.group_items, (_BLOCK, _LARGEST_BASKET), p=shares)
            for row in range(min(_BLOCK, count - begin)):
                number = begin + row
                pairs = zip(group[row, : size[row]].tolist(), item[row, : size[row]].tolist(), strict=True)
                yield SyntheticOrder(
                    f"shopper-{customer[row]}",
                    BEGIN_MS + number * gap_ms,
                    f"{self.seed}-{number}",
                    list(dict.fromkeys(f"item-{group}-{item}" for group, item in pairs)),
                )
