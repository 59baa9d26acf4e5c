"""Made-up titles, and the queries that take longest on them, for the tests and the benchmark of the search."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

LETTERS = "etaoinshrdlu"
LONGEST_QUERY = 600


def made_up_titles(count: int) -> tuple[list[str], list[str | None], npt.NDArray[np.int64]]:
    """Ids, titles of about fifty characters, and purchases. Every thousandth title is a few letters, over and over."""
    generator = random.Random(7)  # noqa: S311
    words = vocabulary()
    titles: list[str | None] = [" ".join(generator.choices(words, k=9)) for _ in range(count)]
    titles[::1000] = ["a" * 300 + " " + "ab" * 300 for _ in titles[::1000]]
    ids = [f"{number:07}" for number in range(count)]
    return ids, titles, np.array([generator.randrange(1000) for _ in ids], np.int64)


def vocabulary() -> list[str]:
    """Three thousand words of few letters."""
    generator = random.Random(3)  # noqa: S311
    return ["".join(generator.choices(LETTERS, k=3 + number % 6)) for number in range(3000)]


def slow_queries() -> list[str]:
    """Many words; words that all items have but the last; words that almost occur; words that are too short to tell."""
    generator = random.Random(5)  # noqa: S311
    pairs = [f"{one}{two}" for one in LETTERS for two in LETTERS]
    queries = [
        "a " * 298 + "q",  # once it took 2.8 s: each word was looked for in each of thousands of items
        " ".join(pairs)[: LONGEST_QUERY - 3] + " q",
        " ".join(LETTERS) + " q",
        "a" * 299 + "b",
        "ab" * 299,
        "a" * 300 + " " + "ab" * 140 + "b",
        " ".join(vocabulary()[:120])[:LONGEST_QUERY],
        " ".join(generator.sample(pairs, 60)),
        "zq",
        "q",
        "e",
        "et ao",
    ]
    assert all(0 < len(query) <= LONGEST_QUERY for query in queries)
    return queries
