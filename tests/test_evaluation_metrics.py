from __future__ import annotations

import numpy as np
import pytest

from evaluation.intervals import Bootstrap
from evaluation.metrics import best_candidates, customer_metrics


def test_metrics_equal_a_hand_computed_example() -> None:
    recommended = np.array([[3, 0, 2, -1], [4, 1, 0, 2], [2, 3, 4, 0]])
    targets = np.array(
        [
            [True, False, True, False, False],  # two of its three targets are candidates, recommended second and third
            [False, False, True, False, False],  # recommended, but only fourth
            [False, False, False, False, False],  # its only target is outside the universe
        ]
    )
    found = customer_metrics(recommended, targets, np.array([3, 1, 1]), at=3)

    assert found.hit.tolist() == [1, 0, 0]
    assert found.recall.tolist() == pytest.approx([2 / 3, 1, 0])
    third, second, fourth = 1 / np.log2(4), 1 / np.log2(3), 1 / np.log2(5)
    assert found.ndcg.tolist() == pytest.approx([(second + third) / (1 + second + third), fourth, 0])


def test_a_missing_recommendation_hits_nothing() -> None:
    """Its placeholder, -1, would be a candidate if it were used as an index."""
    targets = np.array([[True, True]])
    assert customer_metrics(np.array([[-1, -1]]), targets, np.array([2]), at=2).hit.tolist() == [0]


def test_equal_scores_are_ordered_by_popularity_then_id() -> None:
    scores = np.zeros((1, 50))
    scores[0, 30] = 1
    held = np.zeros((1, 50), bool)
    held[0, :2] = True
    assert best_candidates(scores, held, 4).tolist() == [[30, 2, 3, 4]]


def test_a_customer_with_more_than_twenty_targets_can_reach_a_perfect_ndcg_but_not_recall() -> None:
    targets = np.ones((1, 40), bool)
    found = customer_metrics(np.arange(20)[None], targets, np.array([40]), at=6)
    assert found.ndcg.item() == pytest.approx(1)
    assert found.recall.item() == 0.5


def test_paired_intervals_are_narrower_than_those_of_the_means() -> None:
    """Most of the variation between customers is common to both systems, which is why intervals are paired."""
    rng = np.random.default_rng(0)
    one = (rng.random(500) < 0.3).astype(float)
    other = np.where(rng.random(500) < 0.05, 1 - one, one)
    bootstrap = Bootstrap([np.arange(500)], 0)
    mean = bootstrap.interval([one])
    difference = bootstrap.difference([one], [other])

    assert mean.low < one.mean() == mean.mean < mean.high
    assert difference.high - difference.low < (mean.high - mean.low) / 1.5
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * one.std() / np.sqrt(500), rel=0.1)


def test_a_customer_asked_at_every_cutoff_is_one_customer() -> None:
    """Three copies of the same answers have no more information than one."""
    values = (np.random.default_rng(1).random(300) < 0.2).astype(float)
    once = Bootstrap([np.arange(300)], 0).interval([values])
    thrice = Bootstrap([np.arange(300)] * 3, 0).interval([values] * 3)
    assert thrice == pytest.approx(once)
