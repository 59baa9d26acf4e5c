"""The self-tuned share is learned from the past alone, and only where the past is clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluation.past import past_at
from evaluation.protocol import Protocol, cutoffs_of
from evaluation.purchases import read_purchases
from evaluation.systems.self_tuned import RIVALS, Contest, learned_share
from producers.orders import DAY_MS
from streams.offline import windows
from streams.recommendations.request import POPULARITY_SHARE
from tests.shops import NEW_YEAR_MS, Purchase, planted, shop, write_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture(autouse=True)
def _many_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of the first 100 of every 200 rows."""
    monkeypatch.setattr(windows, "WINDOW_ROWS", 100)
    monkeypatch.setattr(windows, "_OFTEN", 200)


def share_of(directory: Path, log: Sequence[Purchase]) -> float:
    """The share learned from a log at its last cutoff."""
    path = write_log(directory / "log.csv", log)
    protocol = Protocol(cutoffs=1, horizon_days=10)
    purchases = read_purchases([path], {})
    past = past_at(cutoffs_of(purchases, protocol)[-1], purchases, [path], {}, protocol)
    try:
        return learned_share(past)
    finally:
        past.states.close()


def fashions(seed: int = 0, customers: int = 150, days: int = 60) -> list[Purchase]:
    """A log with twelve items that everybody buys for ten days, then twelve others, among random ones."""
    rng = np.random.default_rng(seed)
    log = []
    for number in np.sort(rng.integers(0, days * DAY_MS, 60 * days)).tolist():
        new = f"new{number // (10 * DAY_MS)}-{int(rng.integers(0, 12))}"
        item = new if rng.random() < 0.5 else f"old{rng.integers(0, 300)}"
        log.append(Purchase(NEW_YEAR_MS + number, f"c{rng.integers(0, customers)}", item))
    return log


def test_where_everybody_follows_fashions_popularity_gets_more_weight(tmp_path: Path) -> None:
    assert share_of(tmp_path, fashions()) > POPULARITY_SHARE


def test_where_bestsellers_predict_nothing_popularity_gets_no_more_weight(tmp_path: Path) -> None:
    assert share_of(tmp_path, planted(customers=600)) <= POPULARITY_SHARE


def test_nothing_is_learned_from_after_the_cutoff(tmp_path: Path) -> None:
    """A share tuned on the orders that it is evaluated on would look better than it is."""
    log = fashions()
    cutoff = NEW_YEAR_MS + 50 * DAY_MS
    late = [purchase for purchase in log if purchase.time < cutoff]
    for seed in range(2):
        rng = np.random.default_rng(seed)
        other = [one._replace(item=f"old{rng.integers(0, 300)}") for one in log if one.time >= cutoff]
        (tmp_path / str(seed)).mkdir()

        assert share_of(tmp_path / str(seed), [*late, *other]) == share_of(tmp_path, log)


def test_a_short_log_keeps_the_default_share(tmp_path: Path) -> None:
    assert share_of(tmp_path, shop(customers=8)) == POPULARITY_SHARE


def test_an_advantage_must_be_certain_and_recent() -> None:
    contest = Contest()
    rng = np.random.default_rng(0)
    for _ in range(400):
        contest.add(0, np.array([rng.integers(-100, 101), 30 + rng.integers(-100, 101), rng.integers(-100, 101)]))

    assert contest.winner(0) == RIVALS.index(0.6)
    for _ in range(400):
        contest.add(600, np.array([0, -30, 0]) + rng.integers(-100, 101, 3))
    assert contest.winner(600) is None
