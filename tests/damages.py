"""Damage to the files of a worker's stores, on real Kafka: it must recover by itself, and everything must be exact.

`python -m tests.damages` does every damage to every store, and prints a table.
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import click

from state.recovery import stores_aside
from state.rocks_files import record_ends
from tests.brokers import choose_broker
from tests.damaged_files import cut, empty, garble, remove, zero
from tests.kafka_truth import Truth, differences
from tests.live_shop import TOKEN
from tests.live_workers import post
from tests.workers import WorkerProcess, is_current, made_topics, published_lists, send_orders, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.brokers import Broker

STORES = ("histories-0", "counts-0", "related-0")
PORTION = 60  # orders between one flush and the next
OLDER = "older"
"""Beside the state: files as they were before the worker was started the last time."""


def lose_last_records(path: Path) -> None:
    """So many that a table is not named any more."""
    data = path.read_bytes()
    path.write_bytes(data[: record_ends(data)[-4]])


def put_back(path: Path) -> None:
    """The MANIFEST of the start before, and the CURRENT that names it."""
    older = path.parents[2].with_name(OLDER) / path.parent.parent.name / path.parent.name
    for file in (*older.glob("MANIFEST-*"), older / "CURRENT"):
        shutil.copy(file, path.parent)


class Damage(NamedTuple):
    """One kind of damage to one kind of file."""

    files: str
    what: str
    do: Callable[[Path], None]


DAMAGES = (
    Damage("*.sst", "cut", cut),
    Damage("*.sst", "garbled", garble),
    Damage("*.sst", "a sector of zeros", zero),
    Damage("*.sst", "removed", remove),
    Damage("MANIFEST-*", "cut", cut),
    Damage("MANIFEST-*", "without its last records", lose_last_records),
    Damage("MANIFEST-*", "garbled", garble),
    Damage("MANIFEST-*", "an older one, named by CURRENT", put_back),
    Damage("CURRENT", "empty", empty),
    Damage("CURRENT", "removed", remove),
    Damage("*.log", "cut", cut),
    Damage("*.log", "garbled", garble),
    Damage("OPTIONS-*", "garbled", garble),
)


class KilledShop:
    """A worker that was killed while its stores had tables, several edits in the MANIFEST, and a log.

    Args:
        broker: where its topics are.
        directory: for its state.
    """

    def __init__(self, broker: Broker, directory: Path, name: str = "damages") -> None:
        self._broker = broker
        self._directory = directory
        self._topics = made_topics(broker.bootstrap, name, purchases=1, items=1)
        self._killed = directory / "killed"
        self._cases = 0
        worker = self._worker(directory / "worker")
        with worker:
            for portion in range(4):
                self._count(worker, portion)
                if portion == 1:
                    assert worker.stop() == 0
                    shutil.copytree(worker.state, directory / OLDER)
                    worker.start()
            self._count(worker, 4, flush=False)
            worker.kill()
        shutil.copytree(worker.state, self._killed)
        send_orders(broker, self._topics, 5 * PORTION, 6 * PORTION)
        self._truth = Truth(broker.bootstrap, self._topics, directory / "truth")

    def _worker(self, directory: Path) -> WorkerProcess:
        options = ("--admin-token", TOKEN, "--snapshot-root", str(directory / "snapshots"))
        return WorkerProcess(self._broker.bootstrap, self._topics, directory, *options)

    def _count(self, worker: WorkerProcess, portion: int, *, flush: bool = True) -> None:
        """Have orders counted, and written to tables."""
        send_orders(self._broker, self._topics, portion * PORTION, (portion + 1) * PORTION)
        lines = Truth(self._broker.bootstrap, self._topics, self._directory / f"truth {portion}").lines
        wait_until("orders are counted", lambda: is_current([worker], lines, 1), workers=[worker])
        if flush:
            assert post(worker, "/snapshot", {"to": f"number {portion}"}, TOKEN).status == 200

    def recovered(self, store: str, damage: Damage) -> str:
        """Damage a store, and start a worker again whenever it has ended, until everything is counted.

        Returns:
            What became of the store.

        Raises:
            AssertionError: it does not recover, or something is not exact.
        """
        self._cases += 1
        worker = self._worker(self._directory / f"case {self._cases}")
        shutil.copytree(self._killed, worker.state)
        (worker.state.parent / OLDER).symlink_to(self._directory / OLDER)
        path = worker.state / self._topics.generation / store
        damage.do(max(path.glob(damage.files), key=lambda file: file.stat().st_size))
        starts = 1
        with worker:

            def counted() -> bool:
                nonlocal starts
                if not worker.running:
                    starts += 1
                    worker.start()
                return is_current([worker], self._truth.lines, 1)

            wait_until("everything is counted", counted)
            assert worker.stop() == 0
        aside = [each.name for each in stores_aside(worker.state / self._topics.generation)]
        self._truth.check([worker.state], self._topics, 1)
        assert differences(published_lists(self._broker.bootstrap, self._topics), self._truth) == []
        shutil.rmtree(worker.state.parent)
        went = f"set aside ({', '.join(aside)}), counted again" if aside else "opened, went on from its offset"
        return went if starts == 1 else f"{went}, after {starts} starts"


@contextmanager
def killed_shop() -> Iterator[KilledShop]:
    """One on a broker of its own."""
    with TemporaryDirectory() as directory, choose_broker(Path(directory, "broker")) as broker:
        yield KilledShop(broker, Path(directory, "shop"))


def main() -> None:
    """Print the table."""
    click.echo("| store | file | damage | what a worker makes of it | s |\n|---|---|---|---|---|")
    failed, every = 0, len(STORES) * len(DAMAGES)
    with killed_shop() as shop:
        for store in STORES:
            for damage in DAMAGES:
                begun = time.monotonic()
                try:
                    result = shop.recovered(store, damage)
                except AssertionError as error:
                    failed += 1
                    result = f"**not exact**: {str(error).splitlines()[0]}"
                seconds = time.monotonic() - begun
                click.echo(f"| `{store}` | `{damage.files}` | {damage.what} | {result} | {seconds:.0f} |")
    click.echo(f"\n{every - failed} of {every} recovered by themselves, exact")


if __name__ == "__main__":
    main()
