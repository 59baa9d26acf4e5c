"""Conditions on what the catalogue says of items: how they are written, and which items of a list they admit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]
    Test = Callable[["Condition"], Mask]
    """(condition) whether it holds for each of n items."""

LARGEST_BOOST = 1000.0
_FILTERED = ("category", "brand", "group_id", "price", "in_stock")
_UNFILTERED = frozenset(("item_id", "title", "url", "image", "available"))


class Condition(NamedTuple):
    """A condition on one field of an item, or on one of its attributes."""

    field: str
    """`category`, `brand`, `group_id`, `price`, `in_stock`, or the name of an attribute."""
    value: str
    low: float = -math.inf
    """Lowest price."""
    high: float = math.inf
    """Highest price."""


def condition_of(text: str) -> Condition:
    """A condition that is written FIELD:VALUE, or price:LOW..HIGH with one of the two or both.

    Raises:
        ValueError: it is not.

    >>> condition_of("colour:dark: red")
    Condition(field='colour', value='dark: red', low=-inf, high=inf)
    >>> condition_of("price:..20").high
    20.0
    """
    field, colon, value = text.partition(":")
    if not (field and colon and value):
        raise ValueError(f"{text[:80]!r} is not FIELD:VALUE, as in brand:Acme")
    if field in _UNFILTERED:
        raise ValueError(f"{text[:80]!r}: items are found by {', '.join(_FILTERED)} and attributes only")
    if field == "in_stock" and value not in ("true", "false"):
        raise ValueError(f"{text[:80]!r} is neither in_stock:true nor in_stock:false")
    if field != "price":
        return Condition(field, value)
    low, dots, high = value.partition("..")
    try:
        bounds = float(low or -math.inf), float(high or math.inf)
    except ValueError:
        bounds = math.nan, math.nan
    if not dots or not (low or high) or not bounds[0] <= bounds[1]:
        raise ValueError(f"{text[:80]!r} is not price:LOW..HIGH, as in price:10..19.99 or price:..20")
    return Condition(field, value, *bounds)


def boost_of(text: str) -> tuple[Condition, float]:
    """A condition and the factor of the scores for which it holds, written CONDITION^FACTOR.

    Raises:
        ValueError: it is not.

    >>> boost_of("brand:Acme^1.5")
    (Condition(field='brand', value='Acme', low=-inf, high=inf), 1.5)
    """
    condition, _, factor = text.rpartition("^")
    try:
        number = float(factor)
    except ValueError:
        number = math.nan
    if not condition or not 1 / LARGEST_BOOST <= number <= LARGEST_BOOST:
        raise ValueError(
            f"{text[:80]!r} is not CONDITION^FACTOR, as in brand:Acme^1.5, with a factor from {1 / LARGEST_BOOST:g} to "
            f"{LARGEST_BOOST:g}"
        )
    return condition_of(condition), number


def admitted_by(where: Iterable[str], where_not: Iterable[str], admitted: Mask, test: Test) -> Mask:
    """(n,) which of the admitted items have, of every field of `where`, one of the values, and none of `where_not`."""
    fields: dict[str, Mask] = {}
    for condition in map(condition_of, where):
        holds = test(condition)
        fields[condition.field] = holds | fields[condition.field] if condition.field in fields else holds
    for holds in fields.values():
        admitted = admitted & holds
    for condition in map(condition_of, where_not):
        admitted = admitted & ~test(condition)
    return admitted


def boosts_of(boost: Sequence[str], test: Test, size: int) -> Floats | None:
    """(n,) the factor of each item's score, the product of those whose conditions hold; None if there are none."""
    if not boost:
        return None
    factors = np.ones(size)
    for condition, factor in map(boost_of, boost):
        factors[test(condition)] *= factor
    return factors


def amount_of(price: str) -> float | None:
    """The amount of a price, whatever its currency; None if there is none, or it can be read in two ways.

    A single dot or comma before three digits may separate thousands or decimals.

    >>> [amount_of(price) for price in ("19.99 USD", "1.299,00 €", "$ 1,299.00", "12", "1 299,5 kr", "1,299", "free")]
    [19.99, 1299.0, 1299.0, 12.0, 1299.5, None, None]
    """
    digits = "".join(sign for sign in price if sign.isdecimal() or sign in ".,-'").strip(".,'-")
    if not digits or not digits.isascii() or "-" in digits:
        return None
    digits = digits.replace("'", "")
    decimal = max(digits.rfind("."), digits.rfind(","))
    if decimal < 0:
        return float(digits)
    whole, fraction = digits[:decimal], digits[decimal + 1 :]
    mark = digits[decimal]
    if mark in whole:  # the same sign twice separates thousands
        return float(digits.replace(mark, "")) if not {".", ","} - {mark} & set(whole) else None
    if len(fraction) == 3 and whole != "0" and not {".", ","} & set(whole):
        return None
    return float(f"{whole.replace('.', '').replace(',', '')}.{fraction}")
