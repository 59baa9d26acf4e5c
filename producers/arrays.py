"""Arrow columns as numpy arrays: missing and unreadable rows as a mask instead of nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from producers.values import Value

Mask: TypeAlias = npt.NDArray[np.bool_]
Whole: TypeAlias = npt.NDArray[np.int64]


def plain(column: pa.Array) -> pa.Array:
    """The column with every kind of text as `binary`, since a log's text need not be UTF-8, and decimals as text.

    >>> plain(pa.array(["a", "b", "a"]).dictionary_encode()).type, plain(pa.array([1, 2])).type
    (DataType(binary), DataType(int64))
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    elif pa.types.is_binary(kind) or is_number(kind) or pa.types.is_temporal(kind):
        return column
    return column.cast(pa.binary())


def is_number(kind: pa.DataType) -> bool:
    """Whether columns of the type hold whole numbers or floats."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def texts(column: pa.Array) -> pa.Array:
    r"""A binary column as text, null where it is not UTF-8.

    >>> texts(pa.array([b"caf\xc3\xa9", b"caf\xe9"])).to_pylist()
    ['café', None]
    """
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_text(value) for value in column.to_pylist()], pa.string())


def _text(value: bytes | None) -> str | None:
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return None


def values(column: pa.Array) -> list[Value]:
    """The rows as Python values; times as ISO 8601 text, which knows nanoseconds and has no last year.

    >>> values(pa.array([0, None], pa.timestamp("s", "UTC")))
    ['1970-01-01T00:00:00Z', None]
    """
    if not pa.types.is_temporal(column.type):
        rows: list[Value] = column.to_pylist()
        return rows
    zone = "" if getattr(column.type, "tz", None) is None else "Z"
    # by numpy, since Arrow writes moments far off as nonsense
    texts = np.datetime_as_string(moments(column)).tolist()
    return [text + zone if there else None for text, there in zip(texts, present(column).tolist(), strict=True)]


def moments(column: pa.Array) -> npt.NDArray[np.datetime64]:
    """(n,) a timestamp or date column in its own unit, in UTC; some moment for nulls."""
    if pa.types.is_date32(column.type):
        units, unit = column.view(pa.int32()), "D"
    else:
        units, unit = column.view(pa.int64()), getattr(column.type, "unit", "ms")  # dates of 64 bits name no unit
    times: npt.NDArray[np.datetime64] = units.fill_null(0).to_numpy().astype(f"datetime64[{unit}]")
    return times


def present(column: pa.Array) -> Mask:
    """(n,) which rows are not null."""
    mask: Mask = column.is_valid().to_numpy(zero_copy_only=False)
    return mask


def numerals(text: pa.Array, most: int) -> Mask:
    """(n,) which texts are digits alone, at most `most`; Arrow's own reading takes "0x1f" for a number too.

    >>> numerals(pa.array(["12", "0x1f", "1.5", "", "1234", None]), 3).tolist()
    [True, False, False, False, False, False]
    """
    mask = pc.and_(pc.ascii_is_decimal(text), pc.less_equal(pc.binary_length(text), most))
    found: Mask = mask.fill_null(False).to_numpy(zero_copy_only=False)
    return found


def whole_numbers(column: pa.Array, where: Mask | None = None) -> Whole:
    """(n,) int64; 0 for nulls and, of a text column, outside `where`."""
    if where is not None and not where.all():
        column = pc.if_else(pa.array(where), column, "0")
    numbers: Whole = column.cast(pa.int64(), safe=False).fill_null(0).to_numpy()
    return numbers


def floats(column: pa.Array) -> npt.NDArray[np.float64]:
    """(n,) float64; nan for nulls."""
    numbers: npt.NDArray[np.float64] = column.cast(pa.float64()).fill_null(float("nan")).to_numpy()
    return numbers
