"""Workers score orders before they count them, by what they would have answered then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.live_shop import TOKEN
from tests.live_workers import LiveShop, ask, live_shop, post

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

DAY_S = 86_400
BEGIN_S = 1_709_200_000


def scored(shop: LiveShop) -> tuple[int, int, int]:
    """Orders, hits and bestseller hits of all workers."""
    found = [ask(worker, "/quality").document for worker in shop.workers]
    orders, hits, bestseller_hits = (sum(one[name] for one in found) for name in ("orders", "hits", "bestseller_hits"))
    return orders, hits, bestseller_hits


def test_workers_score_orders_of_customers_they_know_before_they_count_them(kafka: Broker, tmp_path: Path) -> None:
    """What an order brings is not in the lists by which it is scored, though its item is recommended right after."""
    with live_shop(kafka.bootstrap, "scoring", tmp_path, more=("--score-one-in", "1")) as shop:
        assert scored(shop) == (0, 0, 0)  # everybody's first order
        bought = ["milk", "milk", "milk", "unheard of", "nor this"]
        for number, item in enumerate(bought):
            customer = {"customer_id": f"c{2 * number}", "timestamp": BEGIN_S + number * DAY_S}
            assert post(shop.workers[0], "/orders", {**customer, "item_id": item}, TOKEN).status == 202
        lines = shop.lines + len(bought)
        shop.wait_until_counted(lines)

        orders, hits, bestseller_hits = scored(shop)
        assert 3 <= orders <= 5  # an answer that takes too long is not waited for
        assert 1 <= hits <= 3
        assert 1 <= bestseller_hits <= 3
        newcomer = {"customer_id": "newcomer", "timestamp": BEGIN_S, "item_id": "milk"}
        assert post(shop.workers[1], "/orders", newcomer, TOKEN).status == 202
        shop.wait_until_counted(lines + 1)
        assert scored(shop) == (orders, hits, bestseller_hits)
