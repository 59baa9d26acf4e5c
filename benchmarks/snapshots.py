"""How long snapshots of a stopped worker's stores take to write, to restore and to verify.

    python -m benchmarks.snapshots STATE_DIR [PLACE]

STATE_DIR is that of a generation, such as state/live; nothing in it changes. Without PLACE, copies go to a directory
beside it, for a while.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from state.snapshot_places import SnapshotPlace
from state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable


def seconds(step: Callable[[], object]) -> str:
    """Processor time of a step, and how long it took."""
    processor, clock = time.process_time(), time.monotonic()
    step()
    return f"{time.process_time() - processor:.2f} ({time.monotonic() - clock:.2f})"


def measure(path: Path, place: SnapshotPlace, scratch: Path) -> None:
    """Print the times of one store."""
    checkpoint, restored = scratch / "checkpoint" / path.name, scratch / "restored" / path.name
    checkpoint.parent.mkdir(exist_ok=True)
    restored.parent.mkdir(exist_ok=True)
    with closing(Store(path)) as store:
        linked = seconds(lambda: store.checkpoint(checkpoint))
    size_mb = sum(file.stat().st_size for file in checkpoint.iterdir()) / 1e6
    written = seconds(lambda: place.write(path.name, checkpoint, kept=1))
    back = seconds(lambda: place.newest_first(path.name)[0].restore(restored))
    with closing(Store(restored)) as store:
        verified = seconds(store.verify)
    print(f"| {path.name} | {size_mb:.0f} | {linked} | {written} | {back} | {verified} |")


def main() -> None:
    """Measure every store of a generation."""
    with TemporaryDirectory(dir=Path(sys.argv[1]).parent) as directory:
        scratch = Path(directory)
        place = SnapshotPlace(sys.argv[2] if len(sys.argv) > 2 else str(scratch / "place"), "benchmark")
        print("seconds of processor time (and by the clock)\n")
        print("| store | MB | checkpoint | write | restore | verify |\n|---|---|---|---|---|---|")
        for path in sorted(Path(sys.argv[1]).glob("*-*")):
            if (path / "CURRENT").exists():
                measure(path, place, scratch)


if __name__ == "__main__":
    main()
