"""Recommendations and bestsellers equal their definition on any state, and their reasons add up."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from state import count_store, history_store
from state.settings import CountingSettings
from streams.catalogue.catalogue import Catalogue, CatalogueItem
from streams.endpoint.embedded_answers import EmbeddedAnswers
from streams.endpoint.requests import BestsellersRequest
from streams.engine.embedded import Embedded
from streams.recommendations.request import RecommendationRequest
from tests.batch_definition import Line, Order, State, batch, day_of
from tests.log_strategies import CUSTOMERS, ITEMS, as_orders, logs
from tests.recommendation_definition import Recommended, recommendations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

thorough = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CATALOGUE_ONLY = ("zucchini", "aubergine")
some_items = st.lists(st.sampled_from(ITEMS), max_size=3, unique=True)
groupings = st.dictionaries(st.sampled_from([*ITEMS, *CATALOGUE_ONLY]), st.sampled_from("gh"), max_size=6)
shares = st.sampled_from([0.0, 0.2, 0.4, 1.0])


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_store, "_PAIRS_PER_SLICE", 5)
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 2)


def answered(
    log: Sequence[Order],
    ask: Callable[[EmbeddedAnswers], Awaitable[Any]],
    catalogue: Catalogue | None = None,
    partitions: int = 1,
    *,
    publish: bool = True,
) -> Any:  # noqa: ANN401 - whatever `ask` returns
    """The answers of a state of `log`."""
    with tempfile.TemporaryDirectory() as directory:
        embedded = Embedded(Path(directory), CountingSettings(item_partitions=partitions))
        embedded.count(as_orders(log), len(log))
        if publish:
            list(embedded.publish())

        async def run() -> Any:  # noqa: ANN401
            return msgspec.json.decode(msgspec.json.encode(await ask(EmbeddedAnswers(embedded, catalogue))))

        try:
            return asyncio.run(run())
        finally:
            embedded.close()


def shares_of(entry: dict[str, Any]) -> dict[str, float]:
    """The shares of a recommendation's reasons, by kind or seed."""
    return {
        reason.get("item_id") or ("popularity" if "popularity" in reason else "repeats"): reason["share"]
        for reason in entry["because"]
        if "filler" not in reason
    }


def agree(found: list[dict[str, Any]], wanted: list[Recommended], everything: list[Recommended]) -> None:
    """Scores agree rank by rank, and so do the items, except where scores differ by rounding alone."""
    assert [entry["score"] for entry in found] == pytest.approx([entry.score for entry in wanted], rel=1e-6, abs=1e-9)
    by_id = {entry.item_id: entry for entry in everything}
    for entry in found:
        assert entry["score"] == pytest.approx(by_id[entry["item_id"]].score, rel=1e-6, abs=1e-9)
        wanted_shares = {kind: share for kind, share in by_id[entry["item_id"]].because.items() if share > 1e-9}
        found_shares = {kind: share for kind, share in shares_of(entry).items() if share > 1e-9}
        assert found_shares == pytest.approx(wanted_shares, rel=1e-5, abs=1e-8)
        assert sum(reason["share"] for reason in entry["because"]) == pytest.approx(entry["score"], rel=1e-9, abs=1e-12)


@thorough
@given(
    log=logs(min_size=1),
    customer=st.sampled_from([*CUSTOMERS, "stranger"]),
    basket=some_items,
    exclude=some_items,
    unavailable=some_items,
    category=st.none() | st.lists(st.sampled_from([*ITEMS, *CATALOGUE_ONLY]), max_size=5, unique=True),
    in_catalogue=st.booleans(),
    limit=st.integers(1, 12),
    keep_held=st.booleans(),
    popularity=shares,
    repeats=st.sampled_from([0.0, 0.0, 0.6, 1.0]),
    partitions=st.integers(1, 2),
    publish=st.booleans(),
    groups=groupings,
)
def test_recommendations_are_those_of_the_definition(
    log: list[Order],
    customer: str,
    basket: list[str],
    exclude: list[str],
    unavailable: list[str],
    category: list[str] | None,
    in_catalogue: bool,
    limit: int,
    keep_held: bool,
    popularity: float,
    repeats: float,
    partitions: int,
    publish: bool,
    groups: dict[str, str],
) -> None:
    """The merge is compiled, and filled up from a front of popular items; neither may change the result."""
    state = batch(log, 100)
    named = {line.item_id for order in log if order.type != "erase" for line in order.lines}
    catalogue = Catalogue(dict.fromkeys(CATALOGUE_ONLY, CatalogueItem()) if in_catalogue else {})
    groups = {item: group for item, group in groups.items() if in_catalogue or item not in CATALOGUE_ONLY}
    for item in set(unavailable) | set(category or ()) | groups.keys():
        if in_catalogue or item not in CATALOGUE_ONLY:
            shown = CatalogueItem(
                category="here" if item in (category or ()) else None,
                available=item not in unavailable,
                group_id=groups.get(item),
            )
            catalogue.put(item, shown)
    seeds = [item for item in basket if item in named]
    request = RecommendationRequest(
        customer_id=customer,
        limit=limit,
        basket=tuple(basket),
        exclude=tuple(exclude),
        category=None if category is None else "here",
        keep_held=keep_held,
        popularity_share=popularity,
        repeats_share=repeats,
        reasons=102,
    )
    terms: dict[str, Any] = {
        "basket": seeds,
        "hidden": {*exclude, *unavailable},
        "only": None if category is None else category,
        "unbought": catalogue.items,
        "keep_held": keep_held,
        "popularity_share": popularity,
        "repeats_share": repeats,
        "groups": groups,
    }
    if not state.purchases:
        return

    document = answered(log, lambda answers: answers.recommendations(request), catalogue, partitions, publish=publish)

    found = document["recommendations"]
    everything = recommendations(state, customer, 1000, **terms)
    agree(found, everything[:limit], recommendations(state, customer, 1000, **{**terms, "groups": {}}))
    assert len(found) == min(limit, len(everything))
    ids = {entry["item_id"] for entry in found}
    assert not ids & {*exclude, *unavailable}
    if not keep_held and repeats == 0:
        assert not ids & set(state.histories.get(customer, {}))


@thorough
@given(log=logs(min_size=3), customer=st.sampled_from(CUSTOMERS), reasons=st.integers(1, 4))
def test_reasons_left_out_are_one_entry_so_that_shares_still_add_up(
    log: list[Order], customer: str, reasons: int
) -> None:
    """A shop that shows three reasons of thirty must be able to show the share of the others."""
    request = RecommendationRequest(customer_id=customer, reasons=reasons)
    document = answered(log, lambda answers: answers.recommendations(request))

    for entry in document["recommendations"]:
        assert sum(reason["share"] for reason in entry["because"]) == pytest.approx(entry["score"], rel=1e-9, abs=1e-12)
        assert len(entry["because"]) <= reasons + 1
        named = [reason["share"] for reason in entry["because"] if "others" not in reason]
        assert named == sorted(named, reverse=True)


def _bought_since(state: State, day: int, items: Collection[str]) -> dict[str, int]:
    """How often items were bought after a day."""
    bought: dict[str, int] = {}
    for (item, when), n in state.purchases_by_day.items():
        if when > day and item in items:
            bought[item] = bought.get(item, 0) + n
    return {item: n for item, n in bought.items() if n > 0}


@thorough
@given(log=logs(min_size=1), days=st.integers(1, 60), hidden=some_items, limit=st.integers(1, 9), groups=groupings)
def test_bestsellers_are_counted_over_the_days_before_the_newest_purchase(
    log: list[Order], days: int, hidden: list[str], limit: int, groups: dict[str, str]
) -> None:
    """Event time counts, not the clock: a replayed year has its own last two weeks."""
    state = batch(log, 100)
    catalogue = Catalogue(
        {item: CatalogueItem(available=item not in hidden, group_id=groups.get(item)) for item in {*hidden, *groups}}
    )
    if state.newest is None:
        reject()  # a log may hold but returns of what nobody bought
    shown = {item: n for item, n in state.purchases.items() if n > 0 and item not in hidden}
    recently = wanted = _bought_since(state, day_of(state.newest) - days, shown)
    for more in (_bought_since(state, day_of(state.newest) - 60, shown), shown):
        wanted = wanted or more  # purchases are kept by day for sixty days

    document = answered(log, lambda answers: answers.bestsellers(BestsellersRequest(days=days, limit=limit)), catalogue)

    ranked = sorted(wanted.items(), key=lambda entry: (-entry[1], -state.purchases[entry[0]], entry[0]))
    best = {groups[item]: item for item, _ in reversed(ranked) if item in groups}
    ranked = [(item, n) for item, n in ranked if item not in groups or best[groups[item]] == item]
    assert [(entry["item_id"], entry["purchases"]) for entry in document["bestsellers"]] == ranked[:limit]
    assert ("widened_to_days" in document) == (bool(wanted) and not recently)


def test_equal_states_give_equal_recommendations_however_often_asked() -> None:
    """Ties must not depend on memory addresses or the order of a dictionary."""
    lines = [Order(f"c{number}", 10**12 + number, as_lines(number)) for number in range(40)]

    async def twice(answers: EmbeddedAnswers) -> list[Any]:
        request = RecommendationRequest(customer_id="c3", limit=20)
        return [await answers.recommendations(request) for _ in range(2)]

    first, again = answered(lines, twice)
    other, _ = answered(lines, twice, partitions=3)

    assert first == again
    assert first["recommendations"] == other["recommendations"]


def as_lines(number: int) -> tuple[Line, ...]:
    return tuple(Line(f"i{(number * step) % 17}") for step in (1, 3, 5))
