from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evaluation.errors import EvaluationError
from evaluation.evaluate import outcome_of, recommendations
from evaluation.past import Past, past_at
from evaluation.protocol import Protocol, cutoffs_of
from evaluation.purchases import read_purchases
from evaluation.systems.chance import chance
from evaluation.systems.registry import SYSTEMS, systems_named
from evaluation.systems.related import Merging, item_to_item
from evaluation.systems.system import System
from evaluation.targets import eligible_customers
from producers.orders import DAY_MS
from streams.engine.scores import Scoring
from tests.shops import NEW_YEAR_MS, Purchase, planted, shop, write_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evaluation.purchases import Purchases

Seen = tuple[Past, "Purchases", Protocol]


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Any]:
    """A function that returns what is known of a log at its last cutoff."""
    pasts: list[Past] = []

    def seen(log: Sequence[Purchase], **options: Any) -> Seen:  # noqa: ANN401 - a protocol's
        path = write_log(tmp_path / f"log-{len(pasts)}.csv", log)
        protocol = Protocol(**{"cutoffs": 1, "horizon_days": 10, **options})
        purchases = read_purchases([path], {})
        past = past_at(cutoffs_of(purchases, protocol)[-1], purchases, [path], {}, protocol)
        pasts.append(past)
        return past, purchases, protocol

    yield seen
    for past in pasts:
        past.states.close()


def steady(days: int) -> list[Purchase]:
    """Two purchases a day."""
    return [
        Purchase(NEW_YEAR_MS + number * DAY_MS // 2 + 1, f"c{number % 3}", f"i{number % 7}")
        for number in range(2 * days)
    ]


def recommended_by(past: Past, system: System) -> dict[str, list[str]]:
    """What a system recommends to every customer with history, and to one without."""
    rows = np.arange(past.cold_row + 1)
    candidates = recommendations(past, system.fit(past, 0), rows)
    names = [*past.customers, "customer without history"]
    return {
        name: [past.items[candidate] for candidate in listed if candidate >= 0]
        for name, listed in zip(names, candidates.tolist(), strict=True)
    }


def test_events_after_the_cutoff_change_no_recommendation(look: Any) -> None:  # noqa: ANN401
    """A system that sees counts, popularity, trend or universe of the future looks better than it is."""
    log = shop()
    past, _, _ = look(log, universe=30)
    rng = np.random.default_rng(5)
    kept = [purchase for purchase in log if purchase.time < past.cutoff_ms]
    later = [
        Purchase(
            past.cutoff_ms + int(rng.integers(0, 10 * DAY_MS)),
            f"c{rng.integers(0, 90)}",
            f"{rng.choice(['i', 'unheard-of-'])}{rng.integers(0, 50)}",
        )
        for _ in range(300)
    ]
    end = Purchase(log[-1].time, "c0", "i39")  # so that the cutoffs are the same
    altered, _, _ = look([*kept, *sorted(later), end], universe=30)

    assert altered.cutoff_ms == past.cutoff_ms
    for system in SYSTEMS:
        assert recommended_by(altered, system) == recommended_by(past, system), system.name


def test_item_to_item_finds_planted_pairs_and_bestsellers_do_not(look: Any) -> None:  # noqa: ANN401
    past, purchases, protocol = look(planted())
    eligible = eligible_customers(past, purchases, protocol)
    hit = {
        system.name: outcome_of(past, eligible, protocol, system).hit.mean()
        for system in systems_named(["default", "difference", "bestsellers-*", "customers-full", "ease"])
    }
    # a hundred customers look for three of 57 new items with six guesses: 29 % by chance
    assert max(hit["bestsellers-14d"], hit["bestsellers-all"]) < 0.45
    assert min(hit["default"], hit["difference"], hit["customers-full"], hit["ease"]) > 0.9


def test_the_batch_merge_equals_the_shipped_recommendations(look: Any) -> None:  # noqa: ANN401
    """Otherwise the settings that the evaluation chooses would not be those of the product."""
    past, _, _ = look(shop(seed=3, customers=80, items=70), universe=0)
    (default,) = systems_named(["default"])
    merge = System("merge", "", item_to_item(Scoring(), Merging()))
    assert recommended_by(past, merge) == recommended_by(past, default)


def test_a_random_recommender_hits_as_often_as_chance_says(look: Any) -> None:  # noqa: ANN401
    past, purchases, protocol = look(shop(customers=400, items=100), universe=0)
    eligible = eligible_customers(past, purchases, protocol)
    hit = outcome_of(past, eligible, protocol, System("chance", "", chance)).hit
    free = len(past.items) - past.held[eligible.rows].sum(axis=1)
    targets = np.asarray(eligible.targets.candidates.sum(axis=1))
    missed = np.ones(len(hit))
    for draw in range(6):
        missed *= np.clip((free - targets - draw) / (free - draw), 0, 1)
    chances = 1 - missed
    deviation = np.sqrt((chances * missed).sum())

    assert len(hit) > 100
    assert abs(hit.sum() - chances.sum()) < 3 * deviation


def test_targets_outside_the_universe_count_as_misses(look: Any) -> None:  # noqa: ANN401
    """Leaving out their customers would make every system look better."""
    day = NEW_YEAR_MS
    log = [Purchase(day + number * DAY_MS // 4, f"c{number % 5}", f"i{number % 4}") for number in range(100)]
    log += [Purchase(day + 30 * DAY_MS, f"c{number}", "never seen before") for number in range(5)]
    log += [Purchase(day + 31 * DAY_MS, "newcomer", "i0"), Purchase(day + 35 * DAY_MS, "the end", "i0")]
    past, purchases, protocol = look(log)
    eligible = eligible_customers(past, purchases, protocol)

    assert "never seen before" not in past.items
    assert eligible.targets.total.tolist() == [1] * 5
    assert eligible.targets.candidates.sum() == 0
    assert eligible.cold.total.tolist() == [1]
    assert eligible.cold.candidates.sum() == 1


def test_with_target_all_held_items_are_recommended_and_count(look: Any) -> None:  # noqa: ANN401
    log = [Purchase(NEW_YEAR_MS + number * DAY_MS, f"c{number % 2}", f"i{number % 2}") for number in range(40)]
    past, purchases, protocol = look(log, target="all")
    eligible = eligible_customers(past, purchases, protocol)
    (again,) = (system for system in SYSTEMS if system.name == "buy-again")
    assert outcome_of(past, eligible, protocol, again).hit.tolist() == [1, 1]

    past, purchases, protocol = look(log, target="new")
    eligible = eligible_customers(past, purchases, protocol)
    assert eligible.targets.total.tolist() == [0, 0]
    assert outcome_of(past, eligible, protocol, again).hit.tolist() == [0, 0]


def test_cutoffs_end_one_horizon_before_the_last_day_and_skip_from_the_end(tmp_path: Path) -> None:
    log = [Purchase(NEW_YEAR_MS + number * DAY_MS + 1, f"c{number % 3}", f"i{number % 5}") for number in range(101)]
    purchases = read_purchases([write_log(tmp_path / "log.csv", log)], {})
    days = [
        [(cutoff - NEW_YEAR_MS) // DAY_MS for cutoff in cutoffs_of(purchases, protocol)]
        for protocol in (Protocol(), Protocol(spacing_days=28), Protocol(cutoffs=2, skip=3))
    ]
    assert days == [[58, 72, 86], [30, 58, 86], [30, 44]]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ([Purchase(NEW_YEAR_MS + day, "ann", f"i{day}") for day in range(5)], "are of one customer, 'ann'"),
        ([Purchase(NEW_YEAR_MS + day, f"c{day}", "tea") for day in range(5)], "all 5 purchases are of one item, 'tea'"),
        ([Purchase(NEW_YEAR_MS, f"c{day}", f"i{day}") for day in range(5)], "all 5 purchases have the same timestamp"),
        ([], "the log has no purchase: is --columns right"),
    ],
)
def test_a_log_without_variety_is_refused(tmp_path: Path, log: list[Purchase], message: str) -> None:
    path = write_log(tmp_path / "log.csv", log)
    with pytest.raises(EvaluationError, match=message):
        read_purchases([path], {})


@pytest.mark.parametrize(
    ("days", "options", "message"),
    [
        (40, {}, "2024-01-01 to 2024-02-09, too short for 3 cutoffs, 14 days apart.* it allows 2 in all: --cutoffs 2"),
        (40, {"skip": 1, "cutoffs": 2}, "too short for 3 cutoffs of which the last 1 skipped"),
        (10, {"cutoffs": 1}, "too short for 14 days of purchases.* it allows --horizon 8d with --cutoffs 1"),
        (1, {"cutoffs": 1}, "an evaluation needs more than a day"),
    ],
)
def test_a_log_too_short_says_what_it_allows(tmp_path: Path, days: int, options: dict[str, Any], message: str) -> None:
    log = steady(days)
    purchases = read_purchases([write_log(tmp_path / "log.csv", log)], {})
    with pytest.raises(EvaluationError, match=message):
        cutoffs_of(purchases, Protocol(**options))


def test_what_a_short_log_allows_is_possible(tmp_path: Path) -> None:
    log = steady(40)
    purchases = read_purchases([write_log(tmp_path / "log.csv", log)], {})
    assert len(cutoffs_of(purchases, Protocol(cutoffs=2))) == 2
    short = purchases.between(0, NEW_YEAR_MS + 10 * DAY_MS)
    assert len(cutoffs_of(short, Protocol(cutoffs=1, horizon_days=8))) == 1


def test_a_log_in_which_nobody_comes_back_has_no_eligible_customer(look: Any) -> None:  # noqa: ANN401
    log = [Purchase(NEW_YEAR_MS + day * DAY_MS, f"c{day}", f"i{day % 3}") for day in range(60)]
    past, purchases, protocol = look(log)
    with pytest.raises(EvaluationError, match="eligible: of 10 who bought in the 10 days from 2024-02-19"):
        eligible_customers(past, purchases, protocol)


def test_an_unknown_system_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EvaluationError, match=r"no system 'defualt' \(did you mean default\?\).*groups: default"):
        systems_named(["defualt"])


def test_systems_are_chosen_by_name_group_and_pattern_always_with_the_default() -> None:
    names = [system.name for system in systems_named(["user-based", "als*"])]
    assert names == ["default", "customers-full", "customers-sample", "als", "als-trend"]
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS) == len(systems_named([]))


def test_systems_are_compared_with_any_one_of_them() -> None:
    assert [system.name for system in systems_named(["als"], against="raw")] == ["raw", "als"]
    with pytest.raises(EvaluationError, match="--against takes the name of one system, not 'popularity'"):
        systems_named([], against="popularity")
