"""Values as logs and records hold them, before anyone knows what they mean."""

from __future__ import annotations

from typing import TypeAlias

Value: TypeAlias = bytes | str | int | float | None
"""What a log or a record may hold in a field; None and "" are a field left out."""


def absent(value: Value) -> bool:
    """Whether nothing is there: None, an empty text, or nan, the gap in a pandas column.

    >>> absent(None), absent(b""), absent(float("nan")), absent(0)
    (True, True, True, False)
    """
    return value is None or value in ("", b"") or value != value  # noqa: PLR0124  only nan differs from itself


def as_text(value: Value) -> str:
    r"""The value as text, with bytes that are not UTF-8 escaped.

    >>> as_text(b"caf\xe9"), as_text(7)
    ('caf\\xe9', '7')
    """
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def shown(value: Value, most: int = 60) -> str:
    """The value as a message quotes it, cut to `most` characters."""
    text = as_text(value)
    return f"'{text}'" if len(text) <= most else f"'{text[:most]}...'"
