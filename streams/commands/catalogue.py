"""The command that fills the catalogue: that of a state directory, or the topic `items` that every worker follows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producers.logs.columns import parse_columns
from streams.commands.broker_options import broker_options
from streams.commands.topic_options import topic_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from streams.catalogue.files import CatalogueRow, Filled
    from streams.workers.kafka.topics import Topics

NO, USAGE = 1, 2


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Fill the catalogue of this counted state."
)
@broker_options("Fill the topic items here, for the workers.", required=False)
@topic_options()
@click.option("--broker-timeout", default=30.0, metavar="SECONDS", help="How long to wait for a broker.")
@click.option("--columns", metavar="FIELD=COLUMN,...", help="Columns with other names, as in title=product_type.")
@click.option("--attributes", metavar="NAME,...", help="Further columns to keep, to be shown and filtered by.")
@click.option("--member", metavar="NAME", help="Which file of a zip archive, or sheet of a workbook.")
@click.option("--complete", is_flag=True, help="FILEs have every item that is sold: hide those known that they lack.")
@click.option("--unavailable", multiple=True, metavar="ITEM", help="Hide this item from every answer; may be repeated.")
@click.option("--available", multiple=True, metavar="ITEM", help="Show this item again; may be repeated.")
@click.option("--remove", multiple=True, metavar="ITEM", help="Forget what is known of this item; may be repeated.")
def catalogue(
    files: tuple[str, ...],
    state_dir: Path | None,
    broker: str | None,
    topics: Topics,
    broker_timeout: float,
    columns: str | None,
    attributes: str | None,
    member: str | None,
    complete: bool,
    unavailable: tuple[str, ...],
    available: tuple[str, ...],
    remove: tuple[str, ...],
) -> None:
    """Fill the catalogue from FILEs: titles, categories, availability, addresses, prices, brands, attributes.

    FILE is a table of any kind that `alsobought inspect` knows, a directory of such files, a pattern in quotes, - for
    standard input, or an address: https, s3, gs, abfs. Its columns are item_id and, if it has them, title, category,
    available, url, image, price, brand and group_id, of which lists show one item; or it is a feed for Google Merchant
    Center or a product export of Shopify or WooCommerce, known by its header. Other columns are kept if --attributes
    names them. A row replaces what was known of its item. Workers, or `alsobought serve`, follow within a second. Exit
    code 1 if rows were rejected; then --complete hides nothing.

    \b
      alsobought catalogue products.csv --broker 127.0.0.1:9092 --columns item_id=sku,title=name
      alsobought catalogue products_export.csv --complete --state-dir shop
      alsobought catalogue 'feeds/*.tsv' https://shop.example/feed.tsv --state-dir shop
      alsobought catalogue --state-dir shop --unavailable 1082185
    """
    from streams.catalogue.catalogue import FIELDS, CatalogueError
    from streams.catalogue.files import check_attributes, read_catalogues
    from streams.commands.located import brought

    if (state_dir is None) == (broker is None):
        raise click.UsageError("name --state-dir, a counted state, or --broker, for workers: one of the two")
    if complete and not files:
        raise click.UsageError("--complete says that a FILE has every item: name one")
    if not files and not (unavailable or available or remove):
        raise click.UsageError("name a FILE, or items with --unavailable, --available or --remove")
    _check_apart({"--available": available, "--unavailable": unavailable, "--remove": remove})
    shown = dict.fromkeys(unavailable, False) | dict.fromkeys(available, True)
    names = tuple(dict.fromkeys(name.strip() for name in (attributes or "").split(","))) if attributes else ()
    mapping = parse_columns(columns, (*FIELDS, *names))
    try:
        check_attributes(names)
        with brought(files) as (found, _):
            rows = read_catalogues(found, mapping, member, names) if found else None
            if state_dir is not None:
                filled = _fill_directory(state_dir, rows, shown, remove, complete=complete)
            else:
                filled = _fill_topic(str(broker), topics, broker_timeout, rows, shown, remove, complete=complete)
    except CatalogueError as error:
        failure = click.ClickException(str(error))
        failure.exit_code = USAGE
        raise failure from error
    if filled is not None:
        _tell(filled)
    if shown:
        click.echo(f"{len(unavailable):,} items hidden, {len(available):,} shown again")
    if remove:
        click.echo(f"{len(remove):,} items removed from the catalogue")
    if filled is not None and filled.rejected:
        sys.exit(NO)


def _fill_directory(
    state_dir: Path,
    rows: Iterator[CatalogueRow] | None,
    shown: Mapping[str, bool],
    removed: Iterable[str],
    *,
    complete: bool,
) -> Filled | None:
    from streams.catalogue import stored as stored_catalogue

    filled = None
    if rows is not None:
        filled = _watched(lambda on_row: stored_catalogue.fill(state_dir, rows, on_row, complete=complete))
    if shown:
        stored_catalogue.set_available(state_dir, shown)
    if removed:
        stored_catalogue.remove(state_dir, removed)
    return filled


def _fill_topic(
    broker: str,
    topics: Topics,
    timeout_s: float,
    rows: Iterator[CatalogueRow] | None,
    shown: Mapping[str, bool],
    removed: Iterable[str],
    *,
    complete: bool,
) -> Filled | None:
    from streams.commands.expected_errors import errors_as_messages
    from streams.workers.kafka import catalogue_topic

    filled = None
    with errors_as_messages():
        if rows is not None:
            filled = _watched(
                lambda on_row: catalogue_topic.fill_topic(
                    broker, topics, rows, on_row, timeout_s=timeout_s, complete=complete
                )
            )
        if shown:
            catalogue_topic.set_available(broker, topics, shown, timeout_s=timeout_s)
        if removed:
            catalogue_topic.remove(broker, topics, removed, timeout_s=timeout_s)
    return filled


def _watched(fill: Callable[[Callable[[CatalogueRow], None]], Filled]) -> Filled:
    """Fill, and show how far it has come."""
    from streams.progress import ProgressDisplay

    rows = 0
    with ProgressDisplay("catalogue", "rows") as display:

        def show(row: CatalogueRow) -> None:
            nonlocal rows
            rows += 1
            if rows % 1000 == 0:
                display.update(row.fraction, rows)

        return fill(show)


def _tell(filled: Filled) -> None:
    for place, reason in filled.first:
        click.echo(f"{place}: {reason}", err=True)
    if filled.rejected > len(filled.first):
        click.echo(f"and {filled.rejected - len(filled.first):,} more", err=True)
    click.echo(f"{filled.items:,} items in the catalogue, {filled.rejected:,} rows rejected")
    if filled.hidden:
        click.echo(f"{filled.hidden:,} items hidden that are no longer sold")


def _check_apart(named: Mapping[str, tuple[str, ...]]) -> None:
    """Check that no item was named with two options.

    Raises:
        click.UsageError: one was.
    """
    by_item: dict[str, str] = {}
    for option, item_ids in named.items():
        for item_id in item_ids:
            other = by_item.setdefault(item_id, option)
            if other != option:
                raise click.UsageError(f"{other} and {option} both name '{item_id}'")
