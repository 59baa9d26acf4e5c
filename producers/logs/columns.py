"""Which column of a log holds which field of an order line."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from producers.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producers.log_format import LogFormat

REQUIRED = ("customer_id", "item_id", "timestamp")
OPTIONAL = ("quantity", "order_id", "type")
FIELDS = (*REQUIRED, *OPTIONAL)

# what shops and public data sets call them, in the order in which to suggest them
OTHER_NAMES = {
    "customer_id": ("customer", "user", "member", "visitor", "client", "shopper", "buyer", "account", "household"),
    "item_id": ("item", "product", "sku", "stock", "article", "asin", "movie", "book", "track"),
    "timestamp": ("time", "datetime", "date", "ts", "tdat"),
    "quantity": ("qty", "units", "count"),
    "order_id": ("order", "basket", "invoice", "transaction", "receipt", "cart"),
    "type": (),
}


def parse_columns(text: str | None, fields: Sequence[str] = FIELDS) -> dict[str, str]:
    """The mapping that an option --columns describes: field -> column.

    Args:
        text: "FIELD=COLUMN,..."; a comma separates only where another "name=" follows, so column names may hold commas.
        fields: those there are.

    Raises:
        LogError: it is not of this form, or names a field that does not exist or was named before.

    >>> parse_columns("customer_id=user, item_id=Item, no.,timestamp=at")
    {'customer_id': 'user', 'item_id': 'Item, no.', 'timestamp': 'at'}
    """
    mapping: dict[str, str] = {}
    for part in re.split(r",(?=\s*[a-z_]+\s*=)", text) if text else ():
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not (column or field == "type"):
            raise LogError(f"--columns: '{part}' is not FIELD=COLUMN, as in {fields[0]}=sku")
        if field not in fields:
            raise LogError(f"--columns: '{field}' is no field; fields are {', '.join(fields)}")
        if field in mapping:
            raise LogError(f"--columns names {field} twice")
        mapping[field] = column
    return mapping


def as_settings(columns: Mapping[str, str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """A mapping of fields to columns as an attribute of `LogFormat`."""
    return {"columns": {field: (column,) for field, column in columns.items()}}


def find_columns(log: str, found: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The column of each field that the log has.

    Args:
        log: the log's name, for messages.
        found: its columns.
        wanted: field -> column where the user has said so; other fields are looked for under their own name.

    Raises:
        LogError: a column is missing, there twice, or wanted for a field that does not exist.

    >>> find_columns("orders.csv", ["user", "item_id", "timestamp", "price"], {"customer_id": "user"})
    {'customer_id': 'user', 'item_id': 'item_id', 'timestamp': 'timestamp'}
    """
    if unknown := sorted(set(wanted) - set(FIELDS)):
        raise LogError(f"--columns names {', '.join(unknown)}; the fields of an order line are {', '.join(FIELDS)}")
    columns = {field: wanted.get(field, field) for field in FIELDS if field in (*REQUIRED, *wanted) or field in found}
    absent = [field for field, column in columns.items() if column not in found]
    if absent:
        raise LogError(_missing(log, found, columns, absent))
    if twice := sorted({column for column in columns.values() if found.count(column) > 1}):
        raise LogError(f"{log} has several columns called {', '.join(twice)}: rename all but one of each")
    return columns


def columns_of(log: str, found: Sequence[str], log_format: LogFormat) -> dict[str, str]:
    """The column of each field that a log has, where its format says which.

    Raises:
        LogError: as `find_columns`.
    """
    wanted = {field: columns[0] for field, columns in log_format.columns.items() if any(columns)}
    columns = find_columns(log, found, wanted)
    if not log_format.typed and "type" not in wanted:
        columns.pop("type", None)
    return columns


def _missing(log: str, found: Sequence[str], columns: Mapping[str, str], absent: Sequence[str]) -> str:
    missing = ", ".join(f"{columns[field]} (as {field})" if columns[field] != field else field for field in absent)
    suggested = {field: column for field, column in columns.items() if column in found and column != field}
    taken = set(columns.values())
    for field in FIELDS:
        if field in absent or field not in columns:
            guess = next((column for column in _candidates(field, found) if column not in taken), None)
            if guess is not None:
                taken.add(guess)
            if guess is not None or field in REQUIRED:
                suggested[field] = guess or "..."
    option = ",".join(f"{field}={suggested[field]}" for field in FIELDS if field in suggested)
    return (
        f"{log} has no column {missing}. It has: {', '.join(found) or 'none'}. "
        f"Needed are {', '.join(REQUIRED)}; say which columns they are: --columns {shlex.quote(option)}"
    )


def _candidates(field: str, found: Sequence[str]) -> list[str]:
    """Columns of `found` that may be the field, the likeliest first.

    >>> _candidates("customer_id", ["household_key", "age", "userId"])
    ['userId', 'household_key']
    >>> _candidates("timestamp", ["transaction_timestamp", "InvoiceDate", "timezone"])
    ['transaction_timestamp', 'InvoiceDate']
    """
    plain = {column: re.sub(r"[^a-z]", "", column.lower()) for column in found}
    names = (field.removesuffix("_id"), *OTHER_NAMES[field])
    exact = [f"{name}{ending}" for name in names for ending in ("id", "", "no", "code", "key", "number")]
    ranked = sorted((exact.index(text), column) for column, text in plain.items() if text in exact)
    endings = ("timestamp", "datetime", "date", "time") if field == "timestamp" else ()
    ended = [column for ending in endings for column, text in plain.items() if text.endswith(ending)]
    return list(dict.fromkeys([column for _, column in ranked] + ended))
