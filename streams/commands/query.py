"""Commands that ask: `recommend` and `bestsellers` of a state or a worker, and `serve`, which answers for a state."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from streams.endpoint.embedded_answers import EmbeddedAnswers

NO, USAGE = 1, 2


class _InputError(click.ClickException):
    """Something the user can mend."""

    exit_code = USAGE


def source_options(command: Any) -> Any:  # noqa: ANN401 - a decorator
    """--state-dir and --url, of which one is given: a stopped state, or a running worker."""
    state_dir = click.option(
        "--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Directory of the counted state."
    )
    url = click.option("--url", help="Ask a running worker or `alsobought serve`, such as http://127.0.0.1:6066.")
    return state_dir(url(command))


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def one_source(state_dir: Path | None, url: str | None) -> None:
    """Check that one of the two was named.

    Raises:
        click.UsageError: neither or both were.
    """
    if (state_dir is None) == (url is None):
        raise click.UsageError("name --state-dir, a stopped state, or --url, a running worker: one of the two")


def from_url(url: str, parts: tuple[str, ...], query: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The document at a path of a worker, for any command with --url; None if there is no such item or customer.

    Raises:
        click.ClickException: the worker does not answer, or refuses; exit code 2.
    """
    from streams.endpoint.client import ClientError, ask, path_of

    try:
        return ask(url, path_of(*parts), query)
    except ClientError as error:
        raise _InputError(str(error)) from error


def asked(
    state_dir: Path | None,
    url: str | None,
    parts: tuple[str, ...],
    query: Mapping[str, Any],
    question: Callable[[EmbeddedAnswers], Awaitable[dict[str, Any]]],
) -> dict[str, Any] | None:
    """The answer of a worker or of a state, whichever was named; None if there is no such item or customer.

    Args:
        state_dir: directory of the state, or None.
        url: of the worker, or None.
        parts: path of the worker's answer.
        query: its parameters.
        question: the same question, to a state.

    Raises:
        click.UsageError: neither or both were named.
    """
    one_source(state_dir, url)
    if url is not None:
        return from_url(url, parts, query)
    assert state_dir is not None
    from streams.endpoint.answers import NotKnown

    async def answered(answers: EmbeddedAnswers) -> dict[str, Any] | None:
        try:
            return await question(answers)
        except NotKnown:
            return None

    return _with_state(state_dir, answered)


def _with_state(
    state_dir: Path, work: Callable[[EmbeddedAnswers], Awaitable[dict[str, Any] | None]]
) -> dict[str, Any] | None:
    from streams.catalogue.catalogue import Catalogue
    from streams.catalogue.stored import StoredCatalogue
    from streams.endpoint.embedded_answers import EmbeddedAnswers
    from streams.engine.embedded import open_to_read

    catalogue = Catalogue()
    StoredCatalogue(state_dir, catalogue).refresh()
    embedded = open_to_read(state_dir)

    async def run() -> dict[str, Any] | None:
        return await work(EmbeddedAnswers(embedded, catalogue, worker=str(state_dir)))

    try:
        return asyncio.run(run())
    finally:
        embedded.close()


@click.command()
@click.argument("customer")
@source_options
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 500), help="How many to recommend.")
@click.option("--basket", multiple=True, metavar="ITEM", help="An item in the visitor's hands; may be repeated.")
@click.option("--exclude", multiple=True, metavar="ITEM", help="An item not to recommend; may be repeated.")
@click.option("--category", help="Only items of this category of the catalogue.")
@click.option("--keep-held", is_flag=True, help="Recommend also what the customer holds.")
@click.option(
    "--popularity-share",
    default=0.4,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of popularity beside the related lists.",
)
@click.option(
    "--repeats-share",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of the customer's own repeats; 0.6 suits shops whose customers buy the same again.",
)
@as_json_option
def recommend(
    customer: str,
    state_dir: Path | None,
    url: str | None,
    limit: int,
    basket: tuple[str, ...],
    exclude: tuple[str, ...],
    category: str | None,
    keep_held: bool,
    popularity_share: float,
    repeats_share: float,
    as_json: bool,
) -> None:
    """What CUSTOMER is likely to want next, and why.

    Merges the related lists of the last hundred items bought and blends popularity in. A customer without history gets
    the bestsellers of two weeks. Exit code 1 if nothing can be recommended.

    \b
      alsobought recommend 2070 --state-dir state
      alsobought recommend 2070 --url http://127.0.0.1:6066 --category PASTA --json
    """
    from streams.commands.query_tables import print_recommendations
    from streams.endpoint.answers import Wishes
    from streams.recommendations.recommend import Blend

    wishes = Wishes(limit, basket, exclude, category, keep_held, Blend(popularity_share, repeats_share))
    query = {
        "limit": limit,
        "basket": list(basket),
        "exclude": list(exclude),
        "category": category,
        "keep_held": keep_held,
        "popularity_share": popularity_share,
        "repeats_share": repeats_share,
    }
    parts = ("customers", customer, "recommendations")
    document = asked(state_dir, url, parts, query, lambda answers: answers.recommendations(customer, wishes))
    if document is None or not document["recommendations"]:
        click.echo(f"nothing to recommend to '{customer}': no item is admissible", err=True)
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    print_recommendations(customer, document)


@click.command()
@source_options
@click.option("--days", default=14, show_default=True, type=click.IntRange(1, 60), help="Days of event time to count.")
@click.option("--category", help="Only items of this category of the catalogue.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500), help="Most items to list.")
@as_json_option
def bestsellers(
    state_dir: Path | None, url: str | None, days: int, category: str | None, limit: int, as_json: bool
) -> None:
    """What was bought most in the last days before the newest purchase.

    Exit code 1 if nothing was bought in them.

    \b
      alsobought bestsellers --state-dir state
      alsobought bestsellers --url http://127.0.0.1:6066 --days 7 --json
    """
    from streams.commands.query_tables import print_bestsellers

    query = {"days": days, "category": category, "limit": limit}
    document = asked(
        state_dir, url, ("bestsellers",), query, lambda answers: answers.bestsellers(days, category, limit)
    )
    if document is None or not document["bestsellers"]:
        click.echo(
            f"nothing was bought in these {days} days{f' in category {category!r}' if category else ''}", err=True
        )
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    print_bestsellers(document)


@click.command()
@source_options
@as_json_option
def quality(state_dir: Path | None, url: str | None, as_json: bool) -> None:
    """How often recommendations contained what the next order brought, and bestsellers did.

    As scored by `alsobought replay --prequential`, or a worker with --score-one-in, before each order of a sample was
    counted. Exit code 1 if no order was scored.

    \b
      alsobought quality --state-dir state
      alsobought quality --url http://127.0.0.1:6066 --json
    """
    from streams.quality.rates import hit_counts_of, quality_entries, quality_lines

    async def question(answers: EmbeddedAnswers) -> dict[str, Any]:
        return quality_entries(answers.status().hit_counts)

    document = asked(state_dir, url, ("quality",), {}, question)
    if document is None or not document["orders"]:
        click.echo("no order was scored: replay with --prequential, or a worker with --score-one-in, does", err=True)
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    click.echo("\n".join(quality_lines(hit_counts_of(document))))


@click.command()
@click.option(
    "--state-dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the counted state.",
)
@click.option("--admin", default="127.0.0.1:6066", show_default=True, metavar="HOST:PORT", help="Where to listen.")
def serve(state_dir: Path, admin: str) -> None:
    """Serve a stopped state without Kafka: the admin endpoint and its page, for reading.

    \b
      alsobought serve --state-dir state
    """
    from streams.endpoint.serving import CannotListen, serve_state
    from streams.engine.embedded import open_to_read

    host, _, port = admin.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter(f"'{admin}' is not HOST:PORT, as in 127.0.0.1:6066", param_hint="--admin")
    embedded = open_to_read(state_dir)
    try:
        asyncio.run(serve_state(embedded, state_dir, host.strip("[]"), int(port), click.echo))
    except CannotListen as error:
        raise _InputError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("stopped")
    finally:
        embedded.close()
