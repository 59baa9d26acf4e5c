"""The scores by which related items are ranked. Each has an entry in SCORES and a branch in `relatedness.score_of`.

To add a score, add a number and an entry to this file, a branch to `relatedness.score_of`, and a definition in plain
Python in tests/test_relatedness.py. The command line, the workers' settings, the OpenAPI document and the evaluation
read SCORES.

N is the number of customers who hold both items, E the co-purchases that heavy buying alone explains (see
`relatedness.expect`), n the customers who hold an item. With a half-life, N and E are weighted by it.
"""

from __future__ import annotations

from dataclasses import dataclass

DIFFERENCE, SIGNIFICANCE, LIFT, NAIVE, RAW, COSINE = range(6)
"""Branches of `relatedness.score_of`."""


class ScoringError(ValueError):
    """There is no such score, or it takes no half-life. The message lists those that do."""


@dataclass(frozen=True, slots=True)
class Score:
    """One way to rank an item's neighbours.

    Attributes:
        kind: branch of `relatedness.score_of`, which must not rise as E rises.
        summary: its formula, for help texts.
        decays: whether it takes a half-life.
        needs_expected: whether the branch uses E. If not, E is computed for the listed items only.
        recent_half_life_days: if given, the score is a blend of two halves: one without half-life, one with this
            half-life, unless another is given.
    """

    kind: int
    summary: str
    decays: bool = False
    needs_expected: bool = False
    recent_half_life_days: float | None = None

    def components(self, half_life_days: float | None) -> list[tuple[int, float | None]]:
        """Kind and half-life in days of each component: one, or the two halves of a blend."""
        if self.recent_half_life_days is None:
            return [(self.kind, half_life_days)]
        return [(self.kind, None), (self.kind, half_life_days or self.recent_half_life_days)]


SCORES: dict[str, Score] = {
    "blend": Score(
        DIFFERENCE,
        "half difference, half difference of recent purchases",
        decays=True,
        needs_expected=True,
        recent_half_life_days=60.0,
    ),
    "difference": Score(DIFFERENCE, "N - E", decays=True, needs_expected=True),
    "significance": Score(SIGNIFICANCE, "(N - E) / sqrt(E + 2)", decays=True, needs_expected=True),
    "lift": Score(LIFT, "(N - E) / (E + 20)", decays=True, needs_expected=True),
    "naive": Score(NAIVE, "N - n n' / customers"),
    "raw": Score(RAW, "N"),
    "cosine": Score(COSINE, "N / sqrt(n n')"),
}
"""Every score by name, in the order of help texts."""

DEFAULT_SCORE = "blend"


def decaying_scores() -> list[str]:
    """Names of the scores that take a half-life."""
    return [name for name, score in SCORES.items() if score.decays]


@dataclass(frozen=True, slots=True)
class Scoring:
    """The score by which related lists are ranked, and its settings.

    Attributes:
        score: a name in SCORES.
        half_life_days: half-life of the counts, above 0; None: no decay. For a blend, half-life of its recent half;
            None: the default of the blend.
        trend: whether to multiply every score by the item's trend.

    Raises:
        ScoringError: there is no such score, or it takes no half-life.

    >>> Scoring("difference", half_life_days=60).components
    [(0, 60)]
    """

    score: str = DEFAULT_SCORE
    half_life_days: float | None = None
    trend: bool = True

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ScoringError(f"there is no score {self.score!r}: choose one of {', '.join(SCORES)}")
        if self.half_life_days is None:
            return
        if not SCORES[self.score].decays:
            raise ScoringError(f"a half-life goes with {', '.join(decaying_scores())}, not with {self.score}")
        if not self.half_life_days > 0:
            raise ScoringError(f"a half-life of {self.half_life_days} days is not above 0")

    @property
    def components(self) -> list[tuple[int, float | None]]:
        """Kind and half-life in days of each component: one, or the two halves of a blend."""
        return SCORES[self.score].components(self.half_life_days)

    @property
    def needs_expected(self) -> bool:
        """Whether the score uses E."""
        return SCORES[self.score].needs_expected
