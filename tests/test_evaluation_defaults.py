"""The defaults are those that the evaluation chose, as docs/evaluation.md says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from evaluation.systems.registry import SYSTEMS
from state.settings import CountingSettings
from streams.engine.popularity import TREND_HALF_LIFE_DAYS
from streams.engine.ranking import LIST_LENGTH
from streams.engine.scores import SCORES, Scoring
from streams.recommendations.recommend import SEED_HALF_LIFE_DAYS, Blend
from streams.recommendations.request import MOST_SEEDS, POPULARITY_SHARE

DOCUMENT = Path(__file__).parents[1] / "docs" / "evaluation.md"

SHIPPED = {
    "pair window": f"{CountingSettings().pair_window} first purchases",
    "score": f"`{Scoring().score}`, half of it with a half-life of {SCORES['blend'].recent_half_life_days:g} days",
    "trend": f"on, half-life {TREND_HALF_LIFE_DAYS} days" if Scoring().trend else "off",
    "list length": str(LIST_LENGTH),
    "popularity share": f"{POPULARITY_SHARE:g}",
    "seeds": str(MOST_SEEDS),
    "seed half-life": f"{SEED_HALF_LIFE_DAYS} days",
    "calibration": "off",
}


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without the header."""
    section = DOCUMENT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    end = next((at for at, line in enumerate(lines) if at > 1 and line.startswith("|---")), len(lines) + 1)
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines[2 : end - 1]]


def test_the_defaults_are_those_that_were_chosen() -> None:
    assert {row[0]: row[1] for row in table("The defaults")} == SHIPPED
    assert Blend().popularity == POPULARITY_SHARE
    assert inspect.signature(Blend).parameters["repeats"].default == 0


@pytest.mark.parametrize("log", ["Grocery", "Movie"])
def test_the_document_shows_every_system(log: str) -> None:
    assert [row[0] for row in table(f"{log} log: every system")] == [system.name for system in SYSTEMS]


def test_no_other_setting_is_better_on_both_logs() -> None:
    """Better beyond the noise; if one is, make it the default."""
    tuned = {system.name for system in SYSTEMS if system.group in ("settings", "windows")}
    better = []
    for log in ("Grocery", "Movie"):
        rows = {row[0]: row[2] for row in table(f"{log} log: every system")}
        better.append({name for name in tuned if float(re.findall(r"[-+]\.\d+", rows[name])[1]) > 0})
    assert better[0] & better[1] == set()
