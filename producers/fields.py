"""The fields of an order line, one value at a time.

These functions say what is valid, and why a value is not. `producers.lines` reads whole columns and must agree with
them: it takes a quick way to values that are plainly valid, and asks here about the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from producers.errors import OrderError
from producers.orders import ERASE, LARGEST_QUANTITY, LONGEST_ID_BYTES, PURCHASE, RETURN

if TYPE_CHECKING:
    from collections.abc import Mapping

Value: TypeAlias = bytes | str | int | float | None
"""What a log or a record may hold in a field; None and "" are a field left out."""

LOG_KINDS = {"purchase": PURCHASE, "return": RETURN}
RECORD_KINDS = {**LOG_KINDS, "erase": ERASE}
LARGEST_EXACT_FLOAT = 2.0**53


def absent(value: Value) -> bool:
    """Whether the field was left out: nothing, an empty text, or nan, the gap in a pandas column.

    >>> absent(None), absent(b""), absent(float("nan")), absent(0)
    (True, True, True, False)
    """
    return value is None or value in ("", b"") or value != value  # noqa: PLR0124  only nan differs from itself


def read_id(field: str, value: Value) -> str:
    """An id as text. Whole floats are ids too, since pandas turns a column of whole numbers with gaps into floats.

    Raises:
        OrderError: the id is missing, over 512 bytes, not UTF-8, or has a NUL, or is a number that is not whole.

    >>> read_id("item_id", "B000"), read_id("item_id", 42), read_id("item_id", 42.0)
    ('B000', '42', '42')
    >>> read_id("item_id", "")
    Traceback (most recent call last):
    producers.errors.OrderError: item_id is missing
    """
    if absent(value):
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
    text = str(value)
    if "\0" in text:
        raise OrderError(f"{field} holds a NUL character")
    if (size := len(text.encode())) > LONGEST_ID_BYTES:
        raise OrderError(f"{field} has {size:,} bytes, more than {LONGEST_ID_BYTES}")
    return text


def read_quantity(value: Value) -> int:
    """How many were bought: 1 where nothing is said.

    Raises:
        OrderError: not a whole number from 1 to 1,000,000,000.

    >>> read_quantity("2"), read_quantity("2.0"), read_quantity(None)
    (2, 2, 1)
    >>> read_quantity("0")
    Traceback (most recent call last):
    producers.errors.OrderError: quantity '0' is below 1
    """
    if absent(value):
        return 1
    try:
        number = float(value or 0)
        whole = number.is_integer()
    except (ValueError, OverflowError):
        whole = False
    if not whole:
        raise OrderError(f"quantity {shown(value)} is not a whole number")
    if number < 1:
        raise OrderError(f"quantity {shown(value)} is below 1")
    if number > LARGEST_QUANTITY:
        raise OrderError(f"quantity {shown(value)} is above {LARGEST_QUANTITY:,}")
    return int(number)


def read_kind(value: Value, kinds: Mapping[str, int] = LOG_KINDS) -> int:
    """What kind of order it is: a purchase where nothing is said.

    Raises:
        OrderError: none of `kinds`.

    >>> read_kind("return") == RETURN, read_kind("") == PURCHASE
    (True, True)
    >>> read_kind("refund")
    Traceback (most recent call last):
    producers.errors.OrderError: type 'refund' is none of purchase, return
    """
    if absent(value):
        return PURCHASE
    text = as_text(value)
    if text not in kinds:
        raise OrderError(f"type {shown(value)} is none of {', '.join(kinds)}")
    return kinds[text]


def as_text(value: Value) -> str:
    r"""The value as text, with bytes that are not UTF-8 spelt out.

    >>> as_text(b"caf\xe9"), as_text(7)
    ('caf\\xe9', '7')
    """
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def shown(value: Value, most: int = 60) -> str:
    """The value as a message quotes it, cut to `most` characters."""
    text = as_text(value)
    return f"'{text}'" if len(text) <= most else f"'{text[:most]}...'"
