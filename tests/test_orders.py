"""Orders: stretches of a log as columns."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from producers.orders import Orders, compacted, concatenated, order_key
from producers.wire import decode_orders, encode_order

PlainOrders = list[tuple[str, int, list[tuple[str, int]], int]]

ids = st.sampled_from(["ann", "bob", "cy", "Dü"])
baskets = st.lists(st.tuples(ids, st.lists(st.tuples(ids, st.integers(1, 9)), min_size=1, max_size=4)), max_size=12)


def as_orders(bought: list[tuple[str, list[tuple[str, int]]]], first: int = 0) -> Orders:
    records = [
        encode_order(customer, 1_483_228_800_000 + place, lines) for place, (customer, lines) in enumerate(bought)
    ]
    orders, rejected = decode_orders(records, range(first, first + len(records)))
    assert rejected == []
    return orders


def plain(orders: Orders) -> PlainOrders:
    return [
        (
            orders.customers[orders.customer[place]],
            int(orders.time[place]),
            [
                (orders.items[orders.item[line]], int(orders.quantity[line]))
                for line in range(orders.start[place], orders.start[place + 1])
            ],
            int(orders.after[place]),
        )
        for place in range(len(orders))
    ]


@given(bought=baskets, share=st.floats(0, 1))
def test_orders_cut_in_two_and_concatenated_are_the_same_orders(
    bought: list[tuple[str, list[tuple[str, int]]]], share: float
) -> None:
    """A log is read in batches, and the last order of one goes on in the next."""
    orders = as_orders(bought)
    middle = int(share * len(orders))

    again = concatenated(orders.cut(0, middle), orders.cut(middle, len(orders)))

    assert plain(again) == plain(orders)
    assert again.position.tolist() == orders.position.tolist()


@given(bought=baskets, share=st.floats(0, 1))
def test_compacted_orders_know_only_ids_they_use(bought: list[tuple[str, list[tuple[str, int]]]], share: float) -> None:
    """Otherwise the order held back at each batch's end would drag along every id ever read."""
    orders = as_orders(bought)
    part = orders.cut(int(share * len(orders)), len(orders))

    small = compacted(part)

    assert plain(small) == plain(part)
    assert np.unique(small.customer).tolist() == list(range(len(small.customers)))
    assert np.unique(small.item).tolist() == list(range(len(small.items)))


def test_concatenated_orders_name_each_id_once() -> None:
    both = concatenated(
        as_orders([("ann", [("milk", 1)])]), as_orders([("bob", [("milk", 2)]), ("ann", [("eggs", 1)])], 1)
    )

    assert both.customers == ["ann", "bob"]
    assert both.items == ["milk", "eggs"]


def test_an_order_key_is_the_same_in_every_process_and_never_zero() -> None:
    """It is stored to recognise duplicates; 0 stands for no order id. The figure is what xxh3 gives anywhere."""
    assert order_key("31198570044") == order_key("31198570044")
    assert order_key("") == 3244421341483603138
    assert order_key("0") != 0
