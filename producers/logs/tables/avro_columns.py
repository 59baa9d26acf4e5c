"""Avro as columns, decoded by one compiled loop: a quick way to records of plain fields.

fastavro unpacks the blocks. It also makes a dictionary of Python objects of each record, which takes most of the time
of a reading; whatever is not plain is left to that.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producers.arrays import Whole

RECORDS_AT_ONCE = 65_536
BYTES_AT_ONCE = 4 << 20
_NUMBER, _SIZED, _FIXED = 0, 1, 2
_FORMS = {"int": _NUMBER, "long": _NUMBER, "enum": _NUMBER, "string": _SIZED, "bytes": _SIZED}
_BYTES = {"null": 0, "boolean": 1, "float": 4, "double": 8}
_PER_SECOND = {"timestamp-millis": 1000, "timestamp-micros": 1_000_000}
_FIRST_S, _LAST_S = -30_610_224_000, 253_402_300_799
"""The years 1000 to 9999, which both Python and Arrow write with four digits."""

_Field: TypeAlias = tuple[str, int, int, int, str]
"""Name, form, bytes if these are fixed, branch of a union that is null (-1: none), and logical type."""


class AvroColumns:
    """Fields of an Avro file as columns.

    Args:
        stream: the file from its beginning on.
        names: of the fields.

    Attributes:
        ended: whether all of the file was read, once the batches have been.
    """

    def __init__(self, stream: IO[bytes], names: Sequence[str]) -> None:
        self.ended = False
        self._stream = stream
        self._names = names

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The fields as binary columns of text, up to the first block that is not plainly read."""
        try:
            import fastavro  # noqa: PLC0415

            blocks: Any = fastavro.block_reader(self._stream)
            fields = _plan(blocks.writer_schema, self._names)
        except Exception:  # noqa: BLE001 - whoever reads record by record says what is wrong
            return
        plain = fields is not None
        while plain and fields is not None and not self.ended:
            parts: list[bytes] = []
            counts: list[int] = []
            while plain and not self.ended and sum(counts) < RECORDS_AT_ONCE and sum(map(len, parts)) < BYTES_AT_ONCE:
                try:
                    block = next(blocks)
                    part = block.bytes_.getvalue()
                except StopIteration:
                    self.ended = True
                except Exception:  # noqa: BLE001 - as above
                    plain = False
                else:
                    parts.append(part)
                    counts.append(block.num_records)
            batch = _columns(parts, counts, fields, self._names) if parts else None
            if batch is not None:
                yield batch
            elif parts:
                self.ended = plain = False


def _plan(schema: Any, names: Sequence[str]) -> list[_Field] | None:  # noqa: ANN401
    """The fields of each record; None if they are not all plain, or one that is wanted needs more than its text."""
    fields = []
    for field in schema["fields"] if schema["type"] == "record" else ():
        kind, null = field["type"], -1
        if isinstance(kind, list):
            if len(kind) != 2 or "null" not in kind:
                return None
            null = kind.index("null")
            kind = kind[1 - null]
        kind = kind if isinstance(kind, dict) else {"type": kind}
        name, logical = kind["type"], kind.get("logicalType", "")
        if name not in _FORMS and name not in _BYTES and name != "fixed":
            return None
        wanted = name in ("string", "int", "long") and (not logical or (name == "long" and logical in _PER_SECOND))
        if field["name"] in names and not wanted:
            return None
        size = kind["size"] if name == "fixed" else _BYTES.get(name, 0)
        fields.append((field["name"], _FORMS.get(name, _FIXED), size, null, logical))
    return fields if {field[0] for field in fields} >= set(names) else None


def _columns(
    parts: Sequence[bytes],
    counts: Sequence[int],
    fields: Sequence[tuple[str, int, int, int, str]],
    names: Sequence[str],
) -> pa.RecordBatch | None:
    if any(not 0 <= count <= len(part) for count, part in zip(counts, parts, strict=True)):
        return None  # records of no bytes, or damage
    data = np.frombuffer(b"".join(parts), np.uint8)
    ends = np.cumsum(np.array([len(part) for part in parts], np.int64))
    forms, sizes, nulls = (np.array([field[place] for field in fields], np.int64) for place in (1, 2, 3))
    begins, numbers = (np.zeros((len(fields), sum(counts)), np.int64) for _ in range(2))
    if not _decode(data, ends, np.array(counts, np.int64), forms, sizes, nulls, begins, numbers):
        return None
    columns = {}
    for (name, form, _, _, logical), begin, number in zip(fields, begins, numbers, strict=True):
        if name in names:
            column = _texts(data, begin, number) if form == _SIZED else _written(number, begin < 0, logical)
            if column is None:
                return None
            columns[name] = column
    return pa.RecordBatch.from_pydict(columns)


def _texts(data: npt.NDArray[np.uint8], begins: Whole, sizes: Whole) -> pa.Array | None:
    """Texts as binary; None if one is not UTF-8."""
    there = begins >= 0
    ends = np.append(0, np.cumsum(np.where(there, sizes, 0))).astype(np.int32)
    content = np.empty(int(ends[-1]), np.uint8)
    _gather(data, begins, ends, content)
    column = pa.Array.from_buffers(pa.string(), len(begins), [None, pa.py_buffer(ends), pa.py_buffer(content)])
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return None
    column = column.cast(pa.binary())
    return column if there.all() else pc.if_else(pa.array(there), column, pa.scalar(None, pa.binary()))


def _written(numbers: Whole, missing: npt.NDArray[np.bool_], logical: str) -> pa.Array | None:
    """Numbers, or times as Python writes them in ISO 8601, as binary; None for times far off."""
    if not logical:
        return pa.array(numbers, mask=missing).cast(pa.string()).cast(pa.binary())
    per_second = _PER_SECOND[logical]
    seconds = numbers // per_second
    if len(seconds) and not (_FIRST_S <= seconds.min() <= seconds.max() <= _LAST_S):
        return None
    text = pa.array(seconds, mask=missing).cast(pa.timestamp("s")).cast(pa.string())
    below = numbers - seconds * per_second
    if below.any():
        micros = numbers * (1_000_000 // per_second)
        fine = pa.array(micros, mask=missing).cast(pa.timestamp("us")).cast(pa.string())
        text = pc.if_else(pa.array(below != 0), fine, text)
    text = pc.binary_replace_slice(text, 10, 11, "T")
    return pc.binary_join_element_wise(text, "+00:00", "").cast(pa.binary())


@njit(cache=True)
def _number(data: npt.NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """The whole number at a place, and the place behind it; -1 if there is none."""
    found = np.uint64(0)
    for place in range(10):
        if at >= end:
            break
        byte = data[at]
        at += 1
        found |= np.uint64(byte & 0x7F) << np.uint64(7 * place)
        if byte < 0x80:
            half = np.int64(found >> np.uint64(1))
            return (~half if found & np.uint64(1) else half), at
    return 0, -1


@njit(cache=True)
def _decode(
    data: npt.NDArray[np.uint8], ends: Whole, counts: Whole, forms: Whole, sizes: Whole, nulls: Whole,
    begins: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64],
) -> bool:  # fmt: skip
    """Set where each value begins, -1 for null, and its number or size; whether blocks hold no less and no more."""
    at = row = 0
    for block in range(len(ends)):
        end = ends[block]
        for _ in range(counts[block]):
            for field in range(len(forms)):
                if nulls[field] >= 0:
                    branch, at = _number(data, at, end)
                    if at < 0 or branch < 0 or branch > 1:
                        return False
                    if branch == nulls[field]:
                        begins[field, row] = -1
                        continue
                size = sizes[field]
                if forms[field] != _FIXED:
                    number, at = _number(data, at, end)
                    if at < 0:
                        return False
                    numbers[field, row] = number
                    size = number if forms[field] == _SIZED else 0
                if size < 0 or size > end - at:
                    return False
                begins[field, row] = at
                at += size
            row += 1
        if at != end:
            return False
    return True


@njit(cache=True)
def _gather(
    data: npt.NDArray[np.uint8], begins: Whole, ends: npt.NDArray[np.int32], content: npt.NDArray[np.uint8]
) -> None:
    """Copy texts, one behind the other."""
    for row in range(len(begins)):
        content[ends[row] : ends[row + 1]] = data[begins[row] : begins[row] + ends[row + 1] - ends[row]]
