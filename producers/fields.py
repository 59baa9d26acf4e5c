"""The fields of an order line, one value at a time.

A `FieldReader` says what is valid, and why a value is not. `producers.logs.lines` reads whole columns and agrees with
it: it takes a quick way to values that are plainly valid, and asks here about the others. `producers.wire` reads
records.
"""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from producers.errors import OrderError
from producers.event_types import LONGEST_EVENT_TYPE, PURCHASES, event_type, is_event_type, seed_kind
from producers.log_format import MISSING_TEXTS, PURCHASE_TEXTS, RETURN_TEXTS, LogFormat
from producers.orders import ERASE, LARGEST_QUANTITY, LONGEST_ID_BYTES, PURCHASE, RETURN
from producers.timestamps import TimestampReader
from producers.values import Value, absent, as_text, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_EXACT_FLOAT = 2.0**53
NOT_COUNTED = -3
"""What `FieldReader.kind` says of an event of a type that is not counted: its line is skipped, not rejected."""

_MOST_TYPES = 20
"""So many are told apart, and the rest together."""

ERASES_ALL = "type 'erase' erases a whole customer and takes no items"

EXCEL_TEXT = re.compile(r'="(.*)"|\'([0-9][^\']*)', re.DOTALL)
SCIENTIFIC = re.compile(r"[+-]?(?:[0-9]+[eE]\+[0-9]+|[0-9]+\.[0-9]*[eE][+-]?[0-9]+)")
"""Numbers of which digits are lost: 4.00638E+12, 1e+16, but neither 12E4 nor 4E-7, which item numbers may look like."""

WHOLE_FLOAT = re.compile(r"(-?[0-9]+)\.0+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class FieldReader:
    """Reads the fields of a log's order lines.

    Ids are stripped of spaces around them and of what Excel wraps text in (`="0007"`, `'007`). A value whose text means
    missing, in `MISSING_TEXTS` or the format, is a field left out.

    Args:
        log_format: how the log is read; a plain one by default.
        latest_ms: the latest time an order can have, milliseconds since 1970 UTC; None: any.

    Attributes:
        timestamps: reads the times.
        fractions: how many quantities were fractions, each read as one piece.
        untyped: the kind of an order that names no type.
        types: how many lines were skipped, by their type, which is not counted.
        excluded: how many lines were of excluded items, and skipped.
    """

    def __init__(self, log_format: LogFormat | None = None, latest_ms: int | None = None) -> None:
        self.log_format = log_format = log_format or LogFormat()
        self.timestamps = TimestampReader(latest_ms, log_format)
        self.fractions = 0
        self.types: Counter[str] = Counter()
        self.excluded = 0
        self.missing_ids = frozenset(_plain(text) for text in log_format.missing)
        self.kinds = _kinds(log_format)
        self.untyped = NOT_COUNTED if log_format.purchases else _kind_of_type(PURCHASES, log_format)
        self._excluded_names = frozenset(name for name in log_format.excluded_items if not _is_pattern(name))
        self._excluded_patterns = tuple(name for name in log_format.excluded_items if _is_pattern(name))
        units = sorted(log_format.quantity_units, key=len, reverse=True)
        self._units = re.compile(rf"\s*(?:{'|'.join(map(re.escape, units))})\.?$", re.IGNORECASE) if units else None

    def is_missing(self, field: str, value: Value) -> bool:
        """Whether the field was left out.

        >>> reader = FieldReader(LogFormat(missing=("0",)))
        >>> reader.is_missing("item_id", "NULL"), reader.is_missing("customer_id", 0), reader.is_missing("item_id", 0)
        (True, True, False)
        """
        if absent(value):
            return True
        text = _plain(as_text(value))
        return text in MISSING_TEXTS or (field in ("customer_id", "order_id") and text in self.missing_ids)

    def id(self, field: str, value: Value) -> str:
        """An id as text. Whole floats are ids too, since pandas turns a column of whole numbers with gaps into floats.

        Raises:
            OrderError: the id is missing, over 512 bytes, not UTF-8, has a NUL, is a number that is not whole, or one
                in scientific notation.

        >>> reader = FieldReader()
        >>> reader.id("item_id", " B000 "), reader.id("item_id", 42.0), reader.id("item_id", '="0007"')
        ('B000', '42', '0007')
        >>> reader.id("item_id", "4.00638E+12")
        Traceback (most recent call last):
        producers.errors.OrderError: item_id '4.00638E+12' is in scientific notation: export it as text
        """
        if self.is_missing(field, value):
            raise OrderError(f"{field} is missing")
        if isinstance(value, float):
            if not value.is_integer() or abs(value) > LARGEST_EXACT_FLOAT:
                raise OrderError(f"{field} {shown(value)} is not a whole number")
            value = int(value)
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                raise OrderError(f"{field} {shown(value)} is not UTF-8") from None
        text = str(value).strip()
        while wrapped := EXCEL_TEXT.fullmatch(text):
            text = (wrapped[1] if wrapped[1] is not None else wrapped[2]).strip()
            if self.is_missing(field, text):
                raise OrderError(f"{field} is missing")
        if SCIENTIFIC.fullmatch(text):
            raise OrderError(f"{field} {shown(text)} is in scientific notation: export it as text")
        if field in self.log_format.number_columns and (whole := WHOLE_FLOAT.fullmatch(text)):
            text = whole[1]
        if "\0" in text:
            raise OrderError(f"{field} holds a NUL character")
        if (size := len(text.encode())) > LONGEST_ID_BYTES:
            raise OrderError(f"{field} has {size:,} bytes, more than {LONGEST_ID_BYTES}")
        return text

    def quantity(self, value: Value) -> int:
        """How many were bought: 1 where nothing is said, and for a fraction, as of weighed goods.

        Returns:
            1 to 1,000,000,000; below 0 for a return, if the format says that negative quantities are returns.

        Raises:
            OrderError: it is anything else.

        >>> reader = FieldReader()
        >>> reader.quantity("2"), reader.quantity("2.0"), reader.quantity(None), reader.quantity("0.35")
        (2, 2, 1, 1)
        >>> reader.quantity("0")
        Traceback (most recent call last):
        producers.errors.OrderError: quantity '0' is below 1
        """
        if self.is_missing("quantity", value):
            return 1
        number = self._number(value)
        if number is None:
            raise OrderError(f"quantity {shown(value)} is not a number")
        negative = number < 0 and self.log_format.negative_is_return
        size = -number if negative else number
        if size <= 0:
            raise OrderError(f"quantity {shown(value)} is below 1")
        if size > LARGEST_QUANTITY:
            raise OrderError(f"quantity {shown(value)} is above {LARGEST_QUANTITY:,}")
        whole = int(size)
        if whole != size:
            self.fractions += 1
            whole = 1
        return -whole if negative else whole

    def _number(self, value: Value) -> float | None:
        if isinstance(value, str | bytes):
            text = as_text(value).strip()
            if wrapped := EXCEL_TEXT.fullmatch(text):
                text = (wrapped[1] or wrapped[2] or "").strip()
            if self._units is not None:
                text = self._units.sub("", text)
            if self.log_format.decimal_mark == ",":
                text = text.replace(",", ".")
            if not _NUMBER.fullmatch(text):
                return None
            value = text
        try:
            number = float(value or 0)
        except OverflowError:
            return float("inf")
        return number

    def kind(self, value: Value) -> int:
        """What kind of order it is: a purchase where nothing is said; case does not matter.

        Returns:
            PURCHASE for the type that is counted, RETURN, ERASE, `seed_kind` for a type that is kept as a seed, or
            NOT_COUNTED for any other.

        Raises:
            OrderError: it is no type, and the format does not name which values are purchases.

        >>> reader = FieldReader(LogFormat(purchases=("transaction",), seeds=("product_viewed",)))
        >>> reader.kind("Transaction") == PURCHASE, reader.kind("Product Viewed") == seed_kind(0)
        (True, True)
        >>> FieldReader().kind("PURCHASE") == PURCHASE, FieldReader().kind("view") == NOT_COUNTED
        (True, True)
        >>> FieldReader(LogFormat(events="view")).kind("View") == PURCHASE
        True
        >>> FieldReader().kind("2 for 1")
        Traceback (most recent call last):
        producers.errors.OrderError: type '2 for 1' is neither purchase, return, erase nor another word of a to z
        """
        if self.is_missing("type", value):
            return self.untyped
        text = as_text(value).strip().lower()
        kind = self.kinds.get(text)
        if kind is None:
            kind = self.kinds.get(event_type(text), NOT_COUNTED)
        if kind == NOT_COUNTED and not self.log_format.purchases and text not in self.kinds and not is_event_type(text):
            raise OrderError(f"type {shown(value)} is neither purchase, return, erase nor another word of a to z")
        return kind

    def skip(self, value: Value, lines: int = 1) -> None:
        """Note that lines are skipped, since this type is not counted.

        >>> reader = FieldReader()
        >>> reader.skip("Product Viewed", 2)
        >>> reader.types
        Counter({'product_viewed': 2})
        """
        if self.is_missing("type", value):
            name = "none" if self.log_format.purchases else PURCHASES
        else:
            name = event_type(as_text(value))[:LONGEST_EVENT_TYPE]
        self.types[name if name in self.types or len(self.types) < _MOST_TYPES else "others"] += lines

    def is_excluded(self, item_id: str) -> bool:
        """Whether the format says that this is no item, such as postage.

        >>> FieldReader(LogFormat(excluded_items=("POST", "FEE-*"))).is_excluded("FEE-7")
        True
        """
        return item_id in self._excluded_names or any(
            fnmatchcase(item_id, pattern) for pattern in self._excluded_patterns
        )

    @property
    def excludes(self) -> bool:
        """Whether any item may be excluded."""
        return bool(self._excluded_names or self._excluded_patterns)

    def guest(self, order_id: str) -> str:
        """The customer that a guest's order is counted as, if the format counts guests.

        >>> FieldReader(LogFormat(guests="order")).guest("1001")
        'guest:1001'
        """
        return f"guest:{order_id}"


def _plain(text: str) -> str:
    return text.strip().lower()


def _is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[")


def _kinds(log_format: LogFormat) -> Mapping[str, int]:
    """The values of the field type, in lower case."""
    purchases = frozenset(map(_plain, log_format.purchases)) or PURCHASE_TEXTS
    returns = frozenset(map(_plain, log_format.returns)) or (frozenset() if log_format.purchases else RETURN_TEXTS)
    types = {name: _kind_of_type(name, log_format) for name in (*log_format.seeds, log_format.events)}
    if log_format.purchases:
        types.pop(PURCHASES, None)  # what is called so is one only if the format says so
    returned = RETURN if log_format.events == PURCHASES else NOT_COUNTED
    bought = dict.fromkeys(purchases, _kind_of_type(PURCHASES, log_format))
    return types | {"erase": ERASE} | dict.fromkeys(returns, returned) | bought


def _kind_of_type(name: str, log_format: LogFormat) -> int:
    if name == log_format.events:
        return PURCHASE
    return seed_kind(log_format.seeds.index(name)) if name in log_format.seeds else NOT_COUNTED
