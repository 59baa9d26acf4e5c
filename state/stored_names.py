"""Item and customer ids of a store by their numbers, and numbers by their ids, in the store's own directory.

Two rows stand for an id: number -> id, and id -> number. Both are part of the batch of the commit that numbers the id.
Those of versions before format 3 lack the second, and may hold many ids in one of the first; `complete` writes what
they lack. A few are in memory as well: the ids that no commit has written yet, and those used last.
"""

from __future__ import annotations

import logging
import struct
import time
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

from state.columns import unpack_ids
from state.errors import StateDamaged
from state.rocks import WriteBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from state.memory import Part
    from state.rocks import Rocks

logger = logging.getLogger(__name__)

BYTES_PER_ID = 200
"""What an id in memory takes with its number, in both directions; measured: 185 with ids of 17 characters."""
_TEXT_KEY = struct.Struct(">cI")
_NUMBER = struct.Struct("<I")
_STORED = b"mnames"
_ROWS_AT_ONCE = 1 << 14
_PROGRESS_EVERY_S = 5

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A dictionary of what was used last: a full young generation becomes the old one, and the old one is dropped.

    Args:
        most: called for the entries that a generation may have.

    >>> recent = Recent(lambda: 2)
    >>> recent.put("tea", 0), recent.put("milk", 1), recent.put("rye", 2), recent.get_many(["tea", "rye"])
    (None, None, None, [0, 2])
    >>> recent.put("jam", 3), recent.get_many(["tea", "milk"])
    (None, [0, None])
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def put(self, key: K, value: V) -> None:
        """Add an entry."""
        if len(self._young) >= self._most():
            self._young, self._old = {}, self._young
        self._young[key] = value

    def get_many(self, keys: Sequence[K]) -> list[V | None]:
        """The values of keys, None for those that are not here."""
        found = list(map(self._young.get, keys))
        if None in found and self._old:
            for index, value in enumerate(found):
                if value is None and (older := self._old.get(keys[index])) is not None:
                    found[index] = older
                    self.put(keys[index], older)
        return found

    def look(self, key: K) -> V | None:
        """The value of a key, or None; not counted as a use, so that any thread may ask."""
        value = self._young.get(key)
        return self._old.get(key) if value is None else value

    def forget(self, key: K) -> None:
        """Drop an entry, if it is here."""
        self._young.pop(key, None)
        self._old.pop(key, None)


class _Waiting(NamedTuple):
    """The ids that are not in the directory as they should be; replaced as a whole, since other threads read it."""

    first: int
    texts: list[str]


class StoredNames:
    """A two-way dictionary of ids and their numbers, which are given in order of first appearance.

    One thread at a time calls `find`, `number`, `put`, `forget` and `stored`; any thread may call the others meanwhile.

    Args:
        rocks: the store's directory.
        what: what the ids are of, for messages: "item".
        text_prefix: a byte with which the keys of the rows number -> id begin.
        number_prefix: a byte with which the keys of the rows id -> number begin.
        memory: the part in which ids used last are kept; joined here, and left by whoever closes the store.
        forgettable: ids may be forgotten, so that numbers may have none; otherwise such a gap is damage.

    Raises:
        StateDamaged: here, or by any other method: a row is missing or garbled.
    """

    def __init__(
        self,
        rocks: Rocks,
        what: str,
        text_prefix: bytes,
        number_prefix: bytes,
        memory: Part,
        *,
        forgettable: bool = False,
    ) -> None:
        self._rocks = rocks
        self._what = what
        self._text_prefix = text_prefix
        self._number_prefix = number_prefix
        self._forgettable = forgettable
        self._stored_key = _STORED + text_prefix
        self._memory = memory
        self._number_of: Recent[str, int] = Recent(self._generation)
        self._text_of: Recent[int, str] = Recent(self._generation)
        stored = rocks.get(self._stored_key)
        self._new: dict[str, int] = {}
        self._waiting = _Waiting(0 if stored is None else self._parsed(stored, 1 << 32), [])
        memory.join(self)

    def _generation(self) -> int:
        return self._memory.share_bytes // BYTES_PER_ID // 2

    @property
    def nbytes(self) -> int:
        """What the ids in memory take."""
        return (len(self._number_of) + len(self._text_of) + 2 * len(self._new)) * BYTES_PER_ID // 2

    def __len__(self) -> int:
        """How many numbers were ever given, those of forgotten ids included."""
        return self._waiting.first + len(self._waiting.texts)

    def __contains__(self, text: str) -> bool:
        return self.get(text, -1) >= 0

    def __getitem__(self, text: str) -> int:
        number = self.get(text, -1)
        if number < 0:
            raise KeyError(text)
        return number

    def get(self, text: str, default: int) -> int:
        """The number of an id, or `default` if it has none."""
        number = self._new.get(text)
        if number is None:
            number = self._number_of.look(text)
        if number is None:
            number = self._stored_numbers([text])[0]
        return default if number is None else number

    def find(self, texts: Sequence[str]) -> list[int | None]:
        """The numbers of n ids, None for those that have none."""
        numbers = self._number_of.get_many(texts)
        if None in numbers:
            missing = [index for index, number in enumerate(numbers) if number is None]
            for index, number in zip(missing, self._stored_numbers([texts[index] for index in missing]), strict=True):
                numbers[index] = self._new.get(texts[index]) if number is None else number
                if number is not None:
                    self._number_of.put(texts[index], number)
        return numbers

    def number(self, texts: Sequence[str]) -> npt.NDArray[np.uint32]:
        """(n,) uint32 numbers of n ids; new ones get the next numbers."""
        numbers = self.find(texts)
        if None in numbers:
            for index, number in enumerate(numbers):
                if number is None:
                    added = self._new.get(texts[index])  # an id may be new twice
                    numbers[index] = self._add(texts[index]) if added is None else added
        return np.array(numbers, np.uint32)

    def _add(self, text: str) -> int:
        number = len(self)
        self._waiting.texts.append(text)
        self._new[text] = number
        return number

    def text(self, number: int) -> str:
        """The id with a number; empty if it was forgotten."""
        return self.texts([number])[0]

    def texts(self, numbers: Iterable[int]) -> list[str]:
        """The ids with several numbers."""
        first, waiting = self._waiting
        wanted = list(numbers)
        texts = self._text_of.get_many(wanted)
        missing = [index for index, text in enumerate(texts) if text is None]
        from_disk = []
        for index in missing:
            if wanted[index] < first:
                from_disk.append(index)
            else:
                texts[index] = waiting[wanted[index] - first]
        records = self._rocks.get_many([self._text_key(wanted[index]) for index in from_disk]) if from_disk else []
        for index, record in zip(from_disk, records, strict=True):
            texts[index] = self._decoded(wanted[index], record)
            self._text_of.put(wanted[index], texts[index] or "")
        return [text or "" for text in texts]

    def every(self) -> Iterator[tuple[int, str]]:
        """Numbers and ids, rising by number, without the forgotten ones; takes no memory."""
        first, waiting = self._waiting
        for key, record in self._rocks.between(self._text_key(0), self._text_key(first)):
            number = _TEXT_KEY.unpack(key)[1]
            yield number, self._decoded(number, record)
        for number, text in enumerate(waiting, first):
            if text:
                yield number, text

    def skip_to(self, number: int) -> None:
        """Skip the unused numbers before `number`, whose ids were forgotten."""
        self._waiting.texts.extend([""] * (number - len(self)))

    def put(self, batch: WriteBatch) -> None:
        """Write the new ids as part of a commit; call `stored` once it is written."""
        first, texts = self._waiting
        for number, text in enumerate(texts, first):
            if text:
                self._put(batch, number, text)
        if texts:
            batch.put(self._stored_key, _NUMBER.pack(len(self)))

    def forget(self, batch: WriteBatch, number: int) -> None:
        """Remove an id as part of a commit, after `put`; its number is not used again."""
        text = self.text(number)
        batch.delete(self._text_key(number))
        batch.delete(self._number_key(text))
        self._number_of.forget(text)
        self._text_of.forget(number)
        if self._new.pop(text, None) is not None:
            self._waiting.texts[number - self._waiting.first] = ""

    def stored(self) -> None:
        """Keep the new ids in memory only as long as others: the commit is written."""
        for text, number in self._new.items():
            self._number_of.put(text, number)
        self._waiting = _Waiting(len(self), [])
        self._new.clear()

    def is_complete(self) -> bool:
        """Whether the directory has every row; a state of an earlier version has not."""
        return next(self._incomplete(), None) is None

    def complete(self, *, in_place: bool) -> None:
        """Complete what an earlier version wrote.

        Written in batches: after a crash, the next call goes on where this one ended.

        Args:
            in_place: in the directory; otherwise the ids are kept in memory, as in one that is opened read-only.
        """
        begun = shown = time.monotonic()
        batch, rows = WriteBatch(raw_mode=True), 0
        for first, texts in self._incomplete():
            if first < len(self) or (first > len(self) and not self._forgettable):
                raise self._lacks(len(self))
            self.skip_to(first)
            for text in texts:
                self._add(text)
            if not in_place:
                continue
            rows += len(texts)
            if rows >= _ROWS_AT_ONCE:
                self._write(batch)
                batch, rows = WriteBatch(raw_mode=True), 0
            if time.monotonic() - shown > _PROGRESS_EVERY_S:
                shown = time.monotonic()
                logger.warning("%s: %d ids of %ss are indexed, once", self._rocks.path, len(self), self._what)
        if in_place:
            self._write(batch)
            if shown > begun:
                logger.warning("%s: all %d ids of %ss are indexed", self._rocks.path, len(self), self._what)

    def _write(self, batch: WriteBatch) -> None:
        self.put(batch)
        self._rocks.write(batch)
        self.stored()

    def _incomplete(self) -> Iterator[tuple[int, list[str]]]:
        """What an earlier version wrote: the number of the first id of each of its rows, and the ids."""
        end = self._text_prefix[:-1] + bytes([self._text_prefix[-1] + 1])
        for key, record in self._rocks.between(self._text_key(self._waiting.first), end):
            number = _TEXT_KEY.unpack(key)[1]
            yield number, [self._decoded(number, record)] if self._forgettable else unpack_ids(record)

    def _put(self, batch: WriteBatch, number: int, text: str) -> None:
        batch.put(self._text_key(number), text.encode())
        batch.put(self._number_key(text), _NUMBER.pack(number))

    def _text_key(self, number: int) -> bytes:
        return _TEXT_KEY.pack(self._text_prefix, number)

    def _number_key(self, text: str) -> bytes:
        return self._number_prefix + text.encode(errors="surrogatepass")  # no id has half a pair: it is not found

    def _stored_numbers(self, texts: Sequence[str]) -> list[int | None]:
        """The numbers of ids in the directory, None for those that are not in it."""
        end = self._waiting.first
        if end == 0:
            return [None] * len(texts)
        records = self._rocks.get_many([self._number_key(text) for text in texts])
        return [None if record is None else self._parsed(record, end) for record in records]

    def _parsed(self, record: bytes, end: int) -> int:
        if len(record) != _NUMBER.size or (number := int(_NUMBER.unpack(record)[0])) >= end:
            raise StateDamaged(
                f"{self._rocks.path} is damaged: {record!r} is not the number of one of {end} {self._what}s; "
                "restore a snapshot, or delete it and replay"
            )
        return number

    def _decoded(self, number: int, record: bytes | None) -> str:
        if record is None:
            if self._forgettable:
                return ""
            raise self._lacks(number)
        try:
            return record.decode()
        except UnicodeDecodeError as error:
            raise StateDamaged(f"{self._rocks.path}: the id of {self._what} {number} is garbled: {error}") from None

    def _lacks(self, number: int) -> StateDamaged:
        return StateDamaged(f"{self._rocks.path}: {self._what} ids from number {number} on are missing")
