"""CI, the hooks before a commit and the lists in conftest.py agree."""

from __future__ import annotations

import re
import subprocess
import sys
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
    assert re.findall(r"^tests .*-m (.+)$", RUN, re.MULTILINE) == ['"not timed"', "timed"]


@pytest.mark.parametrize(
    ("fails", "passes"),
    [("never", True), ("once", True), ("always", False), ("at import", False), ("six times", False)],
)
def test_only_what_fails_once_beside_others_is_run_again(tmp_path: Path, fails: str, passes: bool) -> None:
    """With the function of .ci/run, which must not let a fault through."""
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    (tmp_path / "test_it.py").write_text(f"""
import pathlib
assert {fails!r} != "at import"
for number in range(6 if {fails!r} == "six times" else 1):
    def check(number=number):
        seen = pathlib.Path(f"seen{{number}}")
        again = seen.exists()
        seen.touch()
        assert {fails!r} == "never" or {fails!r} != "always" and again
    globals()[f"test_{{number}}"] = check
""")
    (function,) = re.findall(r"^tests\(\) \{.*?^\}$", RUN, re.MULTILINE | re.DOTALL)
    script = f"set -euo pipefail\n{function}\ntests -n 2 -q\necho done"

    run = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (run.returncode == 0) == run.stdout.endswith("done\n") == passes, run.stdout + run.stderr
    assert ("each is run alone now:\ntest_it.py::test_0" in run.stdout) == (fails in {"once", "always"})


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
