"""What a system is: something that, shown the past, scores every candidate for any customer."""

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
"""(n,) rows of customers -> (n, U) score of each candidate; 0 says nothing, and the most bought of those come first."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A system that has seen the past.

    Attributes:
        scores: of candidates for customers.
        build_lookups: customers compared with each other while it was built.
        serve_lookups: customers looked up for each visitor.
        shared_seconds: of the build that was done before, by another system.
    """

    scores: Scores
    build_lookups: int = 0
    serve_lookups: int = 0
    shared_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class System:
    """A named way to recommend.

    Attributes:
        name: how tables and --systems call it.
        group: what it belongs to; --systems takes groups too.
        fit: shown the past and a seed, returns what scores.
    """

    name: str
    group: str
    fit: Callable[[Past, int], Fitted]
