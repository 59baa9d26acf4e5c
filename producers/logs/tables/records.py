"""Nested records, from JSON or Avro, as rows: one for each element of the list that holds a record's order lines."""

from __future__ import annotations

import codecs
import json
import math
import uuid
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from producers.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_DOCUMENT = 64 << 20
CHUNK_CHARACTERS = 1 << 20


class Paths:
    """Dotted paths into records, of which those with "[]" go into one list, or lists within its elements.

    Args:
        paths: such as customer.id, lines[].sku, tags[].

    Raises:
        LogError: they go into two lists beside each other.

    >>> rows = Paths(["who", "lines[].sku"]).rows({"who": {"$oid": "a1"}, "lines": [{"sku": 7}, {"sku": 8.0}]})
    >>> rows
    [['a1', '7'], ['a1', '8']]
    """

    def __init__(self, paths: Sequence[str]) -> None:
        lists = max(([piece.split(".") for piece in path.split("[]")[:-1]] for path in paths), key=len, default=[])
        self._lists = [[key for key in keys if key] for keys in lists]
        self._columns: list[tuple[int, list[str]]] = []
        for path in paths:
            *before, last = path.split("[]")
            keys = [[key for key in piece.split(".") if key] for piece in before]
            if keys != self._lists[: len(keys)]:
                raise LogError(f"the paths {', '.join(paths)} go into different lists; one list holds an order's lines")
            self._columns.append((len(keys), [key for key in last.split(".") if key]))

        plain = not self._lists and all(len(keys) == 1 for _, keys in self._columns)
        self._flat = [keys[0] for _, keys in self._columns] if plain else []

    @property
    def depth(self) -> int:
        """Lists within lists that the paths go into."""
        return len(self._lists)

    def rows(self, record: object) -> list[list[str | None]]:
        """The rows of a record: text, or None where nothing is; no rows if its list is empty or missing."""
        return [row for rows in self.groups(record) for row in rows]

    def groups(self, record: object) -> Iterator[list[list[str | None]]]:
        """The same, by the element whose innermost list they are from."""
        if not self._lists:
            if isinstance(record, dict) and self._flat:
                yield [[as_cell(record.get(key)) for key in self._flat]]
            else:
                yield [[as_cell(_dig(record, keys)) for _, keys in self._columns]]
            return
        for outer in self._elements([record], len(self._lists) - 1):
            inner = self._elements(outer, len(self._lists))
            yield [[as_cell(_dig(levels[level], keys)) for level, keys in self._columns] for levels in inner]

    def _elements(self, levels: list[object], depth: int) -> Iterator[list[object]]:
        """The elements at a depth below `levels`, with those that they are in."""
        if len(levels) > depth:
            yield levels
            return
        elements = _dig(levels[-1], self._lists[len(levels) - 1])
        for element in elements if isinstance(elements, list) else ():
            yield from self._elements([*levels, element], depth)


def _dig(record: Any, keys: Sequence[str]) -> Any:  # noqa: ANN401  whatever a document holds
    for key in keys:
        if type(record) is not dict:
            return None
        record = record.get(key)
    return record


def unwrapped(value: Any) -> Any:  # noqa: ANN401
    """The value in MongoDB's wrappings.

    >>> unwrapped({"$date": {"$numberLong": "1672913472000"}}), unwrapped({"$numberLong": "7"}), unwrapped({"a": 1})
    ('1672913472000', '7', {'a': 1})
    """
    while isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"):
        value = next(iter(value.values()))
    return value


def wrapping_path(name: str, value: Any) -> str | None:  # noqa: ANN401
    """The path to a field's value in MongoDB's wrapping; None if it is not wrapped.

    >>> wrapping_path("at", {"$date": "2023-01-05T10:11:12Z"}), wrapping_path("at", {"day": 5})
    ('at.$date', None)
    """
    return f"{name}.{next(iter(value))}" if unwrapped(value) is not value else None


def as_cell(value: Any) -> str | None:  # noqa: ANN401, PLR0911  one for each type
    """A value as the text that a CSV file would hold; None for nothing, and for what is no scalar.

    >>> as_cell(7.0), as_cell(True), as_cell(float("nan")), as_cell(datetime(2023, 1, 5, 10)), as_cell([1])
    ('7', 'true', None, '2023-01-05T10:00:00', None)
    """
    if isinstance(value, str):
        return value
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.decode("utf-8", "replace")
    if isinstance(value, dict) and len(value) == 1:
        return as_cell(inner) if (inner := unwrapped(value)) is not value else None
    return None


class Document(NamedTuple):
    """A JSON document of a file."""

    value: Any
    fault: str
    """Why the text is not a document; "" if it is."""
    text: str
    """As in the file, if it is not a document."""


def decode(line: bytes) -> Document:
    """A JSON document; NaN and infinities are nothing, as Python writes them though JSON knows none."""
    try:
        return Document(msgspec.json.decode(line), "", "")
    except (ValueError, RecursionError) as error:
        fault = f"not JSON: {error}"
    try:
        return Document(json.loads(line, parse_constant=lambda _: None), "", "")
    except (ValueError, RecursionError):
        return Document(None, fault, line.decode("utf-8", "backslashreplace"))


def documents(stream: IO[bytes], encoding: str) -> Iterator[Document]:
    """The documents of a stream: the elements of an array, or one after another, over however many lines.

    Raises:
        LogError: what stands there is not JSON, or is longer than 64 MiB.
        UnicodeDecodeError: not in this encoding.
    """
    decoder = json.JSONDecoder(parse_constant=lambda _: None)
    reader = _Characters(stream, encoding)
    array = False
    while True:
        reader.skip_space("," if array else "")
        if reader.at_end():
            if array:
                raise LogError("ends within its array: it is cut short")
            return
        if reader.starts_with("]" if array else "["):
            reader.skip(1)
            array = not array
            continue
        yield Document(reader.document(decoder), "", "")


class _Characters:
    """Text of a stream, some of which is in memory."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._text = ""
        self._place = 0
        self._ended = False
        self._read = 0

    def _more(self) -> bool:
        if self._ended:
            return False
        chunk = self._stream.read(max(CHUNK_CHARACTERS, len(self._text) - self._place))
        self._ended = not chunk
        self._read += self._place
        self._text = self._text[self._place :] + self._decoder.decode(chunk, final=not chunk)
        if self._read == 0:
            self._text = self._text.removeprefix("\ufeff")
        self._place = 0
        return bool(chunk)

    def at_end(self) -> bool:
        while self._place >= len(self._text):
            if not self._more():
                return True
        return False

    def skip_space(self, also: str) -> None:
        while not self.at_end():
            character = self._text[self._place]
            if not (character.isspace() or character in (also, "\x1e")):
                return
            self._place += 1

    def starts_with(self, character: str) -> bool:
        if self._read == 0 and self._place == 0:
            self.skip_space("")
        return not self.at_end() and self._text[self._place] == character

    def skip(self, count: int) -> None:
        self._place += count

    def document(self, decoder: json.JSONDecoder) -> Any:  # noqa: ANN401
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._place)
            except (ValueError, RecursionError) as error:
                if len(self._text) - self._place > LONGEST_DOCUMENT:
                    raise LogError("holds a JSON document of more than 64 MiB") from None
                if not self._more():
                    shown = self._text[self._place : self._place + 60]
                    raise LogError(f"is not JSON at {shown!r}: {error}") from None
                continue
            if end == len(self._text) and self._more():
                continue  # a number may go on
            self._place = end
            return value


def leaves(record: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """The paths of a record's scalars with their values; of a list, of all its elements.

    >>> list(leaves({"who": "ann", "lines": [{"sku": 1}, {"sku": 2}], "tags": ["a"]}))
    [('who', 'ann'), ('lines[].sku', 1), ('lines[].sku', 2), ('tags[]', 'a')]
    """
    value = unwrapped(record)
    if isinstance(value, dict) and depth < 8:
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{prefix}[]", depth + 1)
    else:
        yield prefix, value
