"""Why lines are rejected: reasons without the values that they quote, and the option that would take such lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_HELD_REASON = "return of an item not held"

_KINDS: tuple[tuple[str, str, str], ...] = (
    (
        r"customer_id is missing",
        "customer_id is missing",
        "--guest order counts each order of a guest; --fill-down, if it stands on an order's first line only",
    ),
    (
        r"timestamp is missing",
        "timestamp is missing",
        "--fill-down, if it stands on an order's first line only",
    ),
    (r"quantity '-.*' is below 1", "quantity is below 0", "--negative-is-return, if these are returns"),
    (r"quantity '.*' is below 1", "quantity is 0", ""),
    (r"quantity '.*' is not a number", "quantity is not a number", "--quantity-units, if a unit stands behind it"),
    (r"timestamp '.*' is not a date", "timestamp is not a date", "--timestamp-format"),
    (r"timestamp '.*' is no time of the form '(.*)'", r"timestamp is no time of the form \1", "--timestamp-format"),
    (
        r"timestamp '.*' is after .*",
        "timestamp is later than an order can be",
        "--timestamp-format, if they are read wrongly",
    ),
    (
        r"timestamp '.*' is before 1990",
        "timestamp is before 1990",
        "--timestamp-format, if they are read wrongly, or --missing, if they mean none",
    ),
    (
        r"type '.*' is neither purchase, return, erase nor another word of a to z",
        "type is neither purchase, return, erase nor another word of a to z",
        "--purchases and --returns name its values; --columns type= ignores the column",
    ),
    (r"(\w+) .* is not UTF-8", r"\1 is not UTF-8", "--encoding"),
    (r"the line has \d+ fields, the header \d+", "the line has fewer or more fields than the header", ""),
)
"""Pattern of a reason -> what it is without values, the option that would take the line."""
_RETURN_FIRST = "the purchase is missing or later: --sort, if the log is not in order"


def kind_of_reason(reason: str) -> str:
    """A reason without the value that it quotes.

    >>> kind_of_reason("quantity '0' is below 1"), kind_of_reason("quantity '-2' is below 1")
    ('quantity is 0', 'quantity is below 0')
    >>> kind_of_reason("item_id has 600 bytes, more than 512"), kind_of_reason("the line has 3 fields, the header 4")
    ('item_id has more than 512 bytes', 'the line has fewer or more fields than the header')
    """
    for pattern, kind, _ in _KINDS:
        if found := re.fullmatch(pattern, reason, re.DOTALL):
            return found.expand(kind)
    reason = re.sub(r" has [\d,]+ (bytes|lines), more than ([\d,]+)", r" has more than \2 \1", reason)
    return re.sub(r" '.*'(?= )| \(byte \d+\)", "", reason, flags=re.DOTALL)


def advice_of(kind: str) -> str:
    """The option that would take lines of a kind of reasons; "" if there is none.

    >>> advice_of("quantity is below 0"), advice_of("item_id is missing")
    ('--negative-is-return, if these are returns', '')
    """
    if kind == NOT_HELD_REASON:
        return _RETURN_FIRST
    return next((advice for _, text, advice in _KINDS if re.fullmatch(text.replace("\\1", ".*"), kind)), "")


def reasons_text(reasons: Mapping[str, int], most: int = 12) -> list[str]:
    """Counts by kind of reason, worst first, each with the option that would take the lines.

    >>> reasons_text({"item_id is missing": 1, "quantity is below 0": 1200})
    ['  1,200  quantity is below 0 (--negative-is-return, if these are returns)', '      1  item_id is missing']
    """
    ordered = sorted(((count, kind) for kind, count in reasons.items() if count), key=lambda one: (-one[0], one[1]))
    width = max((len(f"{count:,}") for count, _ in ordered), default=0) + 2
    lines = [
        f"{count:>{width},}  {kind}" + (f" ({advice})" if (advice := advice_of(kind)) else "")
        for count, kind in ordered[:most]
    ]
    if len(ordered) > most:
        rest = ordered[most:]
        lines.append(f"{sum(count for count, _ in rest):>{width},}  for {len(rest)} other reasons")
    return lines
