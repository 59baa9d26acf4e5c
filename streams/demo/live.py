"""The live demo: a broker, a worker with its page, and a year of groceries bought within minutes."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from producers.publish import Publisher
from state.compiling import WORDS
from streams.catalogue.catalogue import encode_item
from streams.demo.child_process import ChildProcess
from streams.demo.embedded_broker import EmbeddedBroker
from streams.demo.groceries import GROCERY_COLUMNS, grocery_file, grocery_items
from streams.demo.interruptions import Interruptions
from streams.demo.ports import free_port
from streams.demo.sending import Sending
from streams.progress import ProgressDisplay
from streams.workers.kafka.catalogue_topic import send_items
from streams.workers.kafka.topics import Partitions, Topics, create_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from state.memory import MemoryBudget

PORT = 6066
# There is only one worker. Each item partition holds all deltas in the broker's memory, and when several producers
# write to one partition at once, the broker may show a reader a later record before an earlier one.
PARTITIONS = Partitions(purchases=1, items=1)
# Each list takes 6 KB of the broker's memory: without a limit, a replay of two minutes publishes 350,000 of them.
LISTS_PER_SECOND = 500
SCORE_ONE_IN = 4  # at most two orders of a commit are: enough for a curve, and nothing beside counting
START_TIMEOUT_S = 120.0
_POLL_S = 0.5


class DemoFailed(Exception):
    """The broker or the worker ended. The message has the end of its log."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Settings of a live demo.

    Attributes:
        speed: how many times faster than the orders happened; None: as fast as possible.
        lines: how many lines of the log to replay; None: all.
        port: of the page; None: PORT, or any free one if that is taken.
        memory: what the worker's state may take; None: the default.
    """

    speed: float | None
    lines: int | None = None
    port: int | None = None
    memory: MemoryBudget | None = None


def run_live(settings: LiveSettings, say: Callable[[str], None]) -> None:
    """Run until Ctrl-C, and leave nothing behind.

    Args:
        settings: of the demo.
        say: prints a line for the user.

    Raises:
        DemoFailed, NoEmbeddedBroker, LogError, PublishingFailed, BrokerUnavailable: it could not run.
    """
    log = grocery_file("transactions.parquet")
    for package in ("producers", "streams"):
        logging.getLogger(package).addHandler(logging.NullHandler())  # the demo prints what users need to know
    with Interruptions() as interruptions, ExitStack() as stack:
        try:
            _run(settings, log, say, interruptions, stack)
        except KeyboardInterrupt:
            interruptions.ignore()  # the first Ctrl-C is enough
            say("stopping")
            stack.close()
            say("stopped: broker, worker and their files are gone")
        except BaseException:
            interruptions.ignore()
            raise


def _run(
    settings: LiveSettings, log: Path, say: Callable[[str], None], interruptions: Interruptions, stack: ExitStack
) -> None:
    topics = Topics()
    begun = time.monotonic()
    with interruptions.held():
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alsobought-")))
        broker = stack.enter_context(EmbeddedBroker(directory / "broker"))
    create_topics(broker.address, topics, PARTITIONS)
    say(f"broker: {broker.address}, in memory")
    address = f"127.0.0.1:{free_port(PORT) if settings.port is None else settings.port}"
    with interruptions.held():
        worker = stack.enter_context(_worker(broker.address, address, directory, settings.memory))
    items = grocery_items()
    with Publisher(broker.address, topics.items) as publisher:
        send_items(publisher, [(item_id, encode_item(item)) for item_id, item in items.items()])
    say(f"catalogue: {len(items):,} products")
    children = {"broker": broker.process, "worker": worker}
    _wait_until_ready(address, children, say)
    say(f"page: http://{address}   (Ctrl-C ends everything)")

    if settings.lines is not None:
        log = _shortened(log, settings.lines, directory)
    with interruptions.held():
        sending = Sending(broker.address, topics.purchases, log, GROCERY_COLUMNS, settings.speed)
        stack.callback(sending.stop)
    replayed = time.monotonic()
    _watch_counting(sending, address, children, _rows(log))
    counted = time.monotonic()
    say(f"{sending.lines:,} lines of {sending.orders:,} orders counted in {counted - replayed:.0f} s")
    _wait_until_current(address, children)
    later, whole = time.monotonic() - counted, time.monotonic() - begun
    say(f"every related list is exact, {later:.0f} s later, {whole:.0f} s after the start; the page stays until Ctrl-C")
    while True:
        _check(children)
        time.sleep(_POLL_S)


@contextmanager
def _worker(broker: str, address: str, directory: Path, memory: MemoryBudget | None) -> Iterator[ChildProcess]:
    # -P: a folder of the user's that is called like a package of ours is not taken for it
    command = [sys.executable, "-P", "-m", "streams.commands.kafka", "worker"]
    command += ["--broker", broker, "--state-dir", str(directory / "state"), "--admin", address]
    command += ["--no-fencing", "--lists-per-second", str(LISTS_PER_SECOND), "--score-one-in", str(SCORE_ONE_IN)]
    if memory is not None:
        command += ["--memory", f"{memory.total}B"]
    # the environment may hold settings of the user's own workers
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALSOBOUGHT_")}
    worker = ChildProcess(command, directory / "worker.log", environment=environment)
    try:
        yield worker
    finally:
        worker.end()


def _shortened(log: Path, lines: int, directory: Path) -> Path:
    """The first lines of a log, as a separate file."""
    import pyarrow as pa  # noqa: PLC0415 - slow to load
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetFile(log) as file:
        first = pa.Table.from_batches([next(file.iter_batches(lines))])
    pq.write_table(first, directory / log.name)
    return directory / log.name


def _rows(log: Path) -> int:
    import pyarrow.parquet as pq  # noqa: PLC0415

    return int(pq.read_metadata(log).num_rows)


def _wait_until_ready(address: str, children: dict[str, ChildProcess], say: Callable[[str], None]) -> None:
    """Return once the page can answer; say what it waits for if that takes long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    said = False
    while (missing := _missing(address)) is not None:
        if WORDS in missing:
            deadline = time.monotonic() + START_TIMEOUT_S  # however slow the machine is
            if not said:
                say(WORDS)
            said = True
        _check(children)
        if time.monotonic() > deadline:
            raise DemoFailed(
                f"no page at {address} after {START_TIMEOUT_S:g} s: {missing}; the worker says:\n"
                f"{children['worker'].last_words()}"
            )
        time.sleep(0.1)


def _missing(address: str) -> str | None:
    """What the worker waits for; None: it can answer."""
    try:
        urllib.request.urlopen(f"http://{address}/health/ready", timeout=5).close()
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode(errors="replace")
    except OSError as error:
        return f"it does not answer: {error}"
    return None


def _watch_counting(sending: Sending, address: str, children: dict[str, ChildProcess], rows: int) -> None:
    """Show the worker's progress; return when it has counted everything that was sent."""
    with ProgressDisplay("replay", "lines") as display:
        while True:
            ended = sending.ended
            counted = _counted(_status(address))
            if ended and sending.failure is not None:
                raise sending.failure
            if ended and counted == sending.lines:
                return
            display.update(counted / max(sending.lines if ended else rows, 1), counted)
            _check(children)
            time.sleep(_POLL_S)


def _wait_until_current(address: str, children: dict[str, ChildProcess]) -> None:
    while True:
        tally = (_status(address) or {}).get("tally")
        if tally and tally["current"] and all(tally["current"].values()):
            return
        _check(children)
        time.sleep(_POLL_S)


def _counted(status: dict[str, Any] | None) -> int:
    """Lines that every item partition has counted."""
    return min((status or {}).get("tally", {}).get("lines", {}).values(), default=0)


def _status(address: str) -> dict[str, Any] | None:
    """The worker's status; None if it is too busy to answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/status", timeout=10) as answer:
            status: dict[str, Any] = json.load(answer)
            return status
    except (OSError, ValueError):
        return None


def _check(children: dict[str, ChildProcess]) -> None:
    for name, process in children.items():
        if not process.running:
            raise DemoFailed(f"the {name} ended with exit code {process.child.returncode}:\n{process.last_words()}")
