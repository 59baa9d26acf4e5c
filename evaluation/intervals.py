"""95 % intervals by resampling customers: the same resamples for every system, so that differences are paired."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean and its 95 % interval over resamples of the customers."""

    mean: float
    low: float
    high: float


class Bootstrap:
    """A bootstrap over customers.

    A customer who is eligible at several cutoffs is drawn for all of them or for none. The mean is taken at each
    cutoff, then over the cutoffs.

    Args:
        customers: for each cutoff the (v,) numbers of the eligible customers.
        seed: for the draws.
    """

    def __init__(self, customers: Sequence[npt.NDArray[np.int64]], seed: int) -> None:
        everyone, index = np.unique(np.concatenate(customers), return_inverse=True)
        bounds = np.cumsum([len(eligible) for eligible in customers])[:-1]
        rng = np.random.default_rng(seed)
        self._weights = []
        draws = rng.poisson(1.0, (RESAMPLES, len(everyone))).astype(np.float32)
        for eligible in np.split(index, bounds):
            weights = draws[:, eligible]
            self._weights.append(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1))

    def resampled(self, values: Sequence[Floats]) -> tuple[float, Floats]:
        """The mean, and the mean of each resample, of one value per eligible customer and cutoff."""
        groups = [weights @ value for weights, value in zip(self._weights, values, strict=True)]
        return float(np.mean([value.mean() for value in values])), np.mean(groups, axis=0)

    def interval(self, values: Sequence[Floats]) -> Interval:
        """The mean and its interval."""
        return _interval(*self.resampled(values))

    def difference(self, values: Sequence[Floats], others: Sequence[Floats]) -> Interval:
        """The difference of two systems' means and its interval."""
        return self.interval([value - other for value, other in zip(values, others, strict=True)])


def _interval(mean: float, groups: Floats) -> Interval:
    low, high = np.quantile(groups, [0.025, 0.975]).tolist()
    return Interval(mean, low, high)
