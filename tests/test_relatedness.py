"""Relatedness: expectations match the paper's definition, and no shortcut changes a list."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.logs.columns import as_settings
from producers.orders import Orders
from state.count_rows import EXPOSURES, bucket_exposures, items_of, slice_of
from state.journal import SLICES
from state.settings import CountingSettings
from streams.demo.groceries import GROCERY_COLUMNS, grocery_file
from streams.engine.documents import related_document
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.relatedness import expected_copurchases
from streams.engine.scores import SCORES, Scoring
from streams.offline.replay import replay
from tests.batch_definition import DAY_MS, Line, Order
from tests.log_strategies import BEGIN_MS, as_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from state.count_store import CountStore

    Floats = npt.NDArray[np.float64]
    Rows = dict[int, dict[int, npt.NDArray[np.int64]]]

MOST_BOUGHT = 100
WINDOW = 100
LINES = 400_000


@pytest.fixture(scope="module", name="groceries")
def _groceries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A part of the grocery log in which many bought more than a window holds, counted."""
    directory = tmp_path_factory.mktemp("groceries")
    embedded = Embedded(directory / "state", CountingSettings(WINDOW))
    log = directory / "transactions.parquet"
    with pq.ParquetFile(grocery_file("transactions.parquet")) as file:
        pq.write_table(pa.Table.from_batches([next(file.iter_batches(LINES))]), log)
    replay(embedded, [log], as_settings(GROCERY_COLUMNS), commit_lines=20_000, rejects=directory / "rejected.jsonl")
    yield embedded
    embedded.close()


def most_bought(store: CountStore) -> npt.NDArray[np.int64]:
    _, purchases = store.popularity.totals()
    return np.argsort(-purchases, kind="stable")[:MOST_BOUGHT]


def buyers_exposures(embedded: Embedded, items: npt.NDArray[np.int64]) -> tuple[list[list[int]], Floats]:
    """Exposures of each item's buyers, and its share of first purchases, computed from the histories."""
    place = {int(item): at for at, item in enumerate(items)}
    exposures: list[list[int]] = [[] for _ in items]
    first_purchases = 0
    for _, held, entries in embedded.histories.histories():
        seqs = entries["seq"].astype(np.int64)
        near = np.searchsorted(seqs, seqs + WINDOW, "right") - np.searchsorted(seqs, seqs - WINDOW) - 1
        first_purchases += len(held)
        for item, exposure in zip(held.tolist(), near.tolist(), strict=True):
            if item in place:
                exposures[place[item]].append(exposure)
    return exposures, np.array([len(row) for row in exposures]) / first_purchases


def histogram(store: CountStore, item: int) -> tuple[Floats, Floats]:
    """Exposures and buyers of an item's filled buckets."""
    keys, counts = store.slice_rows(int(slice_of(np.array(item))))[EXPOSURES]
    here = items_of(keys >> np.uint64(32)) == item
    buckets = (keys[here] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return bucket_exposures(500)[buckets].astype(np.float64), counts[here].astype(np.float64)


def test_expectations_of_the_100_most_bought_groceries_are_sums_over_their_buyers(groceries: Embedded) -> None:
    """The histogram has no customers, and rounds exposures above 256; the error must stay below 2e-4."""
    (store,) = groceries.counts
    assert list(enumerate(store.names.every)) == list(groceries.histories.items.every())
    items = most_bought(store)
    exposures, chance = buyers_exposures(groceries, items)

    for item, buyers in zip(items.tolist(), exposures, strict=True):
        expected = expected_copurchases(*histogram(store, item), chance)

        brute = -np.expm1(np.outer(np.log1p(-chance), np.array(buyers, np.float64))).sum(1)
        np.testing.assert_allclose(expected, brute, rtol=2e-4)


def test_listed_expectations_of_the_most_bought_groceries_are_sums_over_their_buyers(groceries: Embedded) -> None:
    """People check the figures shown in a list by hand."""
    (store,) = groceries.counts
    items = most_bought(store)
    exposures, chance = buyers_exposures(groceries, items)
    place = {store.names.text(item): at for at, item in enumerate(items.tolist())}

    listed, lists = Ranker(store, Scoring("difference", trend=False)).lists(items)

    checked = 0
    for row, item in enumerate(listed.tolist()):
        buyers = np.array(exposures[place[store.names.text(item)]])
        for entry in lists.entries(row, store.names):
            if entry.item_id in place:
                missed = (1 - chance[place[entry.item_id]]) ** buyers
                assert entry.expected == pytest.approx((1 - missed).sum(), rel=2e-4)
                assert entry.score == pytest.approx(entry.bought_together - entry.expected, rel=1e-12)
                checked += 1
    assert checked > 1000


def shop(*, heavy_buyer: bool) -> list[Order]:
    """Five buy `x`; four of them `popular`, which six others buy, and three `rare`, which nobody else buys."""
    baskets = [["x", "popular", "rare"]] * 2 + [["x", "popular"]] * 2 + [["x", "rare"]]
    baskets += [["popular", f"single {number}"] for number in range(6)] + [[f"other {n}"] for n in range(9)]
    if heavy_buyer:
        baskets.append([f"bulk {number}" for number in range(300)])
    return [Order(f"customer {number}", BEGIN_MS, tuple(map(Line, basket))) for number, basket in enumerate(baskets)]


@pytest.mark.parametrize(
    ("heavy_buyer", "first_by_difference"), [(False, "rare"), (True, "popular")], ids=["without", "with"]
)
def test_one_heavy_buyer_changes_the_order_by_difference_but_not_by_the_naive_metric(
    tmp_path: Path, heavy_buyer: bool, first_by_difference: str
) -> None:
    """A customer who buys 300 items lowers the chance of every other item; a metric that counts customers misses it.

    After the heavy buyer, a random first purchase is seldom `popular`, so buying it with `x` means more than the naive
    metric shows.
    """
    log = shop(heavy_buyer=heavy_buyer)
    embedded = Embedded(tmp_path, CountingSettings())
    embedded.count(as_orders(log), len(log))
    (store,) = embedded.counts
    first = {}
    for score in ("naive", "difference"):
        _, lists = Ranker(store, Scoring(score, trend=False)).lists(np.array([store.names["x"]]))
        first[score] = lists.entries(0, store.names)[0].item_id
    embedded.close()

    assert first == {"naive": "rare", "difference": first_by_difference}


def random_orders(seed: int, customers: int, items: int, most: int) -> Orders:
    """A log with a few heavy buyers among many light ones, over a year, of Zipf-popular items."""
    chance = np.random.default_rng(seed)
    sizes = np.minimum(1 + (chance.pareto(0.8, customers) * 2).astype(int), most)
    sizes[: customers // 20] = most
    share = 1 / np.arange(1, items + 1) ** chance.uniform(0.3, 3.0)
    share /= share.sum()
    baskets = [chance.choice(items, min(size, items), replace=False, p=share) for size in sizes.tolist()]
    days = [np.sort(chance.integers(0, 365, len(basket))) for basket in baskets]
    lines = [(c, int(i), int(d)) for c, basket in enumerate(baskets) for i, d in zip(basket, days[c], strict=True)]
    count = len(lines)
    return Orders(
        customers=[f"c{number}" for number in range(customers)],
        items=[f"i{number}" for number in range(items)],
        customer=np.array([c for c, _, _ in lines], np.uint32),
        time=np.array([BEGIN_MS + day * DAY_MS for _, _, day in lines], np.int64),
        kind=np.zeros(count, np.uint8),
        key=np.zeros(count, np.uint64),
        start=np.arange(count + 1, dtype=np.int64),
        after=np.arange(1, count + 1, dtype=np.int64),
        item=np.array([item for _, item, _ in lines], np.uint32),
        quantity=np.ones(count, np.int64),
        position=np.arange(count, dtype=np.int64),
    )


FORMULAS: dict[str, Callable[[Any, Any, Any, Any, int], Any]] = {
    "blend": lambda n, e, own, others, customers: n - e,  # noqa: ARG005 - one signature for all
    "difference": lambda n, e, own, others, customers: n - e,  # noqa: ARG005
    "significance": lambda n, e, own, others, customers: (n - e) / np.sqrt(e + 2),  # noqa: ARG005
    "lift": lambda n, e, own, others, customers: (n - e) / (e + 20),  # noqa: ARG005
    "naive": lambda n, e, own, others, customers: n - own * others / customers,  # noqa: ARG005
    "raw": lambda n, e, own, others, customers: n,  # noqa: ARG005
    "cosine": lambda n, e, own, others, customers: n / np.sqrt(own * others),  # noqa: ARG005
}
"""The formula of every score: N, E, customers who hold the item, those who hold each neighbour, and all customers."""
HALF_LIVES = [None, 20.0]
SCORINGS = [
    Scoring(score, half_life, trend)
    for score in SCORES
    for half_life in (HALF_LIVES if SCORES[score].decays else [None])
    for trend in (True, False)
]


def all_rows(store: CountStore) -> Rows:
    """Item -> epoch -> (k, 2) neighbours, or buckets, and their counts."""
    rows: dict[int, dict[int, list[tuple[int, int]]]] = {}
    for number in range(SLICES):
        for epoch, (keys, counts) in store.slice_rows(number).items():
            items = items_of(keys >> np.uint64(32)).tolist()
            others = (keys & np.uint64(0xFFFFFFFF)).tolist()
            for item, other, count in zip(items, others, counts.tolist(), strict=True):
                rows.setdefault(item, {}).setdefault(epoch, []).append((other, count))
    return {item: {epoch: np.array(row) for epoch, row in by_epoch.items()} for item, by_epoch in rows.items()}


def plain_scores(store: CountStore, rows: Rows, scoring: Scoring) -> dict[int, tuple[npt.NDArray[np.int64], Floats]]:
    """Every item's neighbours and all their scores, without bounds, lanes or merging."""
    known = len(store.names)
    table = store.popularity
    epochs = store.epochs()
    holders = np.array([table.holders[epoch][:known] for epoch in epochs], np.float64)
    bought = np.array([table.purchases[epoch][:known] for epoch in epochs], np.float64)
    days = np.arange(table.newest_day - 59, table.newest_day + 1)
    recent = (0.5 ** ((table.newest_day - days) / 7)) @ np.array([table.days[day % 60][:known] for day in days])
    halves = (None, scoring.half_life_days or 60.0) if scoring.score == "blend" else (scoring.half_life_days,)
    found = {}
    for item, by_epoch in rows.items():
        pairs = {epoch: row for epoch, row in by_epoch.items() if epoch != EXPOSURES}
        if not pairs:
            continue
        buckets, buyers = by_epoch[EXPOSURES].T
        exposures = bucket_exposures(500)[buckets].astype(np.float64)
        neighbours = np.unique(np.concatenate([row[:, 0] for row in pairs.values()]))
        total = np.zeros(len(neighbours))
        for half_life in halves:
            ages = table.newest_day // 30 - np.array(epochs)
            weights = np.ones(len(epochs)) if half_life is None else 0.5 ** (30 * ages / half_life)
            weight = dict(zip(epochs, weights.tolist(), strict=True))
            together = np.zeros(known)
            for epoch, row in pairs.items():
                together[row[:, 0]] += weight[epoch] * row[:, 1]
            weighted = sum(weight[epoch] * row[:, 1].sum() for epoch, row in pairs.items())
            scale = weighted / sum(row[:, 1].sum() for row in pairs.values())
            chance = (weights @ holders) / (weights @ holders).sum()
            share = (weights @ bought) / (weights @ bought).sum()
            trend = (recent / recent.sum() + 1e-7) / (share + 1e-6) if scoring.trend else np.ones(known)
            expected = scale * ((1 - (1 - chance[neighbours][:, None]) ** exposures) @ buyers)
            own, others = holders.sum(0)[item], holders.sum(0)[neighbours]
            value = FORMULAS[scoring.score](together[neighbours], expected, own, others, store.holding)
            value = value * trend[neighbours]
            if scoring.score != "blend":
                total = value
            elif (mass := np.sort(value[value > 0])[::-1][:50].sum()) > 0:
                total += 0.5 * value / np.sqrt(mass)
        found[item] = neighbours, total
    return found


def check_lists(store: CountStore, scoring: Scoring, plain: dict[int, tuple[npt.NDArray[np.int64], Floats]]) -> None:
    """Compare every list of a partition with all the scores of the item's neighbours."""
    for items, lists in Ranker(store, scoring).every():
        for row, item in enumerate(items.tolist()):
            length = int(lists.length[row])
            if item not in plain:
                assert length == 0
                continue
            neighbours, scores = plain[item]
            tolerance = 1e-9 * max(1.0, float(np.abs(scores).max()))
            best = np.sort(scores[scores > 0])[::-1][:50]
            assert abs(length - len(best)) <= np.count_nonzero(np.abs(scores) < tolerance)
            listed = lists.score[row, :length]
            shared = min(length, len(best))
            np.testing.assert_allclose(listed[:shared], best[:shared], rtol=1e-8, atol=tolerance)
            own = scores[np.searchsorted(neighbours, lists.item[row, :length])]
            np.testing.assert_allclose(listed, own, rtol=1e-8, atol=tolerance)
            assert len(set(lists.item[row, :length].tolist())) == length


def test_every_score_has_a_formula_to_compare_with() -> None:
    """A score without a definition is not tested by the others here."""
    assert FORMULAS.keys() == SCORES.keys()


@settings(max_examples=4)
@given(seed=st.integers(0, 1 << 30), window=st.sampled_from([0, 0, 3, 100]), most=st.sampled_from([30, 350, 500]))
def test_bounds_never_change_a_list(
    tmp_path_factory: pytest.TempPathFactory, seed: int, window: int, most: int
) -> None:
    """About ninety of thousands of neighbours are evaluated; the list must be the same as if all were, for every score.

    The bounds assume that a score falls as E rises. Exposures go beyond 256, where buckets are coarse, and steep Zipf
    laws give chances near 1.
    """
    orders = random_orders(seed, 40, 500, most)
    embedded = Embedded(tmp_path_factory.mktemp("shop"), CountingSettings(window))
    embedded.count(orders, len(orders))
    (store,) = embedded.counts
    rows = all_rows(store)

    for scoring in SCORINGS:
        check_lists(store, scoring, plain_scores(store, rows, scoring))

    embedded.close()


def test_a_score_can_be_recomputed_from_its_entry(tmp_path: Path) -> None:
    """An entry has N, E and trend so that anyone can check its score; only a blend shows one half of two."""
    orders = random_orders(5, 40, 300, 120)
    embedded = Embedded(tmp_path, CountingSettings())
    embedded.count(orders, len(orders))
    (store,) = embedded.counts
    item = store.names["i0"]

    for scoring in SCORINGS:
        if scoring.score == "blend":
            continue
        ranker = Ranker(store, scoring)
        _, lists = ranker.lists(np.array([item]))
        document = related_document(store, item, scoring.score, lists.entries(0, store.names))
        assert len(document["related"]) > 10
        for entry in document["related"]:
            (others,), _ = ranker.totals(np.array([store.names[entry["item_id"]]]))
            n, e = np.float64(entry["bought_together"]), np.float64(entry["expected"])
            score = FORMULAS[scoring.score](n, e, document["buyers"], others, store.holding) * entry["trend"]
            assert entry["score"] == pytest.approx(float(score), rel=1e-12)
            assert scoring.trend or entry["trend"] == 1
            if scoring.score == "naive":
                assert entry["score"] == pytest.approx(float(n - e) * entry["trend"], rel=1e-12)
    embedded.close()


@pytest.mark.parametrize("half_life", [0.01, 0.5, 1e-300, 1e6])
def test_no_neighbour_is_listed_twice_under_a_tiny_half_life(tmp_path: Path, half_life: float) -> None:
    """If weights underflowed to 0, a neighbour with pairs in two epochs would look new in each."""
    log = [
        Order(f"c{number}", BEGIN_MS + epoch * 30 * DAY_MS, (Line("a"), Line("b"), Line(f"d{number}")))
        for epoch, number in itertools.product(range(30), range(2))
    ]
    log = [Order(f"{order.customer_id} {place}", order.time, order.lines) for place, order in enumerate(log)]
    embedded = Embedded(tmp_path, CountingSettings())
    embedded.count(as_orders(log), len(log))
    (store,) = embedded.counts

    _, lists = Ranker(store, Scoring("difference", half_life, trend=False)).lists(np.arange(len(store.names)))

    for row, length in enumerate(lists.length.tolist()):
        listed = lists.item[row, :length].tolist()
        assert len(set(listed)) == len(listed)
        assert np.isfinite(lists.score[row, :length]).all()
    embedded.close()


def test_planted_neighbours_are_found(tmp_path: Path) -> None:
    """Fifty families of four items, bought together three times in four, under a Zipf-popular rest.

    Without trend, which here is noise.
    """
    chance = np.random.default_rng(8)
    rest = 1 / np.arange(1, 301)
    log = []
    for customer in range(3000):
        family = int(chance.integers(50))
        basket = [f"family {family} {member}" for member in range(4) if chance.random() < 0.75]
        basket += [f"rest {number}" for number in chance.choice(300, 6, replace=False, p=rest / rest.sum())]
        when = BEGIN_MS + int(chance.integers(300)) * DAY_MS
        log.append(Order(f"customer {customer}", when, tuple(map(Line, chance.permutation(basket).tolist()))))
    log.sort(key=lambda order: order.time)
    embedded = Embedded(tmp_path, CountingSettings())
    embedded.count(as_orders(log), len(log))
    (store,) = embedded.counts
    ranker = Ranker(store, Scoring(trend=False))

    found = 0
    for family in range(50):
        members = [f"family {family} {member}" for member in range(4)]
        items, lists = ranker.lists(np.array([store.names[member] for member in members]))
        for row, item in enumerate(items.tolist()):
            top = [entry.item_id for entry in lists.entries(row, store.names)[:3]]
            found += len(set(top) & set(members) - {store.names.text(item)})

    embedded.close()
    assert found == 50 * 4 * 3
