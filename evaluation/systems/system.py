"""The interface of a system: fitted to the past, it scores every candidate for any customer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from evaluation.past import Past

Floats = npt.NDArray[np.floating]
Rows = npt.NDArray[np.int64]
Scores = Callable[[Rows], Floats]
"""(n,) rows of customers -> (n, U) score of each candidate; of equal scores, such as 0, the most bought comes first."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A system fitted to the past.

    Attributes:
        scores: of candidates for customers.
        build_lookups: pairs of customers compared to fit it.
        serve_lookups: customers looked up for each visitor.
        shared_seconds: build time spent before, by another system.
    """

    scores: Scores
    build_lookups: int = 0
    serve_lookups: int = 0
    shared_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class System:
    """A named recommender.

    Attributes:
        name: in tables and for --systems.
        group: for --systems, which takes groups too.
        fit: takes the past and a seed, and returns the fitted system.
    """

    name: str
    group: str
    fit: Callable[[Past, int], Fitted]
