"""The shape of the code: who may import whom, what --help loads, how long a module may be, what it may be called."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("producers", "streams", "state")
MAY_IMPORT = {
    "state": {"state"},
    "producers": {"producers"},
    "streams": {"producers", "state", "streams"},
}
LONGEST = 400
LONGER = {
    "streams/engine/ranking.py": "compiled loops that call each other: bounds and evaluation of the same rows",
    "tests/batch_definition.py": "the definition, read from top to bottom beside the design",
    "tests/test_admin.py": "every answer and every mistake of the endpoint, over one running server",
    "tests/test_batch_definition.py": "every rule of the definition by example",
}
MODULES = sorted(
    path.relative_to(ROOT)
    for package in (*PACKAGES, "tests", "benchmarks", "evaluation")
    for path in (ROOT / package).rglob("*.py")
)


def imported(path: Path) -> set[str]:
    """Modules that a file imports anywhere, also for the type checker only."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_obey_producers_to_streams_to_state(package: str) -> None:
    """state/ knows no orders, producers/ no counts; only streams/ knows both."""
    ours = {*PACKAGES, "tests", "benchmarks", "evaluation"}
    forbidden = {
        f"{path}: {name}"
        for path in MODULES
        if path.parts[0] == package
        for name in imported(path)
        if name.split(".")[0] in ours - MAY_IMPORT[package]
    }

    assert forbidden == set()


def test_state_knows_no_broker() -> None:
    """A store is bytes, counts and offsets, whoever feeds it."""
    brokers = ("kafka", "aiokafka", "faust", "aiohttp")
    found = {f"{path}: {name}" for path in MODULES if path.parts[0] == "state" for name in imported(path)}

    assert [name for name in sorted(found) if name.split(": ")[1].split(".")[0] in brokers] == []


HEAVY = ["numba", "rocksdict", "pyarrow", "kafka", "aiokafka", "faust", "aiohttp", "rich"]


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--version"], HEAVY),
        (["replay", "--help"], HEAVY),
        (["related", "--help"], HEAVY),
        (["--help"], ["numba", "aiokafka", "faust", "aiohttp", "rich"]),  # it loads every command's options
    ],
    ids=str,
)
def test_help_loads_neither_compiler_nor_store(arguments: list[str], heavy: list[str]) -> None:
    """Whoever asks for help waits for it: numba alone takes half a second."""
    script = (
        "import sys, contextlib\n"
        "from streams.cli import main\n"
        "with contextlib.suppress(SystemExit):\n"
        f"    main({arguments}, prog_name='alsobought')\n"
        f"print(sorted(set({heavy}) & set(sys.modules)), file=sys.stderr)\n"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert result.stdout.startswith(("Usage: alsobought", "alsobought, version"))
    assert result.stderr == "[]\n"


def test_no_module_is_long_without_a_reason() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in MODULES}

    assert {path for path, length in lengths.items() if length > LONGEST} <= LONGER.keys()
    assert all(lengths[path] > LONGEST for path in LONGER), "a reason nobody needs any more"


def test_no_module_has_a_name_that_says_nothing() -> None:
    """What is in utils.py? Whatever was left over."""
    assert [path for path in MODULES if path.stem in {"utils", "helpers", "common", "base", "misc", "util"}] == []


def test_packages_load_nothing_by_themselves() -> None:
    assert all(not (ROOT / path).read_text().strip() for path in MODULES if path.name == "__init__.py")
