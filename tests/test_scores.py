"""Scores: a new entry in SCORES appears wherever a score can be chosen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streams.engine.scores import SCORES, Scoring, ScoringError
from streams.workers.settings import WorkerSettings

ROOT = Path(__file__).resolve().parent.parent

REGISTERED = """
import json, sys
from pathlib import Path
from streams.engine.scores import DIFFERENCE, SCORES, Score

SCORES["seasonal"] = Score(
    DIFFERENCE, "difference, half of it of the season", decays=True, needs_expected=True, recent_half_life_days=120
)

from click.testing import CliRunner
from streams.cli import main
from streams.endpoint.openapi import describe
from streams.endpoint.routes import ROUTES
from streams.workers.settings import WorkerSettings

def output(*arguments):
    result = CliRunner().invoke(main, arguments, terminal_width=200)
    assert result.exit_code == 0, result.output
    return result.stdout

Path("log.csv").write_text("".join([
    "customer_id,item_id,timestamp\\n",
    *[f"c{n},{item},2024-0{month}-1{n % 9}\\n" for n in range(40)
      for item, month in (("tea", 1), ("milk", 2 + n % 5), (f"odd {n % 7}", 3))],
]))
output("replay", "log.csv", "--state-dir", "state", "--as-it-stands")
related = output("related", "tea", "--state-dir", "state", "--score", "seasonal", "--json")
output("export", "--state-dir", "state", "--out", "seasonal.jsonl", "--score", "seasonal")
output("export", "--state-dir", "state", "--out", "blend.jsonl", "--half-life", "120")
print(json.dumps({
    "related": json.loads(related),
    "export": Path("seasonal.jsonl").read_text(),
    "the same": Path("blend.jsonl").read_text(),
    "help": [output(command, "--help") for command in ("related", "export")],
    "worker": WorkerSettings("broker", Path("state"), score="seasonal").score,
    "openapi": describe(ROUTES, "1")["components"]["schemas"]["RelatedList"]["properties"]["score"]["enum"],
}))
"""


def test_a_score_is_one_entry(tmp_path: Path) -> None:
    """Adding a score should take a change in one place, not six."""
    result = subprocess.run(
        [sys.executable, "-c", REGISTERED],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)

    assert found["related"]["score"] == "seasonal"
    assert found["related"]["related"][0]["item_id"] == "milk"
    assert found["export"] == found["the same"].replace('"score":"blend"', '"score":"seasonal"')
    assert all("seasonal: difference, half of it of the season" in " ".join(text.split()) for text in found["help"])
    assert found["worker"] == "seasonal"
    assert found["openapi"] == [*SCORES, "seasonal"]


def test_the_published_schema_names_every_score() -> None:
    """Consumers validate published lists against the schema."""
    schema = json.loads((ROOT / "docs" / "schemas" / "related-list.json").read_text())

    assert schema["properties"]["score"]["enum"] == list(SCORES)


@pytest.mark.parametrize(
    ("score", "half_life_days", "message"),
    [
        ("lifft", None, "there is no score 'lifft': choose one of blend, difference, significance, lift, naive, raw"),
        ("raw", 60, "a half-life goes with blend, difference, significance, lift, not with raw"),
        ("lift", 0, "a half-life of 0 days is not above 0"),
        ("lift", float("nan"), "a half-life of nan days is not above 0"),
    ],
)
def test_an_invalid_scoring_is_an_error(score: str, half_life_days: float | None, message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        Scoring(score, half_life_days)


def test_a_worker_with_an_unknown_score_is_an_error_at_once(tmp_path: Path) -> None:
    """Otherwise it would fail only after its stores are open and its partitions assigned."""
    with pytest.raises(ScoringError, match="there is no score 'best': choose one of blend, difference"):
        WorkerSettings("broker", tmp_path, score="best")
