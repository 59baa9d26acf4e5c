"""Commands that query a stopped state (--state-dir) or a running worker (--url).

Both answer the same document. Options follow from the types of the endpoint's requests.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from streams.commands.environment import drop_contradicted
from streams.endpoint.requests import BestsellersRequest, parameters_of
from streams.recommendations.request import BadCondition, RecommendationRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.answer_documents import Document
    from streams.endpoint.embedded_answers import EmbeddedAnswers
    from streams.endpoint.requests import Parameter

T = TypeVar("T")
_TOKEN = "alsobought.token"  # noqa: S105 - where a command keeps it
NO, USAGE = 1, 2
_METAVARS = {"fields": "FIELD", "where": "CONDITION", "where_not": "CONDITION", "boost": "CONDITION^FACTOR"}
_OF_LISTS = ("fields", "category", "where", "where_not", "boost", "in_stock", "offset")


class _InputError(click.ClickException):
    """Something the user can correct."""

    exit_code = USAGE


def source_options(command: Any) -> Any:  # noqa: ANN401 - a decorator
    """--state-dir and --url, of which one must be given: a stopped state, or a running worker."""
    state_dir = click.option(
        "--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Directory of the counted state."
    )
    url = click.option("--url", help="Query a running worker or `alsobought serve`, such as http://127.0.0.1:6066.")
    token = click.option(
        "--token",
        envvar="ALSOBOUGHT_READ_TOKEN",
        expose_value=False,
        callback=_keep_token,
        help="Its --read-token, if it has one; better set as ALSOBOUGHT_READ_TOKEN.",
    )

    @functools.wraps(command)
    def called(*arguments: object, **options: Any) -> Any:  # noqa: ANN401
        drop_contradicted(options, "state_dir", "url")
        return command(*arguments, **options)

    return state_dir(url(token(called)))


def _keep_token(context: click.Context, _: click.Parameter, value: str | None) -> None:
    context.meta[_TOKEN] = value


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def request_options(request: type[msgspec.Struct], *names: str, **defaults: object) -> Callable[[Any], Any]:
    """Options for fields of a request, with their descriptions, ranges and defaults.

    Args:
        request: type of the request.
        names: names of the fields, in the order of the options.
        defaults: defaults that differ from the endpoint's, by field.
    """
    fields = {parameter.name: parameter for parameter in parameters_of(request)}

    def decorate(command: Any) -> Any:  # noqa: ANN401 - a decorator
        for name in reversed(names):
            command = _option(fields[name], defaults.get(name, fields[name].default))(command)
        return command

    return decorate


def _option(field: Parameter, default: object) -> Callable[[Any], Any]:
    flag, text = f"--{field.name.replace('_', '-')}", field.description
    if field.kind == "boolean" and default:
        return click.option(f"{flag}/--no-{flag[2:]}", default=True, help=text)
    if field.kind == "boolean":
        return click.option(flag, is_flag=True, help=text)
    if field.several:
        metavar = _METAVARS.get(field.name, "ITEM")
        return click.option(
            flag, multiple=True, default=default, metavar=metavar, help=f"{text[:-1]}; may be repeated."
        )
    if field.kind == "string":
        return click.option(flag, default=default, help=text)
    range_of: type[click.IntRange | click.FloatRange] = click.IntRange if field.kind == "integer" else click.FloatRange
    low, high = (int(bound or 0) for bound in (field.low, field.high))
    return click.option(flag, default=default, show_default=True, type=range_of(low, high), help=text)


def _made(request: type[T], **fields: object) -> T:
    """The request of a command's options.

    Raises:
        click.UsageError: a condition cannot be read.
    """
    try:
        return request(**fields)
    except BadCondition as error:
        raise click.UsageError(f"--{error}") from None


def check_source(state_dir: Path | None, url: str | None) -> None:
    """Check that exactly one of the two is given.

    Raises:
        click.UsageError: neither or both are given.
    """
    if (state_dir is None) == (url is None):
        raise click.UsageError("give either --state-dir, a stopped state, or --url, a running worker")


def document_at(
    source: Path | str, parts: tuple[str, ...], query: Mapping[str, Any], from_state: Callable[[Path], Document]
) -> dict[str, Any] | None:
    """The answer of a worker or a state; None if there is no such item or customer.

    Args:
        source: directory of the state, or URL of the worker.
        parts: parts of the path at the worker.
        query: query parameters at the worker.
        from_state: returns the same document from a state directory.

    Raises:
        click.ClickException: the worker does not respond, or rejects the request; exit code 2.
    """
    if isinstance(source, str):
        return _from_url(source, parts, query)
    from streams.endpoint.answers import NotKnown

    try:
        document = from_state(source)
    except NotKnown:
        return None
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return decoded


def _from_url(url: str, parts: tuple[str, ...], query: Mapping[str, Any]) -> dict[str, Any] | None:
    from streams.endpoint.client import ClientError, ask, path_of
    from streams.endpoint.requests import API

    try:
        return ask(url, path_of(API, *parts), query, click.get_current_context().meta.get(_TOKEN))
    except ClientError as error:
        raise _InputError(str(error)) from error


def catalogue_of(state_dir: Path) -> Catalogue:
    """The catalogue of a state directory; empty if it has none."""
    from streams.catalogue.catalogue import Catalogue
    from streams.catalogue.stored import StoredCatalogue

    catalogue = Catalogue()
    StoredCatalogue(state_dir, catalogue).refresh()
    return catalogue


def with_answers(question: Callable[[EmbeddedAnswers], Awaitable[Document]]) -> Callable[[Path], Document]:
    """A function that answers a question from the state in a directory."""

    def ask_state(state_dir: Path) -> Document:
        from streams.endpoint.embedded_answers import EmbeddedAnswers
        from streams.engine.embedded import open_to_read

        catalogue = catalogue_of(state_dir)
        embedded = open_to_read(state_dir)

        async def run() -> Document:
            return await question(EmbeddedAnswers(embedded, catalogue, worker=str(state_dir)))

        try:
            return asyncio.run(run())
        finally:
            embedded.close()

    return ask_state


@click.command()
@click.argument("customer")
@source_options
@request_options(
    RecommendationRequest,
    *_OF_LISTS,
    "limit",
    "basket",
    "exclude",
    "keep_held",
    "popularity_share",
    "repeats_share",
    "reasons",
)
@as_json_option
def recommend(customer: str, state_dir: Path | None, url: str | None, as_json: bool, **fields: Any) -> None:  # noqa: ANN401 - fields of the request
    """What CUSTOMER is likely to want next, and why.

    Merges the related lists of the last hundred items bought, and blends in popularity. A customer without history
    gets the bestsellers of two weeks. Exit code 1 if nothing can be recommended.

    \b
      alsobought recommend 2070 --state-dir shop
      alsobought recommend 2070 --url http://127.0.0.1:6066 --category PASTA --json
    """
    from streams.commands.query_tables import print_recommendations

    check_source(state_dir, url)
    request = _made(RecommendationRequest, customer_id=customer, **fields)
    document = document_at(
        state_dir or str(url),
        ("customers", customer, "recommendations"),
        fields,
        with_answers(lambda answers: answers.recommendations(request)),
    )
    if document is None or not document["recommendations"]:
        click.echo(f"nothing to recommend to '{customer}': no item is admissible", err=True)
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    print_recommendations(customer, document)


@click.command()
@source_options
@request_options(BestsellersRequest, *_OF_LISTS, "days", "limit")
@as_json_option
def bestsellers(state_dir: Path | None, url: str | None, as_json: bool, **fields: Any) -> None:  # noqa: ANN401 - likewise
    """The most bought items of the last days, up to the newest purchase.

    Exit code 1 if nothing was bought in these days.

    \b
      alsobought bestsellers --state-dir shop
      alsobought bestsellers --url http://127.0.0.1:6066 --days 7 --json
    """
    from streams.commands.query_tables import print_bestsellers

    check_source(state_dir, url)
    request = _made(BestsellersRequest, **fields)
    document = document_at(
        state_dir or str(url),
        ("bestsellers",),
        fields,
        with_answers(lambda answers: answers.bestsellers(request)),
    )
    if document is None or not document["bestsellers"]:
        category = f" in category {request.category!r}" if request.category else ""
        click.echo(f"nothing was bought in these {request.days} days{category}", err=True)
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    print_bestsellers(document)


@click.command()
@source_options
@as_json_option
def quality(state_dir: Path | None, url: str | None, as_json: bool) -> None:
    """Hit rates of recommendations and bestsellers: how often the next order contained one of them.

    `alsobought replay --prequential`, or a worker with --score-one-in, scores a sample of the orders before it counts
    them. Exit code 1 if no order was scored.

    \b
      alsobought quality --state-dir shop
      alsobought quality --url http://127.0.0.1:6066 --json
    """
    from streams.quality.rates import hit_counts_of, quality_entries, quality_lines

    async def entries(answers: EmbeddedAnswers) -> Document:
        return quality_entries(answers.status().hit_counts)

    check_source(state_dir, url)
    document = document_at(state_dir or str(url), ("quality",), {}, with_answers(entries))
    if document is None or not document["orders"]:
        click.echo(
            "no order was scored: score orders with `replay --prequential`, or a worker with --score-one-in", err=True
        )
        sys.exit(NO)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    click.echo("\n".join(quality_lines(hit_counts_of(document))))
