"""How related two items are: expected co-purchases and the scores. Pure functions.

Smith & Linden 2017, "Two Decades of Recommender Systems at Amazon.com"; Linden, Smith & York 2003, "Amazon.com
Recommendations: Item-to-Item Collaborative Filtering".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.compiled import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

DIFFERENCE, SIGNIFICANCE, LIFT, NAIVE, RAW, COSINE = range(6)
LANES = 8
"""How many chances are evaluated side by side."""
_SIGNIFICANCE_SUPPORT = 2.0
_LIFT_SUPPORT = 20.0


def expected_copurchases(exposures: Floats, buyers: Floats, popularity: Floats) -> Floats:
    """Co-purchases of one item with each of n others that heavy buying alone explains.

    A buyer with e other purchases misses an item of popularity P with probability (1 - P)^e. The powers are taken by
    multiplication from bucket to bucket: exact to a few units in the last place, and a tenth of the cost of an
    exponential per bucket.

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


@compiled
def expect(exposures: npt.NDArray[np.int64], buyers: Floats, buckets: int, lanes: Floats) -> None:
    """Replace LANES chances by the co-purchases expected of them; side by side, so that one instruction serves all.

    `lanes` is (4, LANES): the chances in the first row, and room to work.
    """
    expected, kept, missed, power = lanes[0], lanes[1], lanes[2], lanes[3]
    for lane in range(LANES):
        kept[lane] = 1.0 - expected[lane]
        missed[lane] = 1.0
        expected[lane] = 0.0
    reached = 0
    for bucket in range(buckets):
        gap = exposures[bucket] - reached
        reached = exposures[bucket]
        if gap == 1:
            for lane in range(LANES):
                missed[lane] *= kept[lane]
        else:
            for lane in range(LANES):
                power[lane] = kept[lane]
            while gap > 0:
                if gap & 1:
                    for lane in range(LANES):
                        missed[lane] *= power[lane]
                for lane in range(LANES):
                    power[lane] *= power[lane]
                gap >>= 1
        for lane in range(LANES):
            expected[lane] += buyers[bucket] * (1.0 - missed[lane])


@compiled
def score_of(kind: int, together: float, expected: float, holders: float, other: float, customers: float) -> float:
    """A score before trend; falls as `expected` rises."""
    if kind == DIFFERENCE:
        return together - expected
    if kind == SIGNIFICANCE:
        return (together - expected) / np.sqrt(expected + _SIGNIFICANCE_SUPPORT)
    if kind == LIFT:
        return (together - expected) / (expected + _LIFT_SUPPORT)
    if kind == NAIVE:
        return together - holders * other / customers
    if kind == RAW:
        return together
    return together / np.sqrt(holders * other)
