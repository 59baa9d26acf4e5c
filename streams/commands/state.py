"""Commands on a counted state: ask it, export it, audit it, erase a customer from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from streams.commands.query import from_url, one_source, source_options
from streams.engine.scores import DEFAULT_SCORE, SCORES, Scoring, ScoringError, decaying_scores

NO = 1

_state_dir = click.option(
    "--state-dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the counted state.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def _half_life(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None or value == "none":
        return None
    try:
        days = float(value)
    except ValueError:
        days = 0.0
    if not 0 < days < float("inf"):
        raise click.BadParameter(f"'{value}' is neither a number of days above 0 nor 'none'")
    return days


def scoring_options(command: Any) -> Any:  # noqa: ANN401 - a decorator
    """--score, --half-life and --no-trend."""
    for option in (
        click.option("--no-trend", is_flag=True, help="Don't multiply by how much more an item is bought recently."),
        click.option(
            "--half-life",
            callback=_half_life,
            metavar="DAYS|none",
            help="Halve counts every DAYS before the newest purchase; for blend, those of its recent half (60). "
            f"For {', '.join(decaying_scores())}.",
        ),
        click.option(
            "--score",
            default=DEFAULT_SCORE,
            show_default=True,
            type=click.Choice(list(SCORES)),
            help="What to rank by. " + "; ".join(f"{name}: {score.summary}" for name, score in SCORES.items()) + ".",
        ),
    ):
        command = option(command)
    return command


def _scoring(score: str, half_life: float | None, no_trend: bool) -> Scoring:
    try:
        return Scoring(score, half_life, not no_trend)
    except ScoringError as error:
        raise click.UsageError(f"--half-life: {error}") from None


@click.command()
@click.argument("item")
@source_options
@click.option("--limit", default=10, type=click.IntRange(1, 50), help="Most entries to list.")
@scoring_options
@_as_json
def related(
    item: str,
    state_dir: Path | None,
    url: str | None,
    limit: int,
    score: str,
    half_life: float | None,
    no_trend: bool,
    as_json: bool,
) -> None:
    """What is bought together with ITEM, more often than its buyers' other purchases explain.

    Lists each related item with how many customers bought both, how many would by chance (the correction of Smith and
    Linden for heavy buyers), and the score. Exit code 1 if the item was never bought.

    \b
      alsobought related 1082185 --state-dir state
      alsobought related 1082185 --state-dir state --score lift --half-life 60 --json
    """
    scoring = _scoring(score, half_life, no_trend)
    if url is not None and scoring != Scoring():
        raise click.UsageError("a worker lists by its own score: --score, --half-life and --no-trend need --state-dir")
    one_source(state_dir, url)
    if url is not None:
        document = from_url(url, ("items", item, "related"), {"limit": limit})
    else:
        assert state_dir is not None
        document = _related(state_dir, item, scoring, limit)
    if document is None:
        click.echo(f"item '{item}' was never bought in {state_dir or url}", err=True)
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    print_related(document)


def _related(state_dir: Path, item: str, scoring: Scoring, limit: int) -> dict[str, Any] | None:
    """The related list of an item of a state directory, or None if it was never bought."""
    import numpy as np

    from streams.engine.documents import related_document
    from streams.engine.embedded import open_counts_of
    from streams.engine.ranker import Ranker

    counts = open_counts_of(state_dir, item)
    try:
        if item not in counts.names or not counts.bought(counts.names[item]):
            return None
        number = counts.names[item]
        _, lists = Ranker(counts, scoring).lists(np.array([number]))
        return related_document(counts, number, scoring.score, lists.entries(0, counts.names)[:limit])
    finally:
        counts.close()


def print_related(document: dict[str, Any], title: str | None = None, titles: dict[str, str] | None = None) -> None:
    """Print a related list as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)  # an id like "[b]:apple:" is what it is
    stamp = f"as of {document['as_of']['timestamp']}, {document['as_of']['lines']:,} lines"
    heading = Text(f"{title or document['item_id']}", "bold").append(f": {document['buyers']:,} customers; {stamp}", "")
    console.print(heading, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("also bought", overflow="fold")
    for name in ("together", "expected", "trend", document["score"]):
        table.add_column(name, justify="right")
    for entry in document["related"]:
        name = entry["item_id"]
        table.add_row(
            Text(f"{(titles or {}).get(name, '')} {name}".strip()),
            f"{entry['bought_together']:,.0f}",
            f"{entry['expected']:,.1f}",
            f"{entry['trend']:.2f}",
            f"{entry['score']:.4g}",
        )
    console.print(table if document["related"] else "no item is bought with it more often than chance explains")


@click.command()
@click.argument("customer")
@source_options
@_as_json
def customer(customer: str, state_dir: Path | None, url: str | None, as_json: bool) -> None:
    """A customer's history: items held, purchases of each, and when.

    Exit code 1 if the customer is not known.
    """
    one_source(state_dir, url)
    if url is not None:
        document = from_url(url, ("customers", customer))
    else:
        assert state_dir is not None
        document = _customer(state_dir, customer)
    if document is None:
        click.echo(f"customer '{customer}' is not known in {state_dir or url}", err=True)
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    click.echo(f"{customer}: {document['items_held']:,} items held, {document['purchases']:,} purchases")
    for entry in document["history"]:
        click.echo(f"  {entry['last']}  {entry['purchases']:>5,} x  {entry['item_id']}  (since {entry['first']})")


def _customer(state_dir: Path, customer: str) -> dict[str, Any] | None:
    """A customer's history in a state directory, or None."""
    from streams.engine.documents import customer_document
    from streams.engine.embedded import open_histories_of

    histories = open_histories_of(state_dir)
    try:
        return customer_document(histories, customer)
    finally:
        histories.close()


@click.command()
@click.argument("customer")
@_state_dir
def erase(customer: str, state_dir: Path) -> None:
    """Erase a customer: afterwards nothing of theirs is in any history, count or list.

    The log is not touched: remove the customer there too before it is replayed into another state. Exit code 1 if the
    customer is not known.
    """
    import time

    from producers.orders import erasure
    from streams.engine.embedded import open_to_write
    from streams.offline.replay import RejectsFile

    embedded = open_to_write(state_dir)
    try:
        if customer not in embedded.histories.customers:
            click.echo(f"customer '{customer}' is not known in {state_dir}", err=True)
            sys.exit(NO)
        embedded.count(
            erasure(customer, int(time.time() * 1000), embedded.purchases_offset), embedded.purchases_offset + 1
        )
        RejectsFile(state_dir / "rejected.jsonl").forget(customer)
        embedded.compact()
        for _ in embedded.publish():
            pass
    finally:
        embedded.close()
    click.echo(f"erased customer '{customer}'")


@click.command()
@_state_dir
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File, .jsonl or .parquet.")
@scoring_options
def export(state_dir: Path, out: Path, score: str, half_life: float | None, no_trend: bool) -> None:
    """Write every item's related list to a file, by rising item id.

    JSON lines in the form of `alsobought related --json`, or Parquet, by the ending. Equal counts give equal bytes.
    """
    from streams.engine.embedded import open_to_read
    from streams.offline.export import ENDINGS
    from streams.offline.export import export as run
    from streams.progress import ProgressDisplay

    if out.suffix not in ENDINGS:
        raise click.UsageError(f"--out is '{out}': the name of an export ends in one of {', '.join(ENDINGS)}")
    scoring = _scoring(score, half_life, no_trend)
    embedded = open_to_read(state_dir)
    total = 0
    try:
        with ProgressDisplay("export", "lists") as display:
            for done, total in run(embedded, out, scoring):
                display.update(done / max(total, 1), done)
    finally:
        embedded.close()
    click.echo(f"{total:,} related lists written to {out}")


@click.command()
@_state_dir
@_as_json
def audit(state_dir: Path, as_json: bool) -> None:
    """Recount everything from the histories, independently, and compare.

    Compares every pair count, exposure histogram, holder count and related list. Exit code 1 if anything differs.
    """
    from streams.engine.embedded import open_to_read
    from streams.offline.audit import Findings
    from streams.offline.audit import audit as run
    from streams.progress import ProgressDisplay

    embedded = open_to_read(state_dir)
    findings = Findings()
    try:
        with ProgressDisplay("audit", "comparisons", quiet=as_json) as display:
            for fraction in run(embedded, findings):
                display.update(fraction, sum(findings.compared.values()))
    finally:
        embedded.close()
    if as_json:
        click.echo(
            json.dumps(
                {"compared": findings.compared, "differences": findings.count, "first": findings.differences},
                ensure_ascii=False,
            )
        )
    else:
        for kind, count in findings.compared.items():
            click.echo(f"{count:>14,} {kind} compared")
        for text in findings.differences:
            click.echo(f"differs: {text}")
        click.echo(f"{findings.count:,} differences" if findings.count else "no difference")
    if findings.count:
        sys.exit(NO)
