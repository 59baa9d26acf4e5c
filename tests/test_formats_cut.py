"""A log cut at any byte, counted, completed and counted on gives the counts of the whole log read once.

Whoever writes a log may be in the middle of a line, a character, a packed block or a footer. `ALSOBOUGHT_CUTS=all` cuts
at every byte, which takes many minutes; otherwise each kind of file is cut at some bytes, by its name others.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.growing_logs import growing
from tests.replayed import replayed

LOGS = growing()
CUTS = 5
"""Of each kind of file, unless every cut is asked for."""


def cuts_of(name: str, size: int) -> list[int]:
    if os.environ.get("ALSOBOUGHT_CUTS") == "all":
        return list(range(size))
    return sorted(random.Random(name).sample(range(size), CUTS))  # noqa: S311 - so that the test repeats


@pytest.mark.parametrize("name", LOGS)
def test_a_log_cut_anywhere_and_completed_counts_as_the_whole(name: str) -> None:
    content, options = LOGS[name]
    whole = replayed(name, [content], options)
    assert whole.errors == [""]
    assert whole.facts["lines"] > 0

    for cut in cuts_of(name, len(content)):
        found = replayed(name, [content[:cut], content], options)

        assert found.errors[1] == "", f"cut at byte {cut}"
        assert found.counts == whole.counts, f"cut at byte {cut}: ...{content[max(0, cut - 60) : cut]!r}"
