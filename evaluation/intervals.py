"""95 % intervals by resampling customers, the same ones for every system: so that differences are paired."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean and where it would lie in 95 of 100 equally large groups of customers."""

    mean: float
    low: float
    high: float


class Bootstrap:
    """Resampled groups of customers.

    A customer who is asked at several cutoffs is drawn for all of them or none. A mean is taken at each cutoff, then
    over the cutoffs.

    Args:
        customers: for each cutoff the (v,) numbers of the customers asked.
        seed: of the draws.
    """

    def __init__(self, customers: Sequence[npt.NDArray[np.int64]], seed: int) -> None:
        everyone, place = np.unique(np.concatenate(customers), return_inverse=True)
        bounds = np.cumsum([len(asked) for asked in customers])[:-1]
        rng = np.random.default_rng(seed)
        self._weights = []
        draws = rng.poisson(1.0, (RESAMPLES, len(everyone))).astype(np.float32)
        for asked in np.split(place, bounds):
            weights = draws[:, asked]
            self._weights.append(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1))

    def resampled(self, values: Sequence[Floats]) -> tuple[float, Floats]:
        """The mean, and that of each resampled group, of a value for each customer asked at each cutoff."""
        groups = [weights @ value for weights, value in zip(self._weights, values, strict=True)]
        return float(np.mean([value.mean() for value in values])), np.mean(groups, axis=0)

    def interval(self, values: Sequence[Floats]) -> Interval:
        """The interval of a mean."""
        return _interval(*self.resampled(values))

    def difference(self, values: Sequence[Floats], others: Sequence[Floats]) -> Interval:
        """The interval of the difference of two systems' means."""
        return self.interval([value - other for value, other in zip(values, others, strict=True)])


def _interval(mean: float, groups: Floats) -> Interval:
    low, high = np.quantile(groups, [0.025, 0.975]).tolist()
    return Interval(mean, low, high)
