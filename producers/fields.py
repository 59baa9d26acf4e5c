"""The fields of an order line, one value at a time.

A `FieldReader` says what is valid, and why a value is not. `producers.logs.lines` reads whole columns and agrees with
it: it takes a quick way to values that are plainly valid, and asks here about the others. `producers.wire` reads
records.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from producers.errors import OrderError
from producers.log_format import MISSING_TEXTS, PURCHASE_TEXTS, RETURN_TEXTS, LogFormat
from producers.orders import ERASE, LARGEST_QUANTITY, LONGEST_ID_BYTES, PURCHASE, RETURN
from producers.timestamps import TimestampReader
from producers.values import Value, absent, as_text, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_EXACT_FLOAT = 2.0**53
NOT_A_PURCHASE = -3
"""What `FieldReader.kind` says of an event that is neither purchase nor return: its line is skipped, not rejected."""

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
        events: how many lines were neither purchase nor return, and skipped.
        excluded: how many lines were of excluded items, and skipped.
    """

    def __init__(self, log_format: LogFormat | None = None, latest_ms: int | None = None) -> None:
        self.log_format = log_format = log_format or LogFormat()
        self.timestamps = TimestampReader(latest_ms, log_format)
        self.fractions = 0
        self.events = 0
        self.excluded = 0
        self.missing_ids = frozenset(_plain(text) for text in log_format.missing)
        self.kinds = _kinds(log_format)
        self.others_skipped = bool(log_format.purchases)
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
            PURCHASE, RETURN, ERASE, or NOT_A_PURCHASE if the format names which events are purchases.

        Raises:
            OrderError: none of them.

        >>> reader = FieldReader(LogFormat(purchases=("transaction",)))
        >>> reader.kind("Transaction") == PURCHASE, reader.kind("view") == NOT_A_PURCHASE
        (True, True)
        >>> FieldReader().kind("PURCHASE") == PURCHASE, FieldReader().kind("refund") == RETURN
        (True, True)
        >>> FieldReader().kind("simple")
        Traceback (most recent call last):
        producers.errors.OrderError: type 'simple' is none of purchase, return, erase
        """
        if self.is_missing("type", value):
            return NOT_A_PURCHASE if self.others_skipped else PURCHASE
        text = as_text(value).strip().lower()
        if text in self.kinds:
            return self.kinds[text]
        if self.others_skipped:
            return NOT_A_PURCHASE
        raise OrderError(f"type {shown(value)} is none of purchase, return, erase")

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
    return {"erase": ERASE} | dict.fromkeys(returns, RETURN) | dict.fromkeys(purchases, PURCHASE)
