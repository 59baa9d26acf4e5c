"""How a log is read: everything that decides what its lines mean.

A `LogFormat` is settled once for a log, by what a person says and by what `producers.logs.inspection` finds, and does
not change while the log is read. It is stored as JSON with the log's position, and as TOML in a profile.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from producers.errors import LogError
from producers.event_types import EVENT, MOST_SEED_TYPES, PURCHASES, seed_place
from producers.orders import CONTINUED, ERASE, RETURN

if TYPE_CHECKING:
    from collections.abc import Mapping

Container = Literal["csv", "jsonl", "json", "parquet", "arrow", "orc", "avro", "excel"]
Compression = Literal["none", "gzip", "bz2", "xz", "zstd", "zip"]
Guests = Literal["reject", "order"]
Order = Literal["time", "sort", "as-it-stands"]

MISSING_TEXTS = frozenset(
    {"", "null", "(null)", "<null>", "nil", "none", "nan", "nat", "na", "n/a", "<na>", "#n/a", "\\n", "undefined"}
)
"""Texts that mean a missing value in any log, in lower case and without spaces around them."""

PURCHASE_TEXTS = frozenset({"purchase", "purchased", "sale", "sold", "order", "transaction", "buy", "bought"})
RETURN_TEXTS = frozenset({"return", "returned", "refund", "refunded"})
"""Values of the field type, in lower case, that every log may use without naming them."""

FILLED_DOWN = ("customer_id", "timestamp", "order_id", "type")
"""Fields that may stand only on the first line of an order."""

NAMED_NOTATIONS = (
    "iso",
    "s",
    "ms",
    "us",
    "ns",
    "excel",
    "digits",
    "year-first",
    "day-first",
    "month-first",
    "month-name",
    "days",
)


@dataclass(frozen=True, slots=True)
class LogFormat:
    r"""How one log is read. Two readings of a file with equal formats give equal orders.

    The defaults are a plain log: UTF-8 CSV with a header line, ISO 8601 or Unix times, columns named like the fields.

    Raises:
        LogError: a value is not one of those that its attribute allows.

    Attributes:
        container: what the file is, whatever its name says. `jsonl` has one JSON document a line, `json` is an array or
            documents one after another over several lines.
        compression: of the whole file; `zip` holds `member`.
        member: member of a zip archive, or sheet of a workbook; None: the only one.
        encoding: of text, a name that Python knows.
        line_end: of text: "\n", with or without a "\r" before it, or "\r" alone.
        separator: between the fields of CSV, one or more characters.
        decimal_mark: of numbers in CSV, "." or ",".
        quote: around fields of CSV that hold a separator; "": quotes are text.
        escape: before a quote or separator that is text; "": a quote is doubled instead.
        skip_lines: lines before the header (or the first row) of CSV or a sheet.
        header: whether CSV or a sheet names its columns.
        names: the columns' names where there is no header.
        comment: what lines that are no data begin with; "": none.
        footers: regular expressions of lines that are no data, such as totals, and of a repeated header.
        trailing_separator: whether every row ends with a separator that begins no field.
        columns: field -> its columns, or dotted paths (`properties.products[].id`) in nested data. More than one are
            joined with a space (a day and a time). A field that is not here has the column of its own name, if any.
        unwrap: paths in nested data of which the first where there is an object is the record, such as the row in a
            change event; what is around it is found below `envelope`. With "[]" behind it, each element of a list.
        skip_if: paths in nested data where something stands if a record is no order, such as cancelled_at. False, 0,
            null and "" are nothing.
        constants: columns that have one value in every row and are not in the file, such as those that its directories
            name (year=2023); None is missing.
        timestamp_format: a name of `NAMED_NOTATIONS`, or a pattern for strptime, which has a percent sign. "iso" is
            ISO 8601 or Unix time in seconds or milliseconds; "digits" 20230105 or 20230105101112; "days" a number of
            days since `start`, with hour or time of day perhaps in a second column.
        timezone: IANA name for times that name no zone. A time that occurs twice is the earlier one, a time that
            the clock skips is the moment when it does.
        start: first day (ISO 8601) of a log whose days are counted or which names no year; None: it needs none.
        number_columns: fields of ids whose column holds nothing but numbers, so that 17001.0 is 17001.
        missing: texts that mean a missing value beside `MISSING_TEXTS`.
        purchases: values of the field type that are purchases; empty: the usual words. If there are any, a line
            without a type is none.
        returns: values of the field type that are returns; empty: the usual words, none if `purchases` are named.
        events: the event type that is counted; lines of other types are skipped.
        seeds: other types that are kept as seeds, at most 16, each once.
        typed: whether a column for the field type is looked at.
        negative_is_return: whether a quantity below 0 is a return of so many.
        quantity_units: texts behind a quantity to take off, such as "pcs".
        guests: what becomes of lines without customer: rejected, or each order a customer of its own.
        fill_down: fields that stand only on the first line of an order and hold for those below it.
        item_pattern: regular expression of each order line in a cell that holds all lines of an order, with a group
            named item and perhaps one named quantity; "": a cell holds an item.
        excluded_items: ids or shell patterns that stand for no item, such as postage.
        order: `time`: the log is in order, to a day; `sort`: it is sorted before it is counted; `as-it-stands`.
        count_last_line: whether a last line without line end is complete.
    """

    container: Container = "csv"
    compression: Compression = "none"
    member: str | None = None
    encoding: str = "utf-8"
    line_end: Literal["\n", "\r"] = "\n"
    separator: str = ","
    decimal_mark: str = "."
    quote: str = '"'
    escape: str = ""
    skip_lines: int = 0
    header: bool = True
    names: tuple[str, ...] = ()
    comment: str = ""
    footers: tuple[str, ...] = ()
    trailing_separator: bool = False
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unwrap: tuple[str, ...] = ()
    skip_if: tuple[str, ...] = ()
    constants: dict[str, str | None] = field(default_factory=dict)
    timestamp_format: str = "iso"
    timezone: str = "UTC"
    start: str | None = None
    number_columns: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    purchases: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    events: str = PURCHASES
    seeds: tuple[str, ...] = ()
    typed: bool = True
    negative_is_return: bool = False
    quantity_units: tuple[str, ...] = ()
    guests: Guests = "reject"
    fill_down: tuple[str, ...] = ()
    item_pattern: str = ""
    excluded_items: tuple[str, ...] = ()
    order: Order = "time"
    count_last_line: bool = False

    def __post_init__(self) -> None:
        if self.timestamp_format not in NAMED_NOTATIONS and "%" not in self.timestamp_format:
            raise LogError(
                f"timestamp format '{self.timestamp_format}' is none of {', '.join(NAMED_NOTATIONS)}, "
                "and no pattern such as %d.%m.%Y"
            )
        if self.decimal_mark not in (".", ","):
            raise LogError(f"decimal mark '{self.decimal_mark}' is neither . nor ,")
        try:
            for pattern in (*self.footers, self.item_pattern):
                re.compile(pattern)
        except re.error as error:
            raise LogError(f"'{pattern}' is no regular expression: {error}") from None
        if self.item_pattern and "item" not in re.compile(self.item_pattern).groupindex:
            raise LogError(f"item_pattern '{self.item_pattern}' has no group named item: (?P<item>...)")
        if len(self.seeds) > MOST_SEED_TYPES:
            raise LogError(f"{len(self.seeds)} event types are too many seeds: {MOST_SEED_TYPES} at most")
        choices = {"container": Container, "compression": Compression, "guests": Guests, "order": Order}
        for name, choice in choices.items():
            if getattr(self, name) not in get_args(choice):
                raise LogError(f"{name} '{getattr(self, name)}' is none of {', '.join(get_args(choice))}")

    def column_of(self, field_name: str) -> tuple[str, ...]:
        """The columns or paths that hold a field: its own name if nothing else was said."""
        return self.columns.get(field_name, (field_name,))

    def type_of(self, kind: int) -> str:
        """The type of an order of this kind.

        >>> [LogFormat(events="view", seeds=("cart",)).type_of(kind) for kind in (0, 2, 8)]
        ['view', 'erase', 'cart']
        """
        kind &= ~CONTINUED
        if kind & EVENT:
            return self.seeds[seed_place(kind)]
        return {RETURN: "return", ERASE: "erase"}.get(kind, self.events)

    @property
    def names_events(self) -> bool:
        """Whether it says what is counted of a log that holds events of several types."""
        return bool(self.purchases or self.seeds) or self.events != PURCHASES

    @property
    def years_missing(self) -> bool:
        """Whether times may leave out the year, which `start` tells then."""
        return self.start is not None and self.timestamp_format in ("day-first", "month-first", "month-name")

    def differences(self) -> dict[str, Any]:
        """The attributes that are not as in a plain log.

        >>> LogFormat(separator=";", start=None).differences()
        {'separator': ';'}
        """
        plain = LogFormat()
        return {
            attribute.name: getattr(self, attribute.name)
            for attribute in fields(self)
            if getattr(self, attribute.name) != getattr(plain, attribute.name)
        }

    def to_json(self) -> bytes:
        """The differences from a plain log, as JSON.

        >>> LogFormat(separator=";", columns={"timestamp": ("date", "time")}).to_json()
        b'{"separator":";","columns":{"timestamp":["date","time"]}}'
        >>> LogFormat.from_json(LogFormat(separator=";").to_json()) == LogFormat(separator=";")
        True
        """
        return msgspec.json.encode(self.differences())

    @staticmethod
    def from_json(text: bytes | str) -> LogFormat:
        """The format that `to_json` wrote.

        Raises:
            LogError: the text is not a format.
        """
        try:
            return _converted(msgspec.json.decode(text))
        except msgspec.DecodeError as error:
            raise LogError(f"not a log format: {error}") from None

    def to_toml(self) -> str:
        r"""The differences from a plain log, as TOML.

        >>> LogFormat(separator="\t", columns={"customer_id": ("Customer ID",)}).to_toml()
        'separator = "\\t"\n\n[columns]\ncustomer_id = "Customer ID"\n'
        """
        values = self.differences()
        values.pop("constants", None)  # of one file, not of all that are read alike
        columns: dict[str, tuple[str, ...]] = values.pop("columns", {})
        lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
        if columns:
            lines += ["", "[columns]"]
            lines += [f"{name} = {_toml(paths[0] if len(paths) == 1 else paths)}" for name, paths in columns.items()]
        return "\n".join(lines).lstrip("\n") + "\n"

    @staticmethod
    def from_toml(text: str) -> LogFormat:
        r"""The format that a profile describes: what it leaves out is as in a plain log.

        Raises:
            LogError: it is not TOML, or names an attribute or a value that does not exist.

        >>> LogFormat.from_toml('separator = ";"\n[columns]\nitem_id = "sku"').columns
        {'item_id': ('sku',)}
        """
        return _converted(settings_of_toml(text))

    @staticmethod
    def from_settings(settings: Mapping[str, Any]) -> LogFormat:
        """The format with some attributes set, by name; the others are as in a plain log.

        Raises:
            LogError: an attribute or value does not exist.
        """
        return _converted(settings)


def settings_of_toml(text: str) -> dict[str, Any]:
    """The attributes that a profile sets.

    Raises:
        LogError: it is not TOML.
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LogError(f"not a profile: {error}") from None
    if isinstance(columns := settings.get("columns"), dict):
        settings["columns"] = {name: [paths] if isinstance(paths, str) else paths for name, paths in columns.items()}
    return settings


def _converted(settings: Mapping[str, Any]) -> LogFormat:
    known = {attribute.name for attribute in fields(LogFormat)}
    if not isinstance(settings, dict) or (unknown := sorted(set(settings) - known)):
        names = ", ".join(unknown) if isinstance(settings, dict) else "anything else"
        raise LogError(f"a log format has no {names}; it has {', '.join(sorted(known))}")
    try:
        return msgspec.convert(settings, LogFormat)
    except msgspec.ValidationError as error:
        raise LogError(f"not a log format: {error}") from None


def _toml(value: object) -> str:
    """A TOML value: its strings, arrays, numbers and booleans are JSON's."""
    return msgspec.json.encode(value).decode()


def with_settings(log_format: LogFormat, settings: Mapping[str, Any]) -> LogFormat:
    """The format with some attributes set; `columns` adds to those that there are.

    Raises:
        LogError: an attribute or value does not exist.
    """
    merged = asdict(log_format) | dict(settings)
    merged["columns"] = {**log_format.columns, **settings.get("columns", {})}
    return _converted(merged)
