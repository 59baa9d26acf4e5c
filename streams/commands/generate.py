"""The command `generate`: made-up orders, to a broker or a file."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producers.orders import DAY_MS
from streams.commands.broker_options import broker_options
from streams.commands.topic_options import topic_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producers.synthetic import SyntheticOrder, SyntheticShop
    from streams.workers.kafka.topics import Topics

_LINES = (".jsonl", ".ndjson")
_ROWS = (".csv", ".parquet")
_GROUP_ITEMS = 20
_GAP_MS = 10_000


def _checked(_ctx: click.Context, _param: click.Parameter, out: Path | None) -> Path | None:
    if out is not None and out.suffix not in (*_LINES, *_ROWS):
        raise click.BadParameter(f"the name of {out} ends in none of {', '.join((*_LINES, *_ROWS))}")
    return out


@click.command(context_settings={"auto_envvar_prefix": "ALSOBOUGHT", "show_default": True})
@click.option("--orders", required=True, type=click.IntRange(1), help="How many orders; they have some 3 lines each.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Orders per second.  [default: as fast as possible]"
)
@click.option("--seed", type=click.IntRange(0), default=0, help="The same seed generates the same orders.")
@click.option("--customers", type=click.IntRange(1), default=10_000, help="How many shoppers.")
@click.option("--items", type=click.IntRange(1), default=2_000, help="How many items; whole groups of 20.")
@click.option(
    "--days",
    type=click.FloatRange(0, min_open=True),
    help="Event time between the first order and the last.  [default: 10 s for each order]",
)
@broker_options("Send the orders to the topic purchases of this broker.", required=False)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_checked,
    help="Write the orders to this file: as JSON lines, CSV or Parquet, by its ending (.jsonl, .csv, .parquet).",
)
@topic_options()
@click.option("--broker-timeout", default=30.0, metavar="SECONDS", help="How long to wait for a broker.")
def generate(
    orders: int,
    rate: float | None,
    seed: int,
    customers: int,
    items: int,
    days: float | None,
    broker: str | None,
    out: Path | None,
    topics: Topics,
    broker_timeout: float,
) -> None:
    """Generate orders of shoppers who buy from groups of items that belong together.

    Few shoppers buy much and few items sell much, some of them in their season. A shop of any size takes the same
    memory: try --customers 10000000 --items 1000000 --days 365.
    """
    from producers.synthetic import SyntheticShop
    from streams.commands.expected_errors import errors_as_messages

    if (broker is None) == (out is None):
        raise click.UsageError("say where the orders go: either --broker or --out")
    if rate and out is not None and out.suffix in _ROWS:
        raise click.UsageError(f"--rate needs a broker, or a file that is written order by order: {', '.join(_LINES)}")
    shop = SyntheticShop(seed, customers, -(-items // _GROUP_ITEMS), min(items, _GROUP_ITEMS))
    gap_ms = _GAP_MS if days is None else int(days * DAY_MS / orders)
    with errors_as_messages():
        if out is not None and out.suffix in _ROWS:
            _write_rows(shop, orders, gap_ms, out)
        else:
            taker = _to_file(out) if out is not None else _to_topic(str(broker), topics.purchases, broker_timeout)
            with taker as take:
                _give(shop, orders, gap_ms, rate, take)
    click.echo(f"{orders:,} orders generated, to {out or broker}", err=True)


def _give(
    shop: SyntheticShop, orders: int, gap_ms: int, rate: float | None, take: Callable[[SyntheticOrder], object]
) -> None:
    """Give the orders away one by one, at a rate."""
    from producers.publish import Pace
    from streams.progress import ProgressDisplay

    pace = Pace(rate and 1.0)
    with ProgressDisplay("generate", "orders") as display:
        for number, order in enumerate(shop.orders(orders, gap_ms)):
            pace.wait(int(1000 * number / (rate or 1)))
            take(order)
            display.update((number + 1) / orders, number + 1)


@contextmanager
def _to_topic(broker: str, topic: str, timeout_s: float) -> Iterator[Callable[[SyntheticOrder], object]]:
    """Sends orders to the topic `purchases`; the broker has all of them when it exits."""
    from producers.publish import Publisher

    with Publisher(broker, topic, timeout_s) as publisher:

        def take(order: SyntheticOrder) -> None:
            key = order.customer_id.encode()
            publisher.send(key, order.encode(), partition=publisher.partition_of(key))

        yield take


@contextmanager
def _to_file(path: Path) -> Iterator[Callable[[SyntheticOrder], object]]:
    """Writes orders to a file, as JSON lines."""
    with path.open("wb") as file:
        yield lambda order: file.write(order.encode() + b"\n")


def _write_rows(shop: SyntheticShop, orders: int, gap_ms: int, out: Path) -> None:
    """Write order lines to a CSV or Parquet file, which appears whole or not at all."""
    import pyarrow.csv
    import pyarrow.parquet

    from producers.synthetic import ROWS
    from streams.progress import ProgressDisplay

    writer_of = {".csv": pyarrow.csv.CSVWriter, ".parquet": pyarrow.parquet.ParquetWriter}[out.suffix]
    part = out.with_name(f".{out.name}.part")
    try:
        with writer_of(part, ROWS) as writer, ProgressDisplay("generate", "orders") as display:
            for done, rows in shop.rows(orders, gap_ms):
                writer.write(rows)
                display.update(done / orders, done)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    generate()
