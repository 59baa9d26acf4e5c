"""The command `evaluate`. It loads without its extra, so that it can say how to install it."""

from __future__ import annotations

import importlib
import re
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from streams.commands.format_options import format_options, format_settings
from streams.commands.located import brought

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluation.protocol import Protocol


def _days(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """A number of days, such as `14d`."""
    if value is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,3})d", value)
    if not found:
        raise click.BadParameter(f"{value!r} is not a number of days like 14d")
    return int(found[1])


def _names(_: click.Context, __: click.Parameter, value: str | None) -> list[str]:
    return [name.strip() for name in (value or "").split(",") if name.strip()]


@click.command()
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@format_options
@click.option("--cutoffs", default=3, show_default=True, type=click.IntRange(1, 100), help="Number of cutoffs.")
@click.option(
    "--horizon",
    default="14d",
    show_default=True,
    callback=_days,
    help="Time after a cutoff in which purchases are targets.",
)
@click.option("--spacing", callback=_days, help="Time between two cutoffs.  [default: the horizon]")
@click.option(
    "--skip", default=0, show_default=True, type=click.IntRange(0, 100), help="Number of the last cutoffs to leave out."
)
@click.option(
    "--at",
    default=6,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Recommendations that the hit rate considers.",
)
@click.option(
    "--target",
    default="new",
    show_default=True,
    type=click.Choice(["new", "all"]),
    help="Targets: items new to the customer, or all.",
)
@click.option(
    "--systems", callback=_names, help="Names, groups or patterns of systems, comma-separated.  [default: all]"
)
@click.option("--against", default="default", show_default=True, help="System that the others are compared with.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Directory for results and report.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed for everything random.")
@click.option(
    "--universe", default=5000, show_default=True, type=click.IntRange(0), help="Number of candidates; 0: every item."
)
def evaluate(
    logs: tuple[str, ...],
    cutoffs: int,
    horizon: int,
    spacing: int | None,
    skip: int,
    at: int,
    target: str,
    systems: list[str],
    against: str,
    out: Path | None,
    seed: int,
    universe: int,
    **options: Any,  # noqa: ANN401 - those of `format_options`
) -> None:
    r"""Compare recommenders on your own purchase log.

    LOG is anything that `alsobought replay` reads, with the same options.

    At each of the last cutoffs every system sees the purchases before, and recommends items to each customer who buys
    within the horizon after. Reports how often one of the first recommendations was among these purchases.

    With --out, an interrupted evaluation continues where it stopped. --out then has results.json, report.html and
    table.md.

    \b
    Example:
      alsobought evaluate orders.csv --systems default,popularity,peers --out evaluation
    """
    runner = _extra("evaluation.run")
    protocol: Protocol = _extra("evaluation.protocol").Protocol(
        cutoffs, horizon, spacing or horizon, skip, at, target, universe, seed
    )
    with _sentences(), _directory(out) as directory:
        settings, profile = format_settings(options)
        with brought(logs) as (files, scratch):
            found = importlib.import_module("producers.logs.readable").readable_logs(files, settings, profile, scratch)
            for log in found:
                for text in log.notes:
                    click.echo(f"{log.file.shown}: {text}", err=True)
            runner.run(found, protocol, systems, directory, against=against, keep=out is not None)


def _extra(name: str) -> Any:  # noqa: ANN401 - a module
    """A module that needs the extra."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        raise click.ClickException(
            f"evaluate needs {missing}, which is not installed: pip install 'alsobought[evaluation]'"
        ) from error


@contextmanager
def _sentences() -> Iterator[None]:
    """Print an impossible evaluation as a sentence, with exit code 2."""
    errors = (importlib.import_module("evaluation.errors").EvaluationError, _extra("producers.errors").ProducerError)
    try:
        yield
    except errors as error:
        failure = click.ClickException(str(error))
        failure.exit_code = 2
        raise failure from error


@contextmanager
def _directory(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with TemporaryDirectory(prefix="alsobought-evaluation-") as directory:
        yield Path(directory)
