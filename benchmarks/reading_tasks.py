"""What the benchmark of reading measures, one task per process; each prints a line of JSON.

python -m benchmarks.reading_tasks read|look|unpack FILE FORMAT

Only `producers.logs` is imported for reading, so that an older checkout runs the same file.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

_MANY_S = 253_402_300_799


def read(path: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Read a log into orders, and do nothing with them; sorted before if its format says so."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        return _counted(_batches(path, settings, Path(scratch)))


def _batches(path: Path, settings: dict[str, Any], scratch: Path) -> Iterable[Any]:
    try:
        from producers.logs.reading import open_log  # noqa: PLC0415
    except ImportError:  # a checkout from before there were formats
        from producers.logs import open_log  # type: ignore[attr-defined,no-redef]  # noqa: PLC0415

        return open_log(path)
    from producers.log_format import LogFormat  # noqa: PLC0415

    log_format = LogFormat.from_settings(settings)
    if log_format.order == "sort":
        from producers.logs.sorting import sort_log  # noqa: PLC0415

        path, log_format = sort_log(path, log_format, scratch)
    return open_log(path, log_format)


def _counted(batches: Iterable[Any]) -> dict[str, float]:
    lines = rejected = pieces = 0
    for batch in batches:
        lines += len(batch.orders.item)
        rejected += len(batch.rejected)
        pieces += int(batch.orders.quantity.sum())
    return {"lines": lines, "rejected": rejected, "pieces": pieces}


def look(path: Path, settings: dict[str, Any]) -> dict[str, float]:
    """The look at all of a log that `replay` takes before it counts."""
    from producers.log_format import LogFormat, with_settings  # noqa: PLC0415
    from producers.logs.survey import survey  # noqa: PLC0415

    log_format = with_settings(LogFormat.from_settings(settings), {"order": "as-it-stands"})
    return {"rows": survey(path, log_format, _MANY_S * 1000, {1}).rows}


def unpack(path: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Only unpack a file: what its codec takes of the time."""
    from producers.logs.sources import Source  # noqa: PLC0415

    size = 0
    with Source(path, settings["compression"], settings.get("member")).open() as stream:
        while chunk := stream.read(1 << 20):
            size += len(chunk)
    return {"bytes": size}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _sorts_ns() -> list[float]:
    """The machine's speed: what sorting a number takes, ns of CPU."""
    numbers = np.random.default_rng(1).integers(0, 1 << 62, 1 << 18, np.uint64)
    taken = []
    for _ in range(8):
        began = _cpu_s()
        np.sort(numbers)
        taken.append((_cpu_s() - began) / len(numbers) * 1e9)
    return taken


def _peak_mb() -> float:
    """Peak resident memory of this program, without that of the process that started it, which getrusage counts."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Run the task that the command line names: imports and what is done once are not measured."""
    task = {"read": read, "look": look, "unpack": unpack}[sys.argv[1]]
    path, settings = Path(sys.argv[2]), json.loads(sys.argv[3])
    warm_up = Path(sys.argv[4]) if len(sys.argv) > 4 else path
    task(warm_up, settings)
    sorts = _sorts_ns()
    began = _cpu_s()
    found = task(path, settings)
    seconds = _cpu_s() - began
    sorts += _sorts_ns()
    print(json.dumps({**found, "cpu_s": seconds, "sort_ns": sum(sorts) / len(sorts), "peak_mb": _peak_mb()}))


if __name__ == "__main__":
    main()
