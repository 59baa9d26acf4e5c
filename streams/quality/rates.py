"""Hit rates: the integer hit counts of prequential scoring, read as rates and shown as lines and curves."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.engine.documents import day_text
from streams.quality.prequential import AT, HitCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RUNNING_HALF_LIFE_DAYS = 30
_FIRST_DAY = date(1970, 1, 1).toordinal()
_BLOCKS = "▁▂▃▄▅▆▇█"


class Day(NamedTuple):
    """A UTC day on which orders were scored, and the running rates at its end."""

    day: int
    hit_counts: HitCounts
    hit_rate: float
    """Hits per scored order, up to and including this day; weights halve with every 30 days of age."""
    bestseller_hit_rate: float


def total(hit_counts: Iterable[Sequence[int]]) -> HitCounts:
    """The sum of all hit counts.

    >>> total([(3, 1, 0), (2, 1, 2)])
    HitCounts(orders=5, hits=2, bestseller_hits=2)
    """
    whole = HitCounts()
    for counts in hit_counts:
        whole = whole.plus(HitCounts(*counts))
    return whole


def united(partitions: Iterable[Mapping[int, Sequence[int]]]) -> dict[int, HitCounts]:
    """The hit counts of several partitions, summed by day.

    >>> united([{0: (3, 1, 0)}, {0: (2, 1, 2), 1: (1, 0, 0)}])[0]
    HitCounts(orders=5, hits=2, bestseller_hits=2)
    """
    days: dict[int, list[Sequence[int]]] = defaultdict(list)
    for partition in partitions:
        for day, counts in partition.items():
            days[day].append(counts)
    return {day: total(partial) for day, partial in days.items()}


def running(hit_counts: Mapping[int, Sequence[int]]) -> list[Day]:
    """Every day with its running rates, in ascending order.

    >>> [(day.day, day.hit_rate, round(day.bestseller_hit_rate, 3)) for day in running({30: (2, 1, 1), 0: (4, 2, 0)})]
    [(0, 0.5, 0.0), (30, 0.5, 0.25)]
    """
    days = []
    orders = hits = bestseller_hits = 0.0
    before = 0
    for day in sorted(hit_counts):
        counts = HitCounts(*hit_counts[day])
        left = 0.5 ** ((day - before) / RUNNING_HALF_LIFE_DAYS)
        orders = orders * left + counts.orders
        hits = hits * left + counts.hits
        bestseller_hits = bestseller_hits * left + counts.bestseller_hits
        days.append(Day(day, counts, hits / orders, bestseller_hits / orders))
        before = day
    return days


def by_month(hit_counts: Mapping[int, Sequence[int]]) -> dict[str, HitCounts]:
    """Hit counts by calendar month, such as "2017-03", in ascending order."""
    months: dict[str, list[Sequence[int]]] = defaultdict(list)
    for day in sorted(hit_counts):
        months[day_text(day)[:7]].append(hit_counts[day])
    return {month: total(counts) for month, counts in months.items()}


def quality_entries(hit_counts: Mapping[int, Sequence[int]]) -> dict[str, Any]:
    """Hit counts with running rates, as the endpoint and the command line show them."""
    days = running(hit_counts)
    return {
        "at": AT,
        **total(hit_counts.values())._asdict(),
        "running_half_life_days": RUNNING_HALF_LIFE_DAYS,
        "days": [
            {
                "day": day_text(day.day),
                **day.hit_counts._asdict(),
                "hit_rate": day.hit_rate,
                "bestseller_hit_rate": day.bestseller_hit_rate,
            }
            for day in days
        ],
    }


def hit_counts_of(document: Mapping[str, Any]) -> dict[int, HitCounts]:
    """The hit counts in a document of `quality_entries`.

    >>> hit_counts_of(quality_entries({17_167: (40, 6, 4)}))
    {17167: HitCounts(orders=40, hits=6, bestseller_hits=4)}
    """
    return {
        date.fromisoformat(day["day"]).toordinal() - _FIRST_DAY: HitCounts(*(day[field] for field in HitCounts._fields))
        for day in document["days"]
    }


def sparkline(values: Sequence[float], most: float) -> str:
    """Values as a row of blocks; the tallest block is `most`.

    >>> sparkline([0.0, 0.1, 0.4], 0.4)
    '▁▃█'
    """
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[min(top, int(value / most * top + 0.5)) if most > 0 else 0] for value in values)


def quality_lines(hit_counts: Mapping[int, Sequence[int]]) -> list[str]:
    """Lines for a terminal: hit rates by month and overall, and a curve of each.

    >>> for line in quality_lines({17_167: (40, 6, 4), 17_200: (60, 12, 6)}):
    ...     print(line)
    hit@6 of new items, before each order was counted
    month     orders  recommended  bestsellers
    2017-01       40         .150         .100
    2017-02       60         .200         .100
    all          100         .180         .100
    recommended ▆█
    bestsellers ▅▅
    """
    months = by_month(hit_counts)
    whole = total(hit_counts.values())
    if not whole.orders:
        return ["no order was scored"]
    rows = [*months.items(), ("all", whole)]
    lines = [f"hit@{AT} of new items, before each order was counted", "month     orders  recommended  bestsellers"]
    lines += [
        f"{name:<8}{counts.orders:>8,}  {_rate(counts.hits, counts.orders):>11}  "
        f"{_rate(counts.bestseller_hits, counts.orders):>11}"
        for name, counts in rows
    ]
    curves = [
        [counts.hits / counts.orders for counts in months.values()],
        [counts.bestseller_hits / counts.orders for counts in months.values()],
    ]
    most = max(map(max, curves))
    return [*lines, *(f"{name} {sparkline(curve, most)}" for name, curve in zip(_CURVES, curves, strict=True))]


_CURVES = ("recommended", "bestsellers")


def _rate(hits: int, orders: int) -> str:
    return f"{hits / orders:.3f}".removeprefix("0")
