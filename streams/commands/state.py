"""Commands on a counted state: query a list or a history, export all lists, audit, erase a customer."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.commands.query import (
    as_json_option,
    catalogue_of,
    check_source,
    document_at,
    request_options,
    source_options,
)
from streams.endpoint.requests import CustomerRequest, RelatedRequest
from streams.engine.scores import DEFAULT_SCORE, SCORES, Scoring, ScoringError, decaying_scores

if TYPE_CHECKING:
    from streams.endpoint.answer_documents import Document

NO = 1

_state_dir = click.option(
    "--state-dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the counted state.",
)


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
        click.option("--no-trend", is_flag=True, help="Do not multiply scores by the trend."),
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
@request_options(RelatedRequest, "limit", limit=10)
@scoring_options
@as_json_option
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

    Lists each related item with the number of customers who bought both (of orders, if the state counts pairs of
    orders), the number expected by chance (Smith and Linden's correction for heavy buyers), and the score. Items that
    the catalogue marks as unavailable are left out. Exit code 1 if the item was never bought.

    \b
      alsobought related 1082185 --state-dir shop
      alsobought related 1082185 --state-dir shop --score lift --half-life 60 --json
    """
    from streams.commands.query_tables import print_related

    scoring = _scoring(score, half_life, no_trend)
    if url is not None and scoring != Scoring():
        raise click.UsageError("a worker ranks by its own score: --score, --half-life and --no-trend need --state-dir")
    check_source(state_dir, url)
    document = document_at(
        state_dir or str(url),
        ("items", item, "related"),
        {"limit": limit},
        lambda directory: _related(directory, item, scoring, limit),
    )
    if document is None:
        click.echo(f"item '{item}' was never bought in {state_dir or url}", err=True)
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    print_related(document)


def _related(state_dir: Path, item: str, scoring: Scoring, limit: int) -> Document:
    """The related list of an item, computed from the counts of its partition, the only one that is opened."""
    from state.related_store import RelatedStore
    from streams.endpoint.item_partitions import ItemPartitionView
    from streams.engine.embedded import open_counts_of

    catalogue = catalogue_of(state_dir)
    with closing(open_counts_of(state_dir, item)) as counts:
        path = state_dir / f"related-{counts.partition}"
        with closing(RelatedStore(path, read_only=True)) as published:
            view = ItemPartitionView([(counts, published)], catalogue, str(state_dir), scoring, room=1)
            return asyncio.run(view.related(item, RelatedRequest(limit=limit, fresh=True))).document


@click.command()
@click.argument("customer")
@source_options
@request_options(CustomerRequest, "limit")
@as_json_option
def customer(customer: str, state_dir: Path | None, url: str | None, limit: int, as_json: bool) -> None:
    """A customer's history: the items held, with the number and dates of purchases.

    Exit code 1 if the customer is not known.
    """
    check_source(state_dir, url)
    document = document_at(
        state_dir or str(url),
        ("customers", customer),
        {"limit": limit},
        lambda directory: _customer(directory, customer, limit),
    )
    if document is None:
        click.echo(f"customer '{customer}' is not known in {state_dir or url}", err=True)
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    click.echo(f"{customer}: {document['items_held']:,} items held, {document['purchases']:,} purchases")
    for entry in document["history"]:
        name = f"{entry.get('title', '')} {entry['item_id']}".strip()
        click.echo(f"  {entry['last']}  {entry['purchases']:>5,} x  {name}  (since {entry['first']})")
    left = document["items_held"] - len(document["history"])
    if left:
        click.echo(f"  and {left:,} bought before these: --limit shows more")


def _customer(state_dir: Path, customer: str, limit: int) -> Document:
    """A customer's history, from the one store of histories."""
    from streams.endpoint.customers import customer_entries
    from streams.engine.documents import as_of
    from streams.engine.embedded import open_counts_of, open_histories_of

    with closing(open_histories_of(state_dir)) as histories:
        entries = customer_entries(histories, customer, catalogue_of(state_dir), limit)
    with closing(open_counts_of(state_dir, "")) as counts:  # any partition: each knows the log prefix
        return {**entries, "as_of": as_of(counts), "worker": str(state_dir)}


@click.command()
@click.argument("customer")
@_state_dir
def erase(customer: str, state_dir: Path) -> None:
    """Erase a customer from every history, count and list.

    The log is unchanged. This state leaves the customer's orders up to now out from now on; another one does if it is
    given the list of erasures: alsobought erasures. Exit code 1 if the customer is not known.
    """
    import time

    from producers.orders import erasure
    from streams.engine.embedded import open_to_write
    from streams.offline.erasures import Erasures
    from streams.offline.rejects import RejectsFile

    embedded = open_to_write(state_dir)
    try:
        if customer not in embedded.histories.customers:
            click.echo(f"customer '{customer}' is not known in {state_dir}", err=True)
            sys.exit(NO)
        now_ms, offset = int(time.time() * 1000), embedded.purchases_offset
        erasures = Erasures(embedded.histories.documents)
        erasures.add(customer, now_ms)
        embedded.count(erasure(customer, now_ms, offset), offset + 1, documents=erasures.unstored())
        for path in state_dir.glob("rejected*.jsonl"):
            RejectsFile(path).forget(customer)
        embedded.compact()
        for _ in embedded.publish():
            pass
    finally:
        embedded.close()
    click.echo(f"erased customer '{customer}'")


@click.command()
@_state_dir
def erasures(state_dir: Path) -> None:
    """Print the erasures made with `alsobought erase`, for `alsobought replay --erasures` into another state.

    A line each, as JSON: a keyed digest of the customer's id, its key, and up to when orders are erased.

    \b
      alsobought erasures --state-dir shop > erasures.jsonl
      alsobought replay orders.csv --state-dir other --erasures erasures.jsonl
    """
    import msgspec

    from streams.engine.embedded import open_histories_of
    from streams.offline.erasures import Erasures

    with closing(open_histories_of(state_dir)) as histories:
        for erasure in Erasures(histories.documents):
            click.echo(msgspec.json.encode(erasure).decode())


@click.command()
@_state_dir
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File, .jsonl or .parquet.")
@scoring_options
def export(state_dir: Path, out: Path, score: str, half_life: float | None, no_trend: bool) -> None:
    """Write every item's related list to a file, in ascending order of item ids.

    The file's suffix selects JSON lines, as of `alsobought related --json`, or Parquet. Equal counts give equal bytes.
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
@as_json_option
def audit(state_dir: Path, as_json: bool) -> None:
    """Recount everything from the histories, independently, and compare.

    Compares all pair counts, exposure histograms, holder counts and related lists. Exit code 1 if anything differs.
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
