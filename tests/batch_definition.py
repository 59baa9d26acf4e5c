"""What the streamed state must equal: docs/definition.md in plain Python, one function for each rule.

It is written to be checked line by line against that page, not to be fast, and shares no code with streams/ or state/.
`batch` replays a log into a `State`; the functions below it compute scores and lists from one.

>>> log = [
...     Order("ann", 0, (Line("tea"), Line("milk"))),
...     Order("bob", 0, (Line("tea"), Line("milk"))),
...     Order("cat", 0, (Line("soap"),)),
... ]
>>> state = batch(log, pair_window=100)
>>> state.pairs["tea", "milk", 0], state.exposures["tea"], round(expected(state, "tea", "milk"), 3)
(2, Counter({1: 2}), 0.8)
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

DAY_MS = 86_400_000
EPOCH_DAYS = 30
DAYS_KEPT = 60
ORDERS_REMEMBERED = 64
EVENTS_KEPT = 100
NOT_HELD = "return of an item not held"

Score = Literal["blend", "difference", "significance", "lift", "naive", "raw", "cosine"]


@dataclass(frozen=True)
class Line:
    item_id: str
    quantity: int = 1


@dataclass(frozen=True)
class Order:
    """One record of the log. The lines of an erasure, if it has any, mean nothing."""

    customer_id: str
    time: int
    """Event time, milliseconds since 1970 UTC."""
    lines: tuple[Line, ...]
    order_id: str | None = None
    type: str = "purchase"
    """purchase, return, erase, or another event, such as view."""
    continued: bool = False
    """Whether its first lines are an order before it: the log was counted while it was written, and ended between."""


@dataclass(frozen=True)
class Entry:
    """One item in one customer's history."""

    seq: int
    first: int
    last: int
    purchases: int
    quantity: int


class Rejected(NamedTuple):
    order: int
    """Index of the order in the log."""
    line: int
    """Index of the line in the order; of the first line with this item, where several name it."""
    item_id: str
    reason: str


class Event(NamedTuple):
    """An event that is kept as a seed."""

    time: int
    place: int
    """Among all of its customer."""
    item_id: str
    type: str


@dataclass
class State:
    """The state of a log. A count of 0 has no key, but `histories` may have an empty history."""

    histories: dict[str, dict[str, Entry]] = field(default_factory=dict)
    """customer: item: entry; {} for a customer who has returned everything."""
    next_seq: dict[str, int] = field(default_factory=dict)
    """customer: seq of their next first purchase; the same customers as in `histories`."""
    remembered: dict[str, dict[str, set[tuple[str, str]]]] = field(default_factory=dict)
    """customer: order id, oldest first: what was accepted of that order."""
    pairs: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """(X, Y, epoch) and (Y, X, epoch): customers with that pair."""
    exposures: dict[str, Counter[int]] = field(default_factory=dict)
    """X: exposure: customers who hold X with that exposure, 0 included."""
    holders: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(Y, epoch of the first purchase): customers who hold Y."""
    customers: int = 0
    """Customers who hold anything."""
    purchases: Counter[str] = field(default_factory=Counter)
    """Y: purchases in all."""
    purchases_by_epoch: Counter[tuple[str, int]] = field(default_factory=Counter)
    purchases_by_day: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(Y, UTC day): purchases, of the newest 60 days."""
    newest: int | None = None
    """The latest event time of an accepted purchase."""
    accepted: int = 0
    """Counted lines. Here and in the next two, lines of an order with the same item are one."""
    duplicates: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    kept: dict[str, list[Event]] = field(default_factory=dict)
    """customer: events that are kept, the newest last."""


def day_of(time: int) -> int:
    """UTC day since 1970 of a time in milliseconds."""
    return time // DAY_MS


def epoch_of(time: int) -> int:
    """Period of 30 UTC days since 1970."""
    return day_of(time) // EPOCH_DAYS


# --- from a log to its state ------------------------------------------------------------------------------------------


def batch(orders: Sequence[Order], pair_window: int, events: str = "purchase", seeds: Collection[str] = ()) -> State:
    """The state of a log.

    Args:
        orders: the log.
        pair_window: 0 is no limit.
        events: the type that is counted.
        seeds: types that are kept; those of any other are skipped.
    """
    state = State()
    for index, order in enumerate(orders):
        if order.type == "erase":
            erase(state, order.customer_id)
        elif order.type == events or (order.type == "return" and events == "purchase"):
            count_order(state, index, order)
        elif order.type in seeds:
            happen(state, order)
    keep_newest_events(state)
    keep_newest_days(state)
    count_histories(state, pair_window)
    return state


def one_line_an_item(order: Order) -> list[tuple[int, Line]]:
    """An order's lines, with those of the same item merged, each with the index of the first of them.

    >>> one_line_an_item(Order("ann", 0, (Line("a", 2), Line("b"), Line("a", 3))))
    [(0, Line(item_id='a', quantity=5)), (1, Line(item_id='b', quantity=1))]
    """
    merged: dict[str, tuple[int, Line]] = {}
    for index, line in enumerate(order.lines):
        first, so_far = merged.get(line.item_id, (index, Line(line.item_id, 0)))
        merged[line.item_id] = (first, Line(line.item_id, so_far.quantity + line.quantity))
    return list(merged.values())


def count_order(state: State, index: int, order: Order) -> None:
    """Count a purchase or return: each line is ignored as a duplicate, rejected, or accepted and remembered."""
    accepted = []
    for position, line in one_line_an_item(order):
        held = line.item_id in state.histories.get(order.customer_id, {})
        if is_duplicate(state, order, line.item_id) and not order.continued:
            state.duplicates += 1
        elif is_duplicate(state, order, line.item_id) and (order.type != "return" or not held):
            add_to_line(state, order.customer_id, line)
        elif order.type == "return" and not held:
            state.rejected.append(Rejected(index, position, line.item_id, NOT_HELD))
        else:
            accepted.append(line)
    for line in accepted:
        if order.type == "return":
            give_back(state, order.customer_id, line)
        else:
            buy(state, order.customer_id, order.time, line)
    state.accepted += len(accepted)
    if order.order_id is not None and accepted:
        remember(state, order, accepted)


def is_duplicate(state: State, order: Order, item_id: str) -> bool:
    """Whether an earlier record of the customer, still remembered, had this (order_id, item, type)."""
    if order.order_id is None:
        return False
    return (item_id, order.type) in state.remembered.get(order.customer_id, {}).get(order.order_id, set())


def remember(state: State, order: Order, accepted: list[Line]) -> None:
    """Remember accepted lines. A known order id keeps its age; with more than 64, the oldest is forgotten."""
    assert order.order_id is not None
    known = state.remembered.setdefault(order.customer_id, {})
    known.setdefault(order.order_id, set()).update((line.item_id, order.type) for line in accepted)
    if len(known) > ORDERS_REMEMBERED:
        del known[next(iter(known))]


def buy(state: State, customer_id: str, time: int, line: Line) -> None:
    """Purchase: a first one takes the customer's next seq, a repeat changes the other fields. Both add popularity."""
    history = state.histories.setdefault(customer_id, {})
    seq = state.next_seq.setdefault(customer_id, 0)
    held = history.get(line.item_id)
    if held is None:
        history[line.item_id] = Entry(seq, first=time, last=time, purchases=1, quantity=line.quantity)
        state.next_seq[customer_id] = seq + 1
    else:
        history[line.item_id] = replace(
            held,
            last=max(held.last, time),
            purchases=held.purchases + 1,
            quantity=held.quantity + line.quantity,
        )
    add_popularity(state, line.item_id, time)


def add_popularity(state: State, item_id: str, time: int) -> None:
    """A purchase of an item, a repeat or not, in the terms of popularity."""
    state.purchases[item_id] += 1
    state.purchases_by_epoch[item_id, epoch_of(time)] += 1
    state.purchases_by_day[item_id, day_of(time)] += 1
    state.newest = time if state.newest is None else max(state.newest, time)


def add_to_line(state: State, customer_id: str, line: Line) -> None:
    """Count a line into the one of its item that an earlier part of its order had: no other purchase."""
    history = state.histories.get(customer_id, {})
    if line.item_id in history:
        held = history[line.item_id]
        history[line.item_id] = replace(held, quantity=held.quantity + line.quantity)


def give_back(state: State, customer_id: str, line: Line) -> None:
    """Return: lower the quantity. At 0 or below the item leaves the history, and its seq is never used again."""
    history = state.histories[customer_id]
    left = history[line.item_id].quantity - line.quantity
    if left > 0:
        history[line.item_id] = replace(history[line.item_id], quantity=left)
    else:
        del history[line.item_id]


def erase(state: State, customer_id: str) -> None:
    """Erase: nothing of the customer stays but the popularity of what they bought, which names nobody."""
    state.histories.pop(customer_id, None)
    state.next_seq.pop(customer_id, None)
    state.remembered.pop(customer_id, None)
    state.kept.pop(customer_id, None)


def happen(state: State, order: Order) -> None:
    """Events of a type that is kept."""
    events = state.kept.setdefault(order.customer_id, [])
    for line in order.lines:
        events.append(Event(order.time, len(events), line.item_id, order.type))


def keep_newest_events(state: State) -> None:
    """Of each item the newest event stays, and of these the newest 100; ties go to the later in the log."""
    for customer_id, events in state.kept.items():
        newest = {event.item_id: event for event in sorted(events)}
        state.kept[customer_id] = sorted(newest.values())[-EVENTS_KEPT:]


def keep_newest_days(state: State) -> None:
    """Keep the purchases per day of the 60 days that end with the newest purchase."""
    if state.newest is not None:
        oldest = day_of(state.newest) - DAYS_KEPT + 1
        kept = {(item_id, day): n for (item_id, day), n in state.purchases_by_day.items() if day >= oldest}
        state.purchases_by_day = Counter(kept)


def count_histories(state: State, pair_window: int) -> None:
    """Pairs, exposures and holders: sums over customers of what they hold in the end, whatever led to it."""
    for history in state.histories.values():
        if history:
            state.customers += 1
        for x, held in history.items():
            exposure = 0
            for y, other in history.items():
                if y != x and (pair_window == 0 or abs(held.seq - other.seq) <= pair_window):
                    exposure += 1
                    state.pairs[x, y, epoch_of(max(held.first, other.first))] += 1
            state.exposures.setdefault(x, Counter())[exposure] += 1
            state.holders[x, epoch_of(held.first)] += 1


# --- the exposure histogram -------------------------------------------------------------------------------------------


def bucket(exposure: int) -> int:
    """The bucket of an exposure: exact up to 256, then eighths of an octave.

    Octave k above 256 runs from 256 * 2^k up to twice that, in 8 buckets of equal width: the 3 bits below the leading
    one say which.

    >>> [bucket(e) for e in (0, 255, 256, 257, 287, 288, 511, 512, 575, 576, 1024)]
    [0, 255, 256, 257, 257, 258, 264, 265, 265, 266, 273]
    """
    if exposure <= 256:
        return exposure
    octave = exposure.bit_length() - 9
    eighth = (exposure >> (octave + 5)) - 8
    return 257 + 8 * octave + eighth


def representative(index: int) -> int:
    """The exposure that represents a bucket: the midpoint of its exposures, rounded down.

    >>> [representative(b) for b in (0, 256, 257, 258, 264, 265, 273)]
    [0, 256, 272, 303, 495, 543, 1087]
    """
    if index <= 256:
        return index
    octave, eighth = divmod(index - 257, 8)
    lowest = max(257, (8 + eighth) << (octave + 5))  # 256 has its own bucket
    highest = ((9 + eighth) << (octave + 5)) - 1
    return (lowest + highest) // 2


def histogram(state: State, x: str) -> Counter[int]:
    """H_X: bucket: customers who hold X."""
    folded: Counter[int] = Counter()
    for exposure, customers in state.exposures.get(x, Counter()).items():
        folded[bucket(exposure)] += customers
    return folded


# --- reading the state, in floats; `half_life` is in days, None for none ------------------------------------


def weight(state: State, epoch: int, half_life: float | None) -> float:
    """0.5^(30 * epochs before the newest purchase's / half-life), or 1."""
    if half_life is None:
        return 1.0
    assert state.newest is not None, "a state without purchases has nothing to weigh"
    return float(0.5 ** (EPOCH_DAYS * (epoch_of(state.newest) - epoch) / half_life))


def copurchases(state: State, x: str, y: str | None = None, half_life: float | None = None) -> float:
    """N_h[X,Y]; without `y` its sum over every Y."""
    return math.fsum(
        n * weight(state, epoch, half_life)
        for (one, other, epoch), n in state.pairs.items()
        if one == x and y in (None, other)
    )


def holders(state: State, y: str | None = None, half_life: float | None = None) -> float:
    """n_h,Y; without `y` its sum over every Y."""
    return math.fsum(
        n * weight(state, epoch, half_life) for (item_id, epoch), n in state.holders.items() if y in (None, item_id)
    )


def chance(state: State, y: str, half_life: float | None = None) -> float:
    """P_h,Y: the chance that a random first purchase is Y; 0 if all weights have underflowed."""
    everything = holders(state, None, half_life)
    return holders(state, y, half_life) / everything if everything else 0.0


def expected(state: State, x: str, y: str, half_life: float | None = None) -> float:
    """E_h[X,Y]: co-purchases of X and Y that heavy buying alone explains."""
    everything = copurchases(state, x)
    if not everything:
        return 0.0
    decay = copurchases(state, x, None, half_life) / everything  # exactly 1 without half-life
    p = chance(state, y, half_life)
    return decay * math.fsum(
        customers * (1 - (1 - p) ** representative(index)) for index, customers in histogram(state, x).items()
    )


def decayed_share(state: State, y: str, days: float) -> float:
    """p_k of Y, k = `days`: its share of the purchases of the 60 days, weighted by 0.5^(age in whole days / k)."""
    assert state.newest is not None, "a state without purchases has no shares"
    newest_day = day_of(state.newest)
    weighted = [
        (item_id, n * 0.5 ** ((newest_day - day) / days)) for (item_id, day), n in state.purchases_by_day.items()
    ]
    return math.fsum(n for item_id, n in weighted if item_id == y) / math.fsum(n for _, n in weighted)


def share(state: State, y: str, half_life: float | None = None) -> float:
    """The p (p_h) of the trend: Y's share of all purchases, weighted by epoch."""
    weighted = [
        (item_id, n * weight(state, epoch, half_life)) for (item_id, epoch), n in state.purchases_by_epoch.items()
    ]
    return math.fsum(n for item_id, n in weighted if item_id == y) / math.fsum(n for _, n in weighted)


def trend_of(state: State, y: str, half_life: float | None = None) -> float:
    """How much more Y is bought recently than in general."""
    return (decayed_share(state, y, 7) + 1e-7) / (share(state, y, half_life) + 1e-6)


# --- scores and lists -------------------------------------------------------------------------------------------------


def difference(state: State, x: str, y: str, half_life: float | None = None) -> float:
    """N - E."""
    return copurchases(state, x, y, half_life) - expected(state, x, y, half_life)


def significance(state: State, x: str, y: str, half_life: float | None = None) -> float:
    """(N - E) / sqrt(E + 2)."""
    return difference(state, x, y, half_life) / math.sqrt(expected(state, x, y, half_life) + 2)


def lift(state: State, x: str, y: str, half_life: float | None = None) -> float:
    """(N - E) / (E + 20)."""
    return difference(state, x, y, half_life) / (expected(state, x, y, half_life) + 20)


def naive_expected(state: State, x: str, y: str) -> float:
    """n_X * n_Y / customers: the co-purchases expected by the metric of 2003."""
    return holders(state, x) * holders(state, y) / state.customers


def naive(state: State, x: str, y: str) -> float:
    """N - n_X * n_Y / customers."""
    return copurchases(state, x, y) - naive_expected(state, x, y)


def raw(state: State, x: str, y: str) -> float:
    """N."""
    return copurchases(state, x, y)


def cosine(state: State, x: str, y: str) -> float:
    """N / sqrt(n_X * n_Y)."""
    return copurchases(state, x, y) / math.sqrt(holders(state, x) * holders(state, y))


WITH_HALF_LIFE: dict[str, Callable[[State, str, str, float | None], float]] = {
    "difference": difference,
    "significance": significance,
    "lift": lift,
}
WITHOUT_HALF_LIFE: dict[str, Callable[[State, str, str], float]] = {"naive": naive, "raw": raw, "cosine": cosine}


class Related(NamedTuple):
    item_id: str
    score: float
    N: float
    E: float
    trend: float
    """The factor of the score; 1 if trend is off. A blend has two: this is the one without half-life."""


def candidates(state: State, x: str) -> list[str]:
    """Every Y that a customer holds as a pair with X."""
    return sorted({y for one, y, _ in state.pairs if one == x})


def blend(state: State, x: str, *, trend: bool) -> dict[str, float]:
    """Y: half difference + half difference with 60 days, each divided by the root of the sum of its own 50 best."""
    total = dict.fromkeys(candidates(state, x), 0.0)
    for half_life in (None, 60.0):
        values = {
            y: difference(state, x, y, half_life) * (trend_of(state, y, half_life) if trend else 1.0) for y in total
        }
        best = sorted((value for value in values.values() if value > 0), reverse=True)[:50]
        if best:  # a half without a positive value counts as 0
            for y, value in values.items():
                total[y] += 0.5 * value / math.sqrt(math.fsum(best))
    return total


def related(
    state: State,
    x: str,
    score: Score = "blend",
    half_life: float | None = None,
    *,
    trend: bool = True,
    length: int = 50,
) -> list[Related]:
    """The related list of X: positive scores only, best first, ties by purchases in all, then by item_id.

    Raises:
        ValueError: a half-life with a score that takes none.
    """
    if half_life is not None and score not in WITH_HALF_LIFE:
        raise ValueError(f"{score} takes no half-life")
    blended = blend(state, x, trend=trend) if score == "blend" else {}
    entries = []
    for y in candidates(state, x):
        n = copurchases(state, x, y, half_life)
        e = naive_expected(state, x, y) if score == "naive" else expected(state, x, y, half_life)
        factor = trend_of(state, y, half_life) if trend else 1.0
        if score == "blend":
            value = blended[y]
        elif score in WITH_HALF_LIFE:
            value = WITH_HALF_LIFE[score](state, x, y, half_life) * factor
        else:
            value = WITHOUT_HALF_LIFE[score](state, x, y) * factor
        if value > 0:
            entries.append(Related(y, value, n, e, factor))
    entries.sort(key=lambda entry: (-entry.score, -state.purchases[entry.item_id], entry.item_id))
    return entries[:length]
