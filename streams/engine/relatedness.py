"""How related two items are: expected co-purchases and the scores. Pure functions.

Smith & Linden 2017, "Two Decades of Recommender Systems at Amazon.com"; Linden, Smith & York 2003, "Amazon.com
Recommendations: Item-to-Item Collaborative Filtering".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.compiled import compiled
from streams.engine.scores import COSINE, DIFFERENCE, LIFT, NAIVE, RAW, SIGNIFICANCE

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

LANES = 8
"""How many chances are evaluated together."""
_SIGNIFICANCE_SUPPORT = 2.0
_LIFT_SUPPORT = 20.0


def expected_copurchases(exposures: Floats, buyers: Floats, popularity: Floats) -> Floats:
    """Co-purchases of one item with each of n others that heavy buying alone explains.

    A buyer with e other purchases does not buy an item of popularity P with probability (1 - P)^e. The powers are
    multiplied up from bucket to bucket: exact to a few units in the last place, at a tenth of the cost of an
    exponential for each bucket.

    Args:
        exposures: (b,) float64, other purchases a buyer could have paired with the item, one per histogram bucket;
            >= 0, rising, whole numbers.
        buyers: (b,) float64, buyers of the item in each bucket; >= 0.
        popularity: (n,) float64 in [0, 1], each other item's share of all first purchases.

    Returns:
        (n,) float64, between 0 and buyers.sum().

    Smith & Linden 2017, the correction for heavy buyers.

    >>> expected_copurchases(np.array([1.0, 2.0]), np.array([3.0, 1.0]), np.array([0.5]))
    array([2.25])
    """
    expected = np.empty(len(popularity))
    lanes = np.zeros((4, LANES))
    for first in range(0, len(popularity), LANES):
        several = popularity[first : first + LANES]
        lanes[0, : len(several)] = several
        expect(exposures.astype(np.int64), buyers, len(exposures), lanes)
        expected[first : first + LANES] = lanes[0, : len(several)]
    return expected


# Expected co-purchases of X and Y, the correction for heavy buyers of Smith and Linden:
#     E = sum over buyers c of X of 1 - (1 - P)^e_c = sum over buckets of b_e (1 - (1 - P)^e)
# P is the chance that a random first purchase is Y. The exposure e_c is the number of other items of c within the pair
# window of X, so (1 - P)^e_c is the probability that c does not hold Y. b_e is the number of buyers of X in the bucket
# of exposure e. Under a half-life, P is that of weighted first purchases, and E is multiplied by the sum of X's
# weighted pairs divided by the sum of its pairs.


@compiled
def expect(exposures: npt.NDArray[np.int64], buyers: Floats, buckets: int, lanes: Floats) -> None:
    """Replace LANES chances by their expected co-purchases; together, so that one instruction computes all of them.

    Args:
        exposures: (b,) exposure of each bucket, rising.
        buyers: (b,) float64, buyers in each bucket.
        buckets: number of filled buckets.
        lanes: (4, LANES) the chances P in the first row, which becomes E; the other rows are scratch.
    """
    # E, 1 - P, (1 - P)^e, and a power of 1 - P for a gap between exposures
    expected, complement, not_held, power = lanes[0], lanes[1], lanes[2], lanes[3]
    for lane in range(LANES):
        complement[lane] = 1.0 - expected[lane]
        not_held[lane] = 1.0
        expected[lane] = 0.0
    reached = 0
    for bucket in range(buckets):
        gap = exposures[bucket] - reached
        reached = exposures[bucket]
        if gap == 1:
            for lane in range(LANES):
                not_held[lane] *= complement[lane]
        else:
            for lane in range(LANES):
                power[lane] = complement[lane]
            while gap > 0:
                if gap & 1:
                    for lane in range(LANES):
                        not_held[lane] *= power[lane]
                for lane in range(LANES):
                    power[lane] *= power[lane]
                gap >>= 1
        for lane in range(LANES):
            expected[lane] += buyers[bucket] * (1.0 - not_held[lane])


@compiled
def score_of(  # noqa: PLR0911 - a branch for each kind
    kind: int, together: float, expected: float, holders: float, other_holders: float, customers: float
) -> float:
    """The score of a neighbour before trend. It must not rise as `expected` rises: lists are pruned by bounds on E.

    Args:
        kind: the branch to take, a constant of `scores`.
        together: N, customers who hold both items; weighted by the half-life, if there is one.
        expected: E, likewise; 0 for scores that do not need it.
        holders: n, customers who hold the item that the list is of.
        other_holders: n', customers who hold the neighbour.
        customers: customers who hold anything.
    """
    if kind == DIFFERENCE:
        return together - expected
    if kind == SIGNIFICANCE:
        return (together - expected) / np.sqrt(expected + _SIGNIFICANCE_SUPPORT)
    if kind == LIFT:
        return (together - expected) / (expected + _LIFT_SUPPORT)
    if kind == NAIVE:
        return together - shown_expected(kind, expected, holders, other_holders, customers)
    if kind == RAW:
        return together
    if kind == COSINE:
        return together / np.sqrt(holders * other_holders)
    return np.nan  # a kind without a branch: nothing is listed


@compiled
def shown_expected(kind: int, expected: float, holders: float, other_holders: float, customers: float) -> float:
    """What a list's entry shows as expected: E, or for the naive metric what it subtracts, n n' / customers.

    The arguments are those of `score_of`.
    """
    if kind == NAIVE:
        return holders * other_holders / customers
    return expected
