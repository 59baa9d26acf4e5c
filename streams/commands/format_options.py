"""The options that say how a log is read, for every command that reads logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from producers.errors import LogError
from producers.log_format import FILLED_DOWN
from producers.logs.columns import parse_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from producers.logs.inspection.profiles import Profile

F = TypeVar("F", bound="Callable[..., Any]")

_OPTIONS = (
    click.option(
        "--columns",
        metavar="FIELD=COLUMN,...",
        help="Columns with other names than customer_id, item_id, timestamp, quantity, order_id, type; a day and a "
        "time in two columns are timestamp=DAY+TIME; type= ignores a column that is called type.",
    ),
    click.option("--profile", metavar="NAME|FILE.toml", help="A profile to read it by: a known one, or a file."),
    click.option("--encoding", metavar="NAME", help="Of the text, such as windows-1251.  [default: found]"),
    click.option("--member", metavar="NAME", help="Which file of a zip archive, or which sheet of a workbook."),
    click.option("--no-header", is_flag=True, help="The first line names no columns: they are called 1, 2, 3, ..."),
    click.option(
        "--timestamp-format",
        metavar="FORMAT",
        help="Such as day-first, month-first, excel, s, ms, or %d.%m.%Y; see alsobought inspect.  [default: found]",
    ),
    click.option("--timezone", metavar="ZONE", help="Of times that name none, such as Europe/Berlin.  [default: UTC]"),
    click.option("--start", metavar="DAY", help="First day of a log that counts days or names no year."),
    click.option(
        "--purchases",
        metavar="[COLUMN=]VALUE,...",
        help="Which values of the column that says what happened are purchases; other lines are skipped.",
    ),
    click.option("--returns", metavar="VALUE,...", help="Which of its values are returns."),
    click.option("--negative-is-return", is_flag=True, help="A quantity below 0 is a return of so many."),
    click.option("--quantity-units", metavar="TEXT,...", help="Texts behind a quantity to take off, such as pcs."),
    click.option(
        "--missing", metavar="ID,...", help="Ids that mean no customer or no order, such as 0, besides NULL, N/A ..."
    ),
    click.option(
        "--guest", type=click.Choice(["reject", "order"]), help="Lines without customer: each order is a customer of "
        "its own.  [default: reject]",
    ),
    click.option("--fill-down", is_flag=True, help="Customer, time and order stand on an order's first line only."),
    click.option(
        "--exclude-items",
        metavar="ITEM|PATTERN,...|FILE",
        help="What is no item, such as postage; a file names one a line.",
    ),
    click.option("--sort", is_flag=True, help="Count the lines in order of time, whatever order they are in."),
    click.option("--as-it-stands", is_flag=True, help="Count a log that is not in order of time as it stands."),
    click.option("--count-last-line", is_flag=True, help="A last line without line end is whole."),
)  # fmt: skip
NAMES = (
    "columns", "profile", "encoding", "member", "no_header", "timestamp_format", "timezone", "start", "purchases",
    "returns", "negative_is_return", "quantity_units", "missing", "guest", "fill_down", "exclude_items", "sort",
    "as_it_stands", "count_last_line",
)  # fmt: skip

RECORD_NAMES = (
    "columns", "profile", "timestamp_format", "timezone", "start", "purchases", "returns", "negative_is_return",
    "quantity_units", "missing", "guest", "exclude_items",
)  # fmt: skip
"""Those that say what a record means, wherever it is."""


def record_options(command: F) -> F:
    """Add those options to a command that say what a record means; it takes them as arguments `RECORD_NAMES`."""
    for name, option in reversed([*zip(NAMES, _OPTIONS, strict=True)]):
        if name in RECORD_NAMES:
            command = option(command)
    return command


def format_options(command: F) -> F:
    """Add the options to a command, which takes them as keyword arguments `NAMES`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def format_settings(options: dict[str, Any]) -> tuple[dict[str, Any], Profile | None]:
    """What the options say: attributes of `LogFormat` by name, and a profile. Those that are left out say nothing.

    Raises:
        LogError: an option is not as it should be.
    """
    from producers.logs.inspection.profiles import load_profile

    options = dict.fromkeys(NAMES) | options
    columns = {field: (column,) for field, column in parse_columns(options["columns"]).items()}
    settings: dict[str, Any] = {
        name: options[name] for name in ("encoding", "member", "timestamp_format", "timezone", "start") if options[name]
    }
    if options["timezone"]:
        _check_zone(options["timezone"])
    if options["start"]:
        _check_day(options["start"])
    if options["no_header"]:
        settings["header"] = False
    if options["purchases"]:
        column, equals, values = options["purchases"].partition("=")
        if equals:
            columns["type"] = (column.strip(),)
        settings["purchases"] = _listed(values if equals else column)
    for name, key in (("returns", "returns"), ("quantity_units", "quantity_units"), ("missing", "missing")):
        if options[name]:
            settings[key] = _listed(options[name].partition("=")[2] or options[name])
    settings |= {name: True for name in ("negative_is_return", "count_last_line") if options[name]}
    if options["guest"] == "order":
        settings["guests"] = "order"
    if options["fill_down"]:
        settings["fill_down"] = FILLED_DOWN
    if options["exclude_items"]:
        settings["excluded_items"] = _items(options["exclude_items"])
    if options["sort"] and options["as_it_stands"]:
        raise LogError("--sort and --as-it-stands are two ways to count a log: name one")
    if options["sort"] or options["as_it_stands"]:
        settings["order"] = "sort" if options["sort"] else "as-it-stands"
    if columns.get("type") == ("",):
        del columns["type"]
        settings["typed"] = False
    if columns:
        settings["columns"] = columns
    return settings, load_profile(options["profile"]) if options["profile"] else None


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _items(text: str) -> tuple[str, ...]:
    from pathlib import Path

    path = Path(text)
    if path.is_file():
        return tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    return _listed(text)


def _check_day(text: str) -> None:
    from datetime import date

    try:
        date.fromisoformat(text)
    except ValueError:
        raise LogError(f"--start is '{text}', which is no day such as 2023-01-05") from None


def _check_zone(name: str) -> None:
    from producers.notations import is_zone

    if not is_zone(name):
        raise LogError(f"--timezone is '{name}', which is no zone, such as Europe/Berlin or America/New_York")
