"""A shop that grows: what a line costs when there are millions of customers, and how much memory it takes.

    python -m benchmarks.growth                              2 M lines: a few minutes
    python -m benchmarks.growth --lines 50_000_000           10 M customers, 1 M items: an hour
    python -m benchmarks.growth --limit-mb 1500 --memory 800MiB

For every five lines there is a customer, and for every fifty an item. The log is counted twice: without a limit, and
under a hard one that the kernel enforces, by killing whoever takes more. At the end the process is killed, without
closing anything, and the state is opened again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINES_OF_AN_ORDER = 3.1
_STORES = ("histories-0", "counts-0")
_GROUPS_V1 = Path("/sys/fs/cgroup/memory")
_GROUPS_V2 = Path("/sys/fs/cgroup")


def main() -> None:
    """Generate, count twice, open, ask."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=2_000_000, help="lines of the log")
    options.add_argument("--memory", default="800MiB", help="what the limited run is told to take")
    options.add_argument("--limit-mb", type=int, default=1500, help="what the kernel lets it take")
    options.add_argument("--dir", type=Path, help="where to keep the log and the states; without it they are removed")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="alsobought-growth-") as temporary:
        directory = given.dir or Path(temporary)
        directory.mkdir(exist_ok=True, parents=True)
        log = generated(directory, given.lines)
        _task("count", log, directory / "warm", "--first", "20000")  # compiles
        free = _task("count", log, directory / "free")
        with memory_limit(given.limit_mb * 1_000_000) as group:
            limited = _task("count", log, directory / "limited", "--memory", given.memory, group=group)
            opened = _task("open", log, directory / "limited", "--memory", given.memory, group=group)
        figures = [*_counted("without a limit", free), *_counted(f"within {given.limit_mb} MB", limited)]
        figures += [
            Figure("limited over free, lines/s", limited["rate"] / free["rate"], 0.5, at_least=True),
            Figure("  last half over first half, lines/s", _halves(limited["tenths"]), 0.9, at_least=True),
            Figure("open after kill -9, s", opened["open_s"], 3),
            Figure("  memory when open, MiB", opened["rss"], None),
            Figure("lists of bought items, us", opened["list_us"], None),
            Figure("a customer's history, us", opened["history_us"], None),
        ]
        table(figures)
        print(json.dumps({"free": free, "limited": limited, "opened": opened}))


def generated(directory: Path, lines: int) -> Path:
    """The log, as a Parquet file; made once."""
    log = directory / f"shop-{lines}.parquet"
    if not log.exists():
        size = {"orders": lines / _LINES_OF_AN_ORDER, "customers": lines / 5, "items": lines / 50, "days": 365}
        options = [text for name, value in size.items() for text in (f"--{name}", str(int(value)))]
        subprocess.run([sys.executable, "-m", "streams.commands.generate", *options, "--out", log], check=True)
    return log


def _counted(name: str, found: dict[str, Any]) -> list[Figure]:
    tenths = found["tenths"]
    last = found["samples"][-1]
    return [
        Figure(f"{name}: lines/s", found["rate"], None),
        Figure("  last tenth over best tenth", tenths[-1] / max(tenths), 0.7, at_least=True),
        Figure("  commit p99, ms", found["p99"], None),
        Figure("  peak memory, MiB", found["peak"], None),
        *(
            Figure(f"  bytes a line on disk, {kind}", size / found["lines"], None)
            for kind, size in last["disk"].items()
        ),
    ]


def _halves(tenths: list[float]) -> float:
    """Rate of the last five tenths over that of the first five."""
    first, last = (len(part) / sum(1 / rate for rate in part) for part in (tenths[:5], tenths[5:]))
    return last / first


@contextmanager
def memory_limit(limit: int) -> Iterator[Path]:
    """A control group whose processes are killed when together they take more than `limit` bytes."""
    of = _GROUPS_V1 if _GROUPS_V1.is_dir() else _GROUPS_V2
    group = of / f"alsobought-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if of is _GROUPS_V1 else "memory.max")).write_text(str(limit))
    except OSError as error:
        raise SystemExit(f"a hard limit needs a memory control group, and {group} cannot be made: {error}") from error
    try:
        yield group
    finally:
        group.rmdir()


def _task(task: str, log: Path, state: Path, *options: str, group: Path | None = None) -> dict[str, Any]:
    """Run a task in a process of its own, in a control group; return what it found."""

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    print(f"{task} {state.name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.growth_tasks", task, str(log), str(state), *options]
    run = subprocess.run(command, check=False, stdout=subprocess.PIPE, preexec_fn=enter)
    if not run.stdout:
        raise SystemExit(f"{task} {state.name}: ended with {run.returncode}, before it had found anything")
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
