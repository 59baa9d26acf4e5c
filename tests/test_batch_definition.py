"""The batch definition against figures computed by hand, since everything else is tested against it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

from producers.orders import order_key
from tests.batch_definition import (
    DAY_MS,
    NOT_HELD,
    Entry,
    Line,
    Order,
    Rejected,
    State,
    batch,
    bucket,
    chance,
    copurchases,
    cosine,
    decayed_share,
    difference,
    expected,
    histogram,
    holders,
    lift,
    naive,
    related,
    representative,
    share,
    significance,
    trend_of,
)
from tests.log_strategies import as_orders, logs, long_logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from tests.batch_definition import Score


def order(customer: str, day: int, items: str, order_id: str | None = None, kind: str = "purchase") -> Order:
    """An order at the beginning of a day of items with one-letter names, one of each."""
    return Order(customer, day * DAY_MS, tuple(Line(item) for item in items), order_id, kind)


def seqs(state: State, customer: str) -> dict[str, int]:
    return {item: entry.seq for item, entry in state.histories[customer].items()}


def test_an_order_that_was_cut_counts_as_the_whole() -> None:
    """A log may be counted while it is written, and end within an order."""
    whole = Order("ann", 0, (Line("a", 1), Line("b", 2), Line("a", 3)), "1")
    for cut in (1, 2):
        first, rest = replace(whole, lines=whole.lines[:cut]), replace(whole, lines=whole.lines[cut:], continued=True)

        state, expected_state = batch([first, rest], 100), batch([whole], 100)

        assert (state.histories, state.purchases, state.pairs) == (
            expected_state.histories, expected_state.purchases, expected_state.pairs,
        )  # fmt: skip


# --- histories --------------------------------------------------------------------------------------------------------


def test_first_purchases_take_seqs_in_line_order_across_orders() -> None:
    state = batch([order("ann", 0, "ba"), order("bob", 0, "a"), order("ann", 1, "c")], 0)
    assert seqs(state, "ann") == {"b": 0, "a": 1, "c": 2}
    assert seqs(state, "bob") == {"a": 0}
    assert state.next_seq == {"ann": 3, "bob": 1}
    assert state.accepted == 4


def test_lines_of_one_order_with_the_same_item_are_one_purchase_at_the_first_of_them() -> None:
    state = batch([Order("ann", 5, (Line("a", 2), Line("b", 1), Line("a", 3)))], 0)
    assert state.histories["ann"] == {"a": Entry(0, 5, 5, 1, 5), "b": Entry(1, 5, 5, 1, 1)}
    assert state.purchases == {"a": 1, "b": 1}
    assert state.accepted == 2


def test_a_repeat_keeps_seq_and_first_time_and_last_time_never_goes_back() -> None:
    state = batch([Order("ann", time, (Line("a", 2),)) for time in (50, 90, 10)], 0)
    assert state.histories["ann"]["a"] == Entry(seq=0, first=50, last=90, purchases=3, quantity=6)
    assert state.next_seq == {"ann": 1}


# --- returns ----------------------------------------------------------------------------------------------------------


def test_a_return_of_a_part_lowers_the_quantity_and_nothing_else() -> None:
    state = batch([Order("ann", 5, (Line("a", 3),)), Order("ann", 9, (Line("a", 2),), type="return")], 0)
    assert state.histories["ann"]["a"] == Entry(seq=0, first=5, last=5, purchases=1, quantity=1)
    assert state.newest == 5
    assert state.purchases == {"a": 1}
    assert state.accepted == 2


@pytest.mark.parametrize("quantity", [2, 7])
def test_a_return_of_all_or_more_leaves_a_hole_and_the_item_bought_again_is_a_first_purchase(quantity: int) -> None:
    log = [Order("ann", 5, (Line("a", 2), Line("b"))), Order("ann", 6, (Line("a", quantity),), type="return")]
    assert seqs(batch(log, 0), "ann") == {"b": 1}
    state = batch([*log, Order("ann", 9, (Line("a"),))], 0)
    assert state.histories["ann"]["a"] == Entry(seq=2, first=9, last=9, purchases=1, quantity=1)
    assert state.next_seq == {"ann": 3}


def test_a_customer_who_returned_everything_holds_nothing_but_keeps_the_next_seq() -> None:
    state = batch([order("ann", 0, "a"), order("ann", 1, "a", kind="return")], 0)
    assert state.histories == {"ann": {}}
    assert state.next_seq == {"ann": 1}
    assert state.customers == 0
    assert not state.pairs
    assert not state.holders
    assert not state.exposures


def test_a_return_of_an_item_not_held_is_rejected_and_names_its_line() -> None:
    state = batch(
        [order("ann", 0, "a"), order("ann", 1, "baxb", kind="return"), order("bob", 1, "a", None, "return")], 0
    )
    assert state.rejected == [
        Rejected(1, 0, "b", NOT_HELD),
        Rejected(1, 2, "x", NOT_HELD),
        Rejected(2, 0, "a", NOT_HELD),
    ]
    assert state.accepted == 2
    assert state.histories == {"ann": {}}


def test_a_rejected_return_is_not_remembered_so_it_counts_when_sent_again_after_the_purchase() -> None:
    back = order("ann", 0, "a", "r1", "return")
    state = batch([back, order("ann", 0, "a"), back, back], 0)
    assert state.rejected == [Rejected(0, 0, "a", NOT_HELD)]
    assert state.histories == {"ann": {}}
    assert state.duplicates == 1
    assert state.remembered == {"ann": {"r1": {("a", "return")}}}


def test_a_purchase_and_its_return_leave_every_pair_count_as_it_was() -> None:
    """With ranks in place of seqs, c would move within the window of a."""
    log = [order("ann", 0, "abc")]
    before, after = (batch(log + more, 1) for more in ([], [order("ann", 1, "d"), order("ann", 2, "d", kind="return")]))
    assert (after.pairs, after.exposures, after.holders) == (before.pairs, before.exposures, before.holders)
    assert ("a", "c", 0) not in batch([*log, order("ann", 1, "b", kind="return")], 1).pairs


# --- duplicates -------------------------------------------------------------------------------------------------------


def test_a_redelivered_order_is_ignored_and_its_lines_are_counted_as_duplicates() -> None:
    once = [Order("ann", 5, (Line("a", 2), Line("b"), Line("a")), "o1")]
    state = batch([once[0], Order("ann", 99, once[0].lines, "o1")], 0)
    assert state.duplicates == 2  # lines of the same item count as the one purchase they are
    assert state.accepted == 2
    assert state.histories == batch(once, 0).histories
    assert state.purchases == {"a": 1, "b": 1}
    assert state.newest == 5


def test_an_order_id_with_other_items_is_accepted_for_those_and_remembers_them() -> None:
    state = batch([order("ann", 0, items, "o1") for items in ("a", "ab", "b")], 0)
    assert state.purchases == {"a": 1, "b": 1}
    assert (state.accepted, state.duplicates) == (2, 2)
    assert state.remembered == {"ann": {"o1": {("a", "purchase"), ("b", "purchase")}}}


def test_only_customer_order_id_item_and_type_together_make_a_duplicate() -> None:
    log = [
        order("ann", 0, "a", "o1"),
        order("bob", 0, "a", "o1"),
        order("ann", 0, "a", "o2"),
        order("ann", 0, "b", "o1"),
        order("ann", 0, "a", "o1", "return"),
    ]
    state = batch(log, 0)
    assert (state.accepted, state.duplicates) == (5, 0)
    assert batch([*log, log[-1]], 0).duplicates == 1  # the return again, though one is still held


def test_nothing_without_order_id_is_a_duplicate() -> None:
    state = batch([order("ann", 0, "a")] * 3, 0)
    assert (state.accepted, state.duplicates) == (3, 0)
    assert state.remembered == {}


def test_the_last_64_orders_of_a_customer_are_remembered() -> None:
    log = [order("ann", 0, "a", f"o{number}") for number in range(64)]
    assert batch([*log, log[0]], 0).duplicates == 1
    other = order("bob", 0, "a", "o64")
    assert batch([*log, other, log[0]], 0).duplicates == 1  # another customer's orders do not count
    full = [*log, order("ann", 0, "a", "o64")]
    assert batch([*full, log[0]], 0).duplicates == 0
    assert batch([*full, log[1]], 0).duplicates == 1
    # o0, counted again, pushes out o1 in turn
    assert batch([*full, log[0], log[1]], 0).duplicates == 0


def test_a_repeated_order_id_keeps_its_age() -> None:
    log = [order("ann", 0, "a", f"o{number}") for number in range(64)]
    state = batch([*log, order("ann", 0, "b", "o0"), order("ann", 0, "a", "o64")], 0)
    assert list(state.remembered["ann"]) == [f"o{number}" for number in range(1, 65)]


def test_an_order_of_which_nothing_is_accepted_pushes_none_out() -> None:
    log = [order("ann", 0, "a", f"o{number}") for number in range(64)]
    state = batch([*log, log[5], order("ann", 0, "x", "r1", "return")], 0)
    assert list(state.remembered["ann"]) == [f"o{number}" for number in range(64)]


# --- erasure ----------------------------------------------------------------------------------------------------------


def test_erasing_removes_everything_of_the_customer_but_popularity() -> None:
    log = [order("ann", 0, "ab", "o1"), order("bob", 0, "ab"), order("ann", 9, "", kind="erase")]
    state, without = batch(log, 0), batch([log[1]], 0)
    for name in ("histories", "next_seq", "remembered", "pairs", "exposures", "holders", "customers"):
        assert getattr(state, name) == getattr(without, name)
    assert state.purchases == {"a": 2, "b": 2}
    assert state.newest == 0  # an erasure is not a purchase
    assert state.accepted == 4


def test_an_erased_customer_who_comes_back_is_a_new_customer() -> None:
    log = [order("ann", 0, "ab", "o1"), order("ann", 1, "", kind="erase"), order("ann", 2, "b", "o1")]
    state = batch(log, 0)
    assert seqs(state, "ann") == {"b": 0}
    assert state.next_seq == {"ann": 1}
    assert state.duplicates == 0


def test_erasing_an_unknown_customer_changes_nothing() -> None:
    assert batch([order("ann", 0, "a"), order("bob", 9, "", kind="erase")], 0) == batch([order("ann", 0, "a")], 0)


# --- pairs, exposures, holders ----------------------------------------------------------------------------------------


def test_a_pair_counts_both_ways_in_the_epoch_of_the_later_first_purchase() -> None:
    log = [
        order("ann", 29, "a"),  # day 29 is the last of epoch 0
        order("ann", 30, "b"),
        order("ann", 95, "ab"),  # repeats rewrite no epoch
        order("bob", 65, "b"),
        order("bob", 3, "a"),  # out of order: b, bought at day 65, is the later
        order("cat", 1, "ab"),
    ]
    state = batch(log, 0)
    assert state.pairs == {(x, y, epoch): 1 for x, y in ("ab", "ba") for epoch in (0, 1, 2)}
    assert state.holders == {("a", 0): 3, ("b", 0): 1, ("b", 1): 1, ("b", 2): 1}
    assert state.customers == 3


@pytest.mark.parametrize(
    ("window", "partners"),
    [
        (1, {"a": "b", "b": "ac", "c": "b"}),
        (2, {"a": "bc", "b": "ac", "c": "ab"}),
        (0, {"a": "bc", "b": "ac", "c": "ab"}),
    ],
)
def test_the_window_limits_pairs_and_exposures_alike(window: int, partners: dict[str, str]) -> None:
    state = batch([order("ann", 0, "abc")], window)
    assert state.pairs == {(x, y, 0): 1 for x, others in partners.items() for y in others}
    assert state.exposures == {x: {len(others): 1} for x, others in partners.items()}


def test_exposures_count_customers_by_how_much_else_they_hold() -> None:
    state = batch([order("ann", 0, "abc"), order("bob", 0, "ab"), order("cat", 0, "a"), order("dan", 0, "ac")], 0)
    assert state.exposures == {"a": {2: 1, 1: 2, 0: 1}, "b": {2: 1, 1: 1}, "c": {2: 1, 1: 1}}


# --- popularity -------------------------------------------------------------------------------------------------------


def test_popularity_counts_purchases_not_quantities_per_day_per_epoch_and_in_all() -> None:
    log = [
        Order("ann", 10 * DAY_MS, (Line("a", 3), Line("b"))),
        Order("ann", 11 * DAY_MS - 1, (Line("a"),)),
        Order("ann", 40 * DAY_MS, (Line("a", 9),), type="return"),
        Order("bob", 31 * DAY_MS, (Line("a"),)),
        Order("bob", 32 * DAY_MS, (), type="erase"),
    ]
    state = batch(log, 0)
    assert state.purchases == {"a": 3, "b": 1}
    assert state.purchases_by_epoch == {("a", 0): 2, ("a", 1): 1, ("b", 0): 1}
    assert state.purchases_by_day == {("a", 10): 2, ("b", 10): 1, ("a", 31): 1}
    assert state.newest == 31 * DAY_MS


def test_the_60_days_that_end_with_the_newest_purchase_are_kept() -> None:
    log = [order("ann", day, "a") for day in (40, 41, 100)]
    assert batch(log, 0).purchases_by_day == {("a", 41): 1, ("a", 100): 1}
    late = [order("bob", 40, "a"), order("bob", 41, "b")]
    state = batch([*log, *late], 0)
    assert state.purchases_by_day == {("a", 41): 1, ("a", 100): 1, ("b", 41): 1}
    assert state.purchases_by_epoch == {("a", 1): 3, ("a", 3): 1, ("b", 1): 1}
    assert state.purchases == {"a": 4, "b": 1}


def test_an_empty_log_has_no_newest_purchase_and_no_lists() -> None:
    state = batch([], 0)
    assert state == State()
    assert state.newest is None
    assert related(state, "a") == []


# --- the exposure histogram -------------------------------------------------------------------------------------------


def test_buckets_are_one_exposure_each_to_256_then_8_an_octave_in_unbroken_order() -> None:
    indices = [bucket(exposure) for exposure in range(5000)]
    assert indices[:257] == list(range(257))
    assert all(after - before in (0, 1) for before, after in pairwise(indices))
    sizes = Counter(indices)
    assert [sizes[index] for index in range(257, 265)] == [31] + [32] * 7  # 256 has a bucket of its own
    assert [sizes[index] for index in range(265, 273)] == [64] * 8
    assert [sizes[index] for index in range(273, 281)] == [128] * 8


def test_a_bucket_is_represented_by_an_exposure_in_its_middle() -> None:
    members: dict[int, list[int]] = {}
    for exposure in range(8192):
        members.setdefault(bucket(exposure), []).append(exposure)
    for index, exposures in members.items():
        assert representative(index) == (exposures[0] + exposures[-1]) // 2


@pytest.mark.parametrize("p", [0.1, 0.01, 0.003, 0.001, 1e-4, 1e-6])
def test_the_buckets_cost_less_than_the_promised_error(p: float) -> None:
    """docs/definition.md promises 1.5e-4 for exposures spread over octaves, as here; one alone may be 6 % off."""
    exposures = range(257, 8192)
    exact = sum(1 - (1 - p) ** exposure for exposure in exposures)
    folded = sum(1 - (1 - p) ** representative(bucket(exposure)) for exposure in exposures)
    assert folded == pytest.approx(exact, rel=1.5e-4)


def test_the_histogram_folds_large_exposures() -> None:
    state = State(exposures={"a": Counter({0: 1, 256: 2, 260: 3, 287: 4, 288: 5})})
    assert histogram(state, "a") == {0: 1, 256: 2, 257: 7, 258: 5}


# --- P, N and E -------------------------------------------------------------------------------------------------------

# Epochs 0, 1 and 2; the newest purchase is of day 60.
#   holders by epoch     a: 1, 1, 1    b: 1, 0, 1    c: 1, 0, 0       n: 3, 2, 1 of 6
#   pairs                a-b: 1 in epoch 0 (ann), 1 in epoch 2 (bob)
#   exposures of a       ann 1, bob 1, dan 0
SHOP = [order("ann", 0, "ab"), order("cat", 0, "c"), order("dan", 53, "a"), order("bob", 60, "ab")]


def test_chance_is_the_share_of_first_purchases() -> None:
    state = batch(SHOP, 0)
    assert holders(state) == 6
    assert [chance(state, item) for item in "abcx"] == pytest.approx([3 / 6, 2 / 6, 1 / 6, 0])
    # with a half-life of 30 days an epoch weighs half as much as the next: a 1/4 + 1/2 + 1, b 1/4 + 1, c 1/4
    assert [holders(state, item, 30) for item in "abc"] == [1.75, 1.25, 0.25]
    assert [chance(state, item, 30) for item in "abc"] == pytest.approx([7 / 13, 5 / 13, 1 / 13])


def test_expected_copurchases_sum_over_the_exposures_of_the_holders() -> None:
    state = batch([order("ann", 0, "abc"), order("bob", 0, "ab"), order("cat", 0, "d"), order("dan", 0, "dc")], 0)
    # n: a 2, b 2, c 2, d 2 of 8, P = 1/4 each; a's holders have exposures 2 and 1
    assert expected(state, "a", "b") == pytest.approx((1 - 0.75**2) + (1 - 0.75))
    assert copurchases(state, "a", "b") == 2
    assert difference(state, "a", "b") == pytest.approx(2 - 0.6875)
    # d's holders have exposures 0 and 1: never bought with a, and E knows no better
    assert expected(state, "d", "a") == pytest.approx(0.25)
    assert difference(state, "d", "a") == pytest.approx(-0.25)


def test_expected_copurchases_agree_with_the_sum_over_customers_to_the_error_of_the_buckets() -> None:
    """A customer with 300 others falls into the bucket that 303 stands for."""
    many = tuple(Line(f"i{number}") for number in range(300))
    state = batch([Order("ann", 0, (Line("a"), *many)), order("bob", 0, "ab")], 0)
    p = 1 / 303  # ann holds 301, bob 2
    assert chance(state, "b") == pytest.approx(p)
    assert expected(state, "a", "b") == pytest.approx((1 - (1 - p) ** 303) + (1 - (1 - p)))
    assert expected(state, "a", "b") == pytest.approx((1 - (1 - p) ** 300) + (1 - (1 - p)), rel=0.01)


def test_a_half_life_decays_n_and_e() -> None:
    state = batch(SHOP, 0)
    assert copurchases(state, "a", "b") == 2
    assert expected(state, "a", "b") == pytest.approx(2 * 2 / 6)
    # N_h = 1/4 + 1, of N = 2; P_h = 5/13
    assert copurchases(state, "a", "b", 30) == 1.25
    assert expected(state, "a", "b", 30) == pytest.approx(1.25 / 2 * 2 * 5 / 13)
    # 60 days: epochs weigh 1/2, sqrt(1/2) and 1; n: a 3/2 + sqrt(1/2), b 3/2, c 1/2
    assert copurchases(state, "a", "b", 60) == pytest.approx(1.5)
    assert expected(state, "a", "b", 60) == pytest.approx(1.5 / 2 * 2 * 1.5 / (3.5 + math.sqrt(0.5)))


def test_e_decays_with_all_pairs_of_x_not_only_those_with_y() -> None:
    state = batch([order("ann", 0, "ab"), order("bob", 30, "ac")], 0)
    # pairs of a: b in epoch 0, c in epoch 1, so (1/2 + 1) / 2 of E remain; n_h: a 3/2, b 1/2, c 1 of 3
    assert copurchases(state, "a", "b", 30) == 0.5
    assert expected(state, "a", "b", 30) == pytest.approx(0.75 * 2 / 6)


def test_holders_whose_weights_underflow_expect_nothing() -> None:
    """All first purchases are old, and the newest purchase is returned: every weight underflows to 0."""
    log = [order("ann", 0, "ab"), order("bob", 9000, "c"), order("bob", 9000, "c", kind="return")]
    state = batch(log, 0)
    assert holders(state, None, 1) == 0
    assert expected(state, "a", "b", 1) == 0
    assert related(state, "a", "difference", 1) == []


# --- trend ------------------------------------------------------------------------------------------------------------


def test_trend_compares_the_decayed_share_with_the_share_of_all_purchases() -> None:
    state = batch(SHOP, 0)
    # days 1 to 60 are kept: a at day 53, a and b at day 60; p_7: a (1/2 + 1), b 1, of 5/2
    assert decayed_share(state, "a", 7) == pytest.approx(0.6)
    assert decayed_share(state, "b", 7) == pytest.approx(0.4)
    assert decayed_share(state, "c", 7) == 0
    assert decayed_share(state, "b", 1) == pytest.approx(1 / (2 + 0.5**7))
    assert share(state, "b") == pytest.approx(2 / 6)
    assert share(state, "b", 30) == pytest.approx(5 / 13)
    assert trend_of(state, "b") == pytest.approx((0.4 + 1e-7) / (1 / 3 + 1e-6), rel=1e-12)
    assert trend_of(state, "b", 30) == pytest.approx((0.4 + 1e-7) / (5 / 13 + 1e-6), rel=1e-12)
    assert trend_of(state, "c") == pytest.approx(1e-7 / (1 / 6 + 1e-6), rel=1e-12)


def test_trend_counts_purchases_that_are_no_longer_held() -> None:
    state = batch([*SHOP, order("bob", 60, "b", kind="return")], 0)
    assert trend_of(state, "b") == trend_of(batch(SHOP, 0), "b")


# --- scores -----------------------------------------------------------------------------------------------------------


def test_each_score_is_its_formula() -> None:
    state = batch(SHOP, 0)
    # N = 2, E = 2/3, n_a = 3, n_b = 2, 4 customers
    assert difference(state, "a", "b") == pytest.approx(4 / 3)
    assert significance(state, "a", "b") == pytest.approx((4 / 3) / math.sqrt(8 / 3))
    assert lift(state, "a", "b") == pytest.approx((4 / 3) / (62 / 3))
    assert naive(state, "a", "b") == pytest.approx(2 - 3 * 2 / 4)
    assert cosine(state, "a", "b") == pytest.approx(2 / math.sqrt(6))
    # with 30 days: N = 5/4, E = 25/52
    assert difference(state, "a", "b", 30) == pytest.approx(40 / 52)
    assert significance(state, "a", "b", 30) == pytest.approx((40 / 52) / math.sqrt(129 / 52))
    assert lift(state, "a", "b", 30) == pytest.approx((40 / 52) / (1065 / 52))


@pytest.mark.parametrize(
    ("score", "half_life", "value", "n", "e"),
    [
        ("difference", None, 4 / 3, 2, 2 / 3),
        ("difference", 30, 40 / 52, 1.25, 25 / 52),
        ("significance", 30, (40 / 52) / math.sqrt(129 / 52), 1.25, 25 / 52),
        ("lift", 30, 40 / 1065, 1.25, 25 / 52),
        ("naive", None, 0.5, 2, 1.5),
        ("raw", None, 2, 2, 2 / 3),
        ("cosine", None, 2 / math.sqrt(6), 2, 2 / 3),
    ],
)
def test_an_entry_has_the_terms_of_its_score(
    score: Score, half_life: float | None, value: float, n: float, e: float
) -> None:
    state = batch(SHOP, 0)
    trend = trend_of(state, "b", half_life)
    assert [tuple(entry) for entry in related(state, "a", score, half_life)] == [
        ("b", pytest.approx(value * trend), n, pytest.approx(e), trend)
    ]
    assert [tuple(entry) for entry in related(state, "a", score, half_life, trend=False)] == [
        ("b", pytest.approx(value), n, pytest.approx(e), 1.0)
    ]


def test_naive_and_difference_disagree_about_what_heavy_buyers_buy() -> None:
    """The reason for the correction: the 2003 metric counts what heavy buyers buy anyway as a relation.

    4 customers hold a, b and two others; 3 of them hold c. Of 24 who hold one item, 6 hold b and 1 holds c.
    28 customers; n: a 4, b 10, c 4, 40 in all; every exposure of a is 3.
    naive:      b 4 - 4 * 10 / 28 = 2.571   c 3 - 4 * 4 / 28 = 2.429
    difference: b 4 - 4 * (1 - 0.75^3) = 1.6875   c 3 - 4 * (1 - 0.9^3) = 1.916
    """
    heavy = [order("h1", 0, "abcd"), order("h2", 0, "abce"), order("h3", 0, "abcf"), order("h4", 0, "abgh")]
    light = [order(f"l{number}", 0, item) for number, item in enumerate("b" * 6 + "c" + "i" * 17)]
    state = batch(heavy + light, 0)
    assert state.customers == 28
    assert holders(state) == 40
    by_naive = {entry.item_id: entry.score for entry in related(state, "a", "naive", trend=False)}
    by_difference = {entry.item_id: entry.score for entry in related(state, "a", "difference", trend=False)}
    assert (by_naive["b"], by_naive["c"]) == pytest.approx((4 - 40 / 28, 3 - 16 / 28))
    assert (by_difference["b"], by_difference["c"]) == pytest.approx((1.6875, 1.916))
    assert list(by_naive)[:2] == ["b", "c"]
    assert list(by_difference)[:2] == ["c", "b"]


def test_the_blend_adds_both_differences_each_over_the_root_of_the_sum_of_its_best() -> None:
    log = [order("ann", 0, "ab"), order("bob", 60, "ac"), order("cat", 60, "d")]
    state = batch(log, 0)
    # all time: n a 2, b c d 1 of 5, exposures of a 1, 1: E[a,b] = E[a,c] = 2/5, both differences 3/5
    # 60 days, epoch 0 weighs 1/2: n a 3/2, b 1/2, c 1, d 1 of 4; 3/4 of E remain: b 1/2 - 3/16, c 1 - 6/16
    plain = 0.6 / math.sqrt(1.2)
    fading = math.sqrt(5 / 16 + 10 / 16)
    assert [tuple(entry) for entry in related(state, "a", trend=False)] == [
        ("c", pytest.approx(0.5 * plain + 0.5 * 10 / 16 / fading), 1.0, pytest.approx(0.4), 1.0),
        ("b", pytest.approx(0.5 * plain + 0.5 * 5 / 16 / fading), 1.0, pytest.approx(0.4), 1.0),
    ]
    # with trend each part has its own: kept are a, c and d of day 60, so p_7 of c is 1/3 and of b 0
    # shares: 1/5 each for b and c; with 60 days 1/8 and 1/4
    recent, gone = 1 / 3 + 1e-7, 1e-7
    b, c = 0.6 * gone / (1 / 5 + 1e-6), 0.6 * recent / (1 / 5 + 1e-6)
    b60, c60 = 5 / 16 * gone / (1 / 8 + 1e-6), 10 / 16 * recent / (1 / 4 + 1e-6)
    blend_b = 0.5 * b / math.sqrt(b + c) + 0.5 * b60 / math.sqrt(b60 + c60)
    blend_c = 0.5 * c / math.sqrt(b + c) + 0.5 * c60 / math.sqrt(b60 + c60)
    assert [tuple(entry) for entry in related(state, "a")] == [
        ("c", pytest.approx(blend_c), 1.0, pytest.approx(0.4), pytest.approx(recent / 0.200001)),
        ("b", pytest.approx(blend_b), 1.0, pytest.approx(0.4), pytest.approx(gone / 0.200001)),
    ]


@pytest.mark.parametrize(
    ("others", "listed"),
    [
        # all time: n a 1, b 2, c 1 of 4: b 1 - 3/4, c 1 - 7/16; 60 days: n a 1/2, b 3/2, c 1 of 3, 3/4 of E remain:
        # b 1/2 - 3/4 * 3/4 = -1/16, c 1 - 3/4 * 5/9 = 7/12
        (
            1,
            {
                "c": 0.5 * (9 / 16) / math.sqrt(13 / 16) + 0.5 * (7 / 12) / math.sqrt(7 / 12),
                "b": 0.5 * (1 / 4) / math.sqrt(13 / 16) - 0.5 * (1 / 16) / math.sqrt(7 / 12),
            },
        ),
        # all time: n a 1, b 4, c 1 of 6: b 1 - 8/9, c 1 - 11/36; 60 days: n a 1/2, b 7/2, c 1 of 5:
        # b 1/2 - 3/4 * 0.91 = -0.1825, c 1 - 3/4 * 0.36 = 0.73; b: 0.0619 - 0.1068 < 0
        (3, {"c": 0.5 * (25 / 36) / math.sqrt(29 / 36) + 0.5 * 0.73 / math.sqrt(0.73)}),
    ],
)
def test_a_negative_part_of_the_blend_counts_against_the_other(others: int, listed: dict[str, float]) -> None:
    log = [order("ann", 0, "ab"), order("ann", 60, "c"), *(order(f"l{number}", 60, "b") for number in range(others))]
    entries = related(batch(log, 0), "a", trend=False)
    assert [entry.item_id for entry in entries] == list(listed)
    assert [entry.score for entry in entries] == pytest.approx(list(listed.values()))


def test_a_part_of_the_blend_without_a_positive_value_adds_nothing() -> None:
    """Differences of a list add up to 0 or more, so this takes a shop so old that its weights underflow to 0."""
    state = batch([order("ann", 0, "ab"), order("bob", 90_000, "c")], 0)
    assert [entry.score for entry in related(state, "a", trend=False)] == [pytest.approx(0.5 * math.sqrt(2 / 3))]


def test_the_blend_divides_by_the_50_best_however_long_the_list() -> None:
    everything = tuple(Line(f"i{number:02}") for number in range(60))
    state = batch([Order("ann", 0, (Line("a"), *everything))], 0)
    d = (60 / 61) ** 60  # 1 - (1 - (1 - P)^60), the same for all 60 and for both parts
    for length in (50, 60):
        entries = related(state, "a", trend=False, length=length)
        assert [entry.item_id for entry in entries] == [line.item_id for line in everything[:length]]
        assert [entry.score for entry in entries] == [pytest.approx(d / math.sqrt(50 * d))] * length


def test_only_items_bought_together_are_listed() -> None:
    log = [order("ann", 0, "ab"), order("bob", 0, "a"), order("cat", 0, "c")]
    assert [entry.item_id for entry in related(batch(log, 0), "a", "raw")] == ["b"]
    assert related(batch(log, 0), "c", "raw") == []
    assert related(batch(log, 0), "x", "raw") == []


def test_only_positive_scores_are_listed() -> None:
    # n: a 2, b 20, c 2, d 2 of 26; E[a,b] = (1 - (6/26)^3) + (1 - (6/26)^2) = 1.93, N = 1
    log = [order("ann", 0, "abcd"), order("bob", 0, "acd"), *(order(f"l{number}", 0, "b") for number in range(19))]
    state = batch(log, 0)
    assert difference(state, "a", "b") == pytest.approx((6 / 26) ** 3 + (6 / 26) ** 2 - 1)
    assert [entry.item_id for entry in related(state, "a", "difference", trend=False)] == ["c", "d"]
    assert [entry.item_id for entry in related(state, "a", "raw", trend=False)] == ["c", "d", "b"]


def test_ties_go_to_the_item_bought_more_often_then_to_the_smaller_id() -> None:
    log = [order("ann", 0, "adcb"), order("ann", 0, "d")]
    entries = related(batch(log, 0), "a", "raw", trend=False)
    assert [(entry.item_id, entry.score) for entry in entries] == [("d", 1), ("b", 1), ("c", 1)]
    assert related(batch(log, 0), "a", "raw", trend=False, length=2) == entries[:2]


@pytest.mark.parametrize("score", ["blend", "naive", "raw", "cosine"])
def test_a_half_life_for_a_score_that_has_none_is_an_error(score: Score) -> None:
    with pytest.raises(ValueError, match=f"{score} takes no half-life"):
        related(batch(SHOP, 0), "a", score, 30)


# --- what holds of every log ------------------------------------------------------------------------------------------


@given(logs() | long_logs())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_counts_are_consistent_with_each_other(log: list[Order]) -> None:
    for window in (0, 2):
        state = batch(log, window)
        assert all(n > 0 and state.pairs[y, x, epoch] == n for (x, y, epoch), n in state.pairs.items())
        for x, exposures in state.exposures.items():
            assert exposures.total() == holders(state, x)
            assert sum(e * n for e, n in exposures.items()) == copurchases(state, x)
        assert state.purchases.total() == state.purchases_by_epoch.total() >= state.purchases_by_day.total()
        assert state.histories.keys() == state.next_seq.keys() >= state.remembered.keys()
        for customer, history in state.histories.items():
            taken = [entry.seq for entry in history.values()]
            assert len(set(taken)) == len(taken)
            assert all(0 <= seq < state.next_seq[customer] for seq in taken)
            assert all(entry.quantity > 0 and entry.first <= entry.last for entry in history.values())
        for x in state.exposures:
            for y in state.exposures:
                assert 0 <= expected(state, x, y) <= holders(state, x)


SIGHTS: dict[str, Callable[[list[Order]], bool]] = {
    "a duplicate": lambda log: batch(log, 0).duplicates > 0,
    "a record duplicate in part": lambda log: any(
        before.duplicates < after.duplicates and before.accepted < after.accepted
        for before, after in pairwise(batch(log[:end], 0) for end in range(len(log) + 1))
    ),
    "a rejected return": lambda log: bool(batch(log, 0).rejected),
    "a partial return": lambda log: any(
        sum(entry.quantity for entry in after.histories.get(last.customer_id, {}).values()) > 0
        and batch(log[:end], 0).accepted < after.accepted
        for end, last in enumerate(log)
        if last.type == "return"
        for after in [batch(log[: end + 1], 0)]
    ),
    "everything returned": lambda log: {} in batch(log, 0).histories.values(),
    "an erased customer who came back": lambda log: any(
        first.type == "erase" and first.customer_id in batch(log, 0).histories for first in log
    ),
    "an item twice in an order": lambda log: any(
        len({line.item_id for line in one.lines}) < len(one.lines) for one in log
    ),
    "time going back": lambda log: any(after.time < before.time for before, after in pairwise(log)),
    "pairs of three epochs": lambda log: len({epoch for _, _, epoch in batch(log, 0).pairs}) >= 3,
    "days no longer kept": lambda log: batch(log, 0).purchases_by_day.total() < batch(log, 0).purchases.total(),
    "a pair outside a window of 2": lambda log: batch(log, 2).pairs != batch(log, 0).pairs,
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_drawn_logs_contain(sight: str) -> None:
    """A property test proves nothing about a case that it never draws."""
    assert reached(logs(), SIGHTS[sight])


def test_the_drawn_long_logs_forget_orders() -> None:
    assert reached(long_logs(), lambda log: any(len(known) == 64 for known in batch(log, 0).remembered.values()))


def reached(strategy: SearchStrategy[list[Order]], sight: Callable[[list[Order]], bool]) -> bool:
    """Whether `sight` is seen within 500 draws; raises hypothesis.errors.NoSuchExample if not."""
    quick = settings(max_examples=500, phases=[Phase.generate], database=None, deadline=None, derandomize=True)
    return sight(find(strategy, sight, settings=quick))


# --- logs as columns --------------------------------------------------------------------------------------------------


def test_a_log_as_columns_keeps_order_lines_and_positions() -> None:
    log = [
        Order("bob", 7, (Line("b", 2), Line("a"), Line("b", 3)), "o1"),
        Order("ann", 8, (), "o2", "erase"),
        Order("bob", 9, (Line("a"),), None, "return"),
    ]
    orders = as_orders(log, begin=10)
    assert (orders.customers, orders.items) == (["bob", "ann"], ["b", "a"])
    assert orders.customer.tolist() == [0, 1, 0]
    assert orders.time.tolist() == [7, 8, 9]
    assert orders.kind.tolist() == [0, 2, 1]
    assert orders.key.tolist() == [order_key("o1"), order_key("o2"), 0]
    assert orders.start.tolist() == [0, 3, 3, 4]
    assert orders.after.tolist() == [11, 12, 13]
    assert orders.item.tolist() == [0, 1, 0, 1]
    assert orders.quantity.tolist() == [2, 1, 3, 1]
    assert orders.position.tolist() == [10, 10, 10, 12]


def test_an_empty_log_has_columns_too() -> None:
    orders = as_orders([])
    assert len(orders) == 0
    assert orders.start.tolist() == [0]
    assert len(orders.cut(0, 0)) == 0


@given(logs(max_size=8))
def test_every_drawn_log_can_be_written_as_columns(log: list[Order]) -> None:
    orders = as_orders(log)
    for index, one in enumerate(log):
        cut = orders.cut(index, index + 1)
        lines = zip(cut.item.tolist(), cut.quantity.tolist(), strict=True)
        assert tuple(Line(cut.items[item], quantity) for item, quantity in lines) == one.lines
        assert cut.customers[cut.customer[0]] == one.customer_id
