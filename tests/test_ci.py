"""CI, the hooks before a commit and the lists in conftest.py agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import SLOW_FILES, TIMED_FILES

ROOT = Path(__file__).parent.parent
RUN = (ROOT / ".ci" / "run").read_text()
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
SUBJECT = next(hook for hook in HOOKS if hook["id"] == "commit-subject")


def test_every_check_of_ci_is_a_hook() -> None:
    checks = set(re.findall(r"^\.venv/bin/(?!pip|pytest).+$", RUN, re.MULTILINE))

    assert len(checks) >= 4
    assert checks == {hook["entry"] for hook in HOOKS if ".venv" in hook["entry"] and "pytest" not in hook["entry"]}


def test_ci_runs_every_test_once() -> None:
    assert re.findall(r"^\.venv/bin/pytest.*-m (.+)$", RUN, re.MULTILINE) == ['"not timed"', "timed"]


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("x" * 72, False),
        ("x" * 73, True),
        ("A subject\n\n" + "a body's line may be longer " * 5, False),
    ],
)
def test_a_subject_of_more_than_72_characters_is_refused(message: str, refused: bool) -> None:
    """As pygrep looks for it with --multiline."""
    assert bool(re.search(SUBJECT["entry"], message, re.MULTILINE | re.DOTALL)) is refused
    assert SUBJECT["args"] == ["--multiline"]


def test_the_files_of_tests_that_are_listed_exist() -> None:
    names = {path.name for path in (ROOT / "tests").glob("test_*.py")}

    assert names >= SLOW_FILES.keys()
    assert SLOW_FILES.keys() >= TIMED_FILES
