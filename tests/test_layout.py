"""The shape of the code: which room imports which, what `--help` loads, what is too small, too long or badly named."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.sources import parsed

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("producers", "state", "streams", "evaluation")
FILES = sorted(
    path.relative_to(ROOT) for package in (*PACKAGES, "tests", "benchmarks") for path in (ROOT / package).rglob("*.py")
)
MODULES = {
    ".".join(path.with_suffix("").parts): path
    for path in FILES
    if path.parts[0] in PACKAGES and path.name != "__init__.py"
}

ENGINE, CATALOGUE, QUALITY = "streams.engine", "streams.catalogue", "streams.quality"
RECOMMENDATIONS, ENDPOINT, OFFLINE = "streams.recommendations", "streams.endpoint", "streams.offline"
KAFKA, PUBLISHING, CLUSTER = "streams.workers.kafka", "streams.workers.publishing", "streams.workers.cluster"
WORKERS, STATUS, ANSWERING = "streams.workers", "streams.workers.status", "streams.workers.answering"
WORKER = "streams.workers.worker"
READING = {ENGINE, CATALOGUE, RECOMMENDATIONS, QUALITY}
WORKER_ROOMS = {KAFKA, PUBLISHING, CLUSTER, WORKERS, STATUS, ANSWERING}
ROOMS: dict[str, set[str]] = {
    "producers": set(),
    "producers.logs": {"producers"},
    "producers.records": {"producers", "producers.logs"},
    "producers.publish": {"producers", "producers.logs"},
    "state": set(),
    ENGINE: set(),
    CATALOGUE: {ENGINE},
    RECOMMENDATIONS: {ENGINE, CATALOGUE},
    QUALITY: {ENGINE, RECOMMENDATIONS},
    OFFLINE: {ENGINE, QUALITY},
    ENDPOINT: READING,
    KAFKA: {CATALOGUE},
    PUBLISHING: {ENGINE, KAFKA},
    CLUSTER: {ENDPOINT, RECOMMENDATIONS},
    WORKERS: {ENGINE, KAFKA, PUBLISHING},
    STATUS: {ENDPOINT, QUALITY, KAFKA, CLUSTER, WORKERS},
    ANSWERING: {*READING, ENDPOINT, CLUSTER, KAFKA, WORKERS, STATUS},
    WORKER: {*READING, ENDPOINT, *WORKER_ROOMS},
    "streams": set(),
    "streams.demo": {"streams", CATALOGUE, KAFKA},
    "streams.commands": {"streams", "streams.demo", *READING, OFFLINE, ENDPOINT, WORKER, *WORKER_ROOMS},
    "evaluation": {ENGINE, RECOMMENDATIONS, QUALITY, OFFLINE, "streams.commands"},
}
"""Which rooms each room may import; producers and state, which import nothing of ours, are open to all others."""

OPEN = {"producers", "producers.logs", "producers.records", "producers.publish", "state"}

MOST_LINES = 70
FEWEST_LINES = 60
FEWEST_MODULES = 3
SMALL_ROOMS = {
    "streams": "the command line and its progress display, which belong to no room",
}
SMALL_FILES = {
    "evaluation.systems": "one file for each system it compares, all listed by the registry",
}


def room_of(module: str) -> str:
    """The room of a module: the longest prefix that is one.

    >>> room_of("streams.workers.kafka.topics"), room_of("streams.cli")
    ('streams.workers.kafka', 'streams')
    """
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len)


def imported(path: Path) -> set[str]:
    """Modules that a file imports anywhere, also for the type checker only, as `package.module`."""
    names = set()
    for node in ast.walk(parsed(ROOT / path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@cache
def graph() -> dict[str, set[str]]:
    """Each of our modules, and those of ours that it imports."""
    return {module: imported(path) & MODULES.keys() for module, path in MODULES.items()}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    """An order flows one way through the rooms, and so do imports: a room can be read without those above it."""
    allowed = {room, *ROOMS[room]} | (set() if room in OPEN else OPEN)
    found = {
        f"{module} imports {other}"
        for module, others in graph().items()
        if room_of(module) == room
        for other in others
        if room_of(other) not in allowed
    }

    assert found == set()


def test_rooms_form_no_circle() -> None:
    done: set[str] = set()
    while ready := {room for room, below in ROOMS.items() if room not in done and below <= done}:
        done |= ready

    assert ROOMS.keys() - done == set()


def test_modules_import_each_other_in_no_circle() -> None:
    """Not even for the type checker: two modules that need each other are one."""
    circles = set()
    for module in MODULES:
        seen: set[str] = set()
        waiting = [module]
        while waiting:
            new = graph()[waiting.pop()] - seen
            seen |= new
            waiting += new
        if module in seen:
            circles.add(module)

    assert circles == set()


def test_nothing_of_ours_imports_tests_or_benchmarks() -> None:
    found = {
        f"{module} imports {name}"
        for module, path in MODULES.items()
        for name in imported(path)
        if name.split(".")[0] in {"tests", "benchmarks"}
    }

    assert found == set()


def test_state_knows_no_broker() -> None:
    """A store is bytes, counts and offsets, whoever feeds it."""
    brokers = {"kafka", "aiokafka", "faust", "aiohttp"}
    found = {
        f"{module}: {name}"
        for module, path in MODULES.items()
        if module.startswith("state.")
        for name in imported(path)
        if name.split(".")[0] in brokers
    }

    assert found == set()


def test_no_file_is_only_its_neighbours_helper() -> None:
    """A small file that one module of its room imports is a detour for whoever reads that module."""
    importers = defaultdict(set)
    for module, others in graph().items():
        for other in others:
            importers[other].add(module)
    package = {module: module.rpartition(".")[0] for module in MODULES}
    found = {
        module
        for module, path in MODULES.items()
        if len((ROOT / path).read_text().splitlines()) < FEWEST_LINES
        and [package[one] for one in importers[module]] == [package[module]]
        and package[module] not in SMALL_FILES
    }

    assert found == set()


def test_a_room_has_several_modules() -> None:
    sizes = Counter(module.rpartition(".")[0] for module in MODULES)

    assert {room for room, size in sizes.items() if size < FEWEST_MODULES} == SMALL_ROOMS.keys()


def test_a_function_fits_a_screen() -> None:
    """Only a compiled loop may be longer: numba inlines no call into it for free."""
    found = {
        f"{path}: {node.name}, {length} lines"
        for path in FILES
        for node in ast.walk(parsed(ROOT / path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := _body_lines(node)) > MOST_LINES
        and not any(ast.unparse(decorator).startswith("compiled") for decorator in node.decorator_list)
    }

    assert found == set()


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring: decorators and help texts are read elsewhere."""
    docstring = ast.get_docstring(node, clean=False)
    return (node.end_lineno or 0) - node.lineno + 1 - (len(docstring.splitlines()) if docstring else 0)


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


def test_no_module_has_a_name_that_says_nothing() -> None:
    """What is in utils.py? Whatever was left over."""
    assert [path for path in FILES if path.stem in {"utils", "helpers", "common", "base", "misc", "util"}] == []


def test_packages_load_nothing_by_themselves() -> None:
    assert all(not (ROOT / path).read_text().strip() for path in FILES if path.name == "__init__.py")
