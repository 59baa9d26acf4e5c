"""Benchmark of reading: a file of every kind into orders, lines a second and memory beside their limits.

    python -m benchmarks.reading                       everything, a million lines of each kind; about half an hour
    python -m benchmarks.reading --only json           the kinds whose name holds a text
    python -m benchmarks.reading --before DIR          plain logs also against another checkout, in turns
    python -m benchmarks.reading --only inspect        `alsobought inspect` of 10 GB

Lines a second are of CPU time, user and system, of a process of its own, without imports. "look" is the look at the
whole log that `replay` takes first. The limits hold for a machine that sorts a number in 5 ns, which each process
measures; one that takes 10 ns reaches half of them. A kind that is not read to the last line is an error.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.log_files import Kind, OrderLines, kinds, order_lines
from producers.logs.inspection.inspection import inspect
from producers.logs.inspection.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WARM_UP_LINES = 2000
SORT_NS = 5.0
TURNS = 7
SHARE_OF_BEFORE = 0.98
LARGE_BYTES = 10 * 10**9
INSPECT_MOST_S = 3.0


def main() -> None:
    """Run the kinds that the command line names, or all."""
    parser = argparse.ArgumentParser(description="Measure how fast logs of every kind are read.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--only", action="append", default=[], help="kinds whose name holds this; may be repeated")
    parser.add_argument("--before", type=Path, help="another checkout, against which plain logs are measured")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    asked = parser.parse_args()
    chosen = [kind for kind in kinds() if not asked.only or any(part in kind.name for part in asked.only)]
    measured: list[list[Figure]] = []
    with tempfile.TemporaryDirectory(prefix="alsobought-reading-") as directory:
        lines, few = order_lines(asked.lines), order_lines(WARM_UP_LINES)
        for kind in chosen:
            place = Path(directory, str(len(measured)))
            place.mkdir()
            measured.append(_kind(kind, lines, few, place, asked.before))
            said = ", ".join(f"{figure.name} {figure.value:,.0f}" for figure in measured[-1])
            print(said, file=sys.stderr, flush=True)
        if not asked.only or "inspect" in asked.only:
            measured.append(_inspection(Path(directory)))
    figures = [figure for found in measured for figure in found]
    if asked.json:
        print(json.dumps([figure._asdict() for figure in figures]))
    else:
        _show(measured)
    missed = [figure.name for figure in figures if not figure.met]
    sys.exit(f"missed: {'; '.join(missed)}" if missed else 0)


def _kind(kind: Kind, lines: OrderLines, few: OrderLines, directory: Path, before: Path | None) -> list[Figure]:
    """The figures of one kind, whose files are deleted."""
    path, small = directory / kind.name, directory / f"few {kind.name}"
    for file, content in ((path, lines), (small, few)):
        kind.write(file, content)
    profile = load_profile(kind.profile) if kind.profile else None
    found = inspect(path, kind.settings, profile, whole=True)
    if found.log_format is None:
        return [Figure(f"{kind.name}: not read, {found.question}", 0, 1, at_least=True)]
    settings = found.log_format.differences()
    read = _measured("read", path, settings, small)
    wanted = round(kind.share * len(lines.item))
    if read["lines"] != wanted or read["rejected"]:
        wrong = f"read wrong, {wanted:,} lines wanted, {read['rejected']:,} rejected"
        return [Figure(f"{kind.name}: {wrong}", read["lines"], wanted, at_least=True)]
    look = _measured("look", path, settings, small)
    count = len(lines.item)
    least = None if kind.plain else kind.least * SORT_NS / read["sort_ns"]
    figures = [
        Figure(f"{kind.name}: lines/s", count / read["cpu_s"], least, at_least=True),
        Figure(f"{kind.name}: look, lines/s", count / look["cpu_s"], None),
        Figure(f"{kind.name}: peak memory, MB", max(read["peak_mb"], look["peak_mb"]), kind.most_mb),
    ]
    if settings.get("compression", "none") != "none":
        codec = _measured("unpack", path, settings, small)
        figures.append(Figure(f"{kind.name}: unpacking alone, lines/s", count / codec["cpu_s"], None))
    if kind.plain and before is not None:
        ratio = statistics.median(_ratios(path, small, settings, before))
        figures.append(Figure(f"{kind.name}: over the checkout before", ratio, SHARE_OF_BEFORE, at_least=True))
    path.unlink()
    small.unlink()
    return figures


def _ratios(path: Path, small: Path, settings: dict[str, Any], before: Path) -> Iterator[float]:
    """The speed over that of another checkout, measured in turns, so that a machine that slows down slows both."""
    for _ in range(TURNS):
        then = _measured("read", path, settings, small, before)["cpu_s"]
        yield then / _measured("read", path, settings, small)["cpu_s"]


def _measured(
    task: str, path: Path, settings: dict[str, Any], small: Path, checkout: Path | None = None
) -> dict[str, float]:
    """Run a task in its own process; its figures."""
    here = Path(__file__).resolve()
    root = checkout or here.parent.parent
    command = [sys.executable, str(here.parent / "reading_tasks.py"), task, str(path), json.dumps(settings), str(small)]
    run = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def _inspection(directory: Path) -> list[Figure]:
    """Processor and wall time of `alsobought inspect` of files of 10 GB."""
    figures = []
    for name, write in (("CSV", _csv_block), ("JSON lines", _json_block)):
        print(f"inspect of 10 GB, {name} ...", file=sys.stderr, flush=True)
        path = directory / "large.log"
        _write_large(path, write(order_lines(200_000)))
        command = [str(Path(sys.executable).with_name("alsobought")), "inspect", str(path)]
        used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - began
        then = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = then.ru_utime + then.ru_stime - used.ru_utime - used.ru_stime
        figures += [
            Figure(f"inspect of 10 GB, {name}: s of CPU", cpu, INSPECT_MOST_S),
            Figure(f"inspect of 10 GB, {name}: s", wall, INSPECT_MOST_S),
        ]
        path.unlink()
    return figures


def _csv_block(lines: OrderLines) -> bytes:
    days = lines.times(lambda time: f"2000-01-01 {time:%H:%M:%S}")
    rows = zip(lines.customer, lines.item, days, map(str, lines.quantity), lines.order, strict=True)
    return "".join(f"{';'.join(row)}\n" for row in rows).encode()


def _json_block(lines: OrderLines) -> bytes:
    records = lines.records(lines.times(lambda time: f"2000-01-01T{time:%H:%M:%S}Z"))
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _write_large(path: Path, block: bytes) -> None:
    """Write the block again and again, for another day each time."""
    day = date(2020, 1, 1)
    with path.open("wb") as file:
        if b";" in block[:200]:
            file.write(b"customer_id;item_id;timestamp;quantity;order_id\n")
        while file.tell() < LARGE_BYTES:
            file.write(block.replace(b"2000-01-01", day.isoformat().encode()))
            day += timedelta(1)


def _show(measured: Sequence[Sequence[Figure]]) -> None:
    """One row for each kind."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("kind")
    columns = ("lines/s", "limit", "ratio", "look, lines/s", "peak, MB", "limit", "ratio", "beside", "")
    for name in columns:
        shown.add_column(name, justify="right")
    others: list[Figure] = []
    for found in measured:
        if len(found) < 3 or "lines/s" not in found[0].name:
            others += found
            continue
        read, look, peak, *beside = found
        said = "; ".join(f"{one.name.partition(': ')[2]} {one.value:,.4g}" for one in beside)
        verdict = "met" if all(one.met for one in found) else "MISSED"
        shown.add_row(
            read.name.rpartition(": ")[0], f"{read.value:,.0f}", *_bound(read), f"{look.value:,.0f}",
            f"{peak.value:,.0f}", *_bound(peak), said, verdict,
        )  # fmt: skip
    console = Console(width=200, highlight=False)
    console.print(shown)
    for figure in others:
        verdict = "met" if figure.met else "MISSED"
        console.print(f"{figure.name}  {figure.value:,.2f}  {' '.join(_bound(figure))}  {verdict}")


def _bound(figure: Figure) -> tuple[str, str]:
    if figure.limit is None or figure.ratio is None:
        return "", ""
    return f"{'>=' if figure.at_least else '<='} {figure.limit:,.0f}", f"{figure.ratio:.2f}"


if __name__ == "__main__":
    main()
