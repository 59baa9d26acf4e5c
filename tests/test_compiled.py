"""Compiled loops: a cached loop is always that of the current sources."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INNER = """
from typing import NamedTuple
from state.compiled import compiled

class {name}(NamedTuple):
    number: int

@compiled
def inner(one):
    return one.number + {added}
"""
OUTER = """
from inner import {name}, inner
from state.compiled import compiled

@compiled
def outer(one):
    return inner(one)

print(outer({name}(40)))
"""


def run(directory: Path, name: str = "Pair", added: int = 2) -> str:
    """Write two modules, one of which calls the other's loop, and run them in a new process."""
    (directory / "inner.py").write_text(INNER.format(name=name, added=added))
    (directory / "outer.py").write_text(OUTER.format(name=name))
    environment = {"PYTHONPATH": f"{ROOT}:{directory}", "NUMBA_CACHE_DIR": str(directory / "cache")}
    result = subprocess.run(
        [sys.executable, "outer.py"], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_loop_is_compiled_again_when_one_that_it_calls_has_changed(tmp_path: Path) -> None:
    """Machine code contains the loops it calls: a changed score must not be computed with the old formula."""
    assert run(tmp_path) == "42\n"

    assert run(tmp_path, added=3) == "43\n"


def test_a_loop_cached_for_a_class_that_was_renamed_is_compiled_again(tmp_path: Path) -> None:
    """Installing a new version leaves the cache of the old one in place."""
    assert run(tmp_path, "Pair") == "42\n"

    assert run(tmp_path, "Couple") == "42\n"


def test_a_loop_that_has_not_changed_is_not_compiled_again(tmp_path: Path) -> None:
    """Compiling all loops takes half a minute."""
    run(tmp_path)
    cached = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nbc")}

    subprocess.run(
        [sys.executable, "outer.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        check=True,
    )

    assert cached
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nbc")} == cached
