"""JSON documents of a stream: the elements of an array, or documents one after another, over however many lines."""

from __future__ import annotations

import codecs
import json
import re
from typing import IO, TYPE_CHECKING, Any

import msgspec

from producers.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_DOCUMENT = 64 << 20
CHUNK_CHARACTERS = 1 << 20
MOST_CUTS = 4
DOCUMENTS_ONE_BY_ONE = 1000
_CUT_SHORT = (
    "ends within a JSON document or array: it is cut short, or still written; fetch it again, or go on once it is whole"
)
_TEXT_OR_CONSTANT = re.compile(r'"(?:[^"\\]++|\\.)*+"?|NaN|-?Infinity', re.DOTALL)
_HEAD = re.compile(r'\{\s*"[^"\\]*"\s*:')


def documents(stream: IO[bytes], encoding: str) -> Iterator[list[Any]]:
    """The documents of a stream, some at a time.

    Many are decoded at once where the text up to the beginning of one is whole documents; else one by one.

    Raises:
        LogError: what stands there is not JSON, or is longer than 64 MiB.
        UnicodeDecodeError: not in this encoding.
    """
    found: list[Any] = []
    try:
        for some in _parts(_Characters(stream, encoding)):
            found += some
            if len(found) >= DOCUMENTS_ONE_BY_ONE:
                yield found
                found = []
    except Exception:
        yield found  # those before the damage
        raise
    yield found


def _parts(reader: _Characters) -> Iterator[list[Any]]:
    """The documents, many together or one by one."""
    decoder = json.JSONDecoder(parse_constant=lambda _: None)
    array = False
    alone = 0
    while True:
        reader.skip_space("," if array else "")
        if reader.at_end():
            if array:
                raise LogError(_CUT_SHORT)
            return
        if reader.starts_with("]" if array else "["):
            reader.skip(1)
            array = not array
        elif alone == 0 and (several := reader.several(array=array)):
            yield several
        else:
            alone = (alone + 1) % DOCUMENTS_ONE_BY_ONE
            yield [reader.document(decoder)]


class _Characters:
    """Text of a stream, some of which is in memory."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._text = ""
        self._place = 0
        self._ended = False
        self._damage: Exception | None = None
        self._read = 0

    def _more(self) -> bool:
        if self._damage is not None:
            raise self._damage
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

    def several(self, *, array: bool) -> list[Any]:
        """The documents up to one that begins as the next one does; none if these are not whole."""
        if len(self._text) - self._place < CHUNK_CHARACTERS // 2:
            try:
                self._more()
            except Exception as damage:  # noqa: BLE001  it is raised behind the documents that are here
                self._damage = damage
        head = _HEAD.match(self._text, self._place)
        cut = len(self._text)
        for _ in range(MOST_CUTS if head else 0):
            cut = self._text.rfind(head[0] if head else "", self._place + 1, cut)
            text = self._text[self._place : max(cut, 0)].rstrip()
            if not text or text.endswith(",") != array:
                break
            try:
                found = msgspec.json.decode(f"[{text[:-1]}]") if array else _LINES.decode_lines(text)
            except (ValueError, RecursionError) as error:
                if "truncated" in str(error):
                    continue  # it begins within a document
                break
            self._place = cut
            return list(found)
        return []

    def document(self, decoder: json.JSONDecoder) -> Any:  # noqa: ANN401
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._place)
            except (ValueError, RecursionError) as error:
                if len(self._text) - self._place > LONGEST_DOCUMENT:
                    raise LogError("holds a JSON document of more than 64 MiB") from None
                if not self._more():
                    if _is_cut(self._text[self._place :]):
                        raise LogError(_CUT_SHORT) from None
                    shown = self._text[self._place : self._place + 60]
                    raise LogError(f"is not JSON at {shown!r}: {error}") from None
                continue
            if end == len(self._text) and self._more():
                continue  # a number may go on
            self._place = end
            return value


def _is_cut(text: str) -> bool:
    """Whether a text that is no JSON document is the beginning of one; NaN and infinities are values.

    >>> [_is_cut(text) for text in ('{"a": NaN, "b": [1, tr', '{"a": "NaN', '{"a": 1,, "b"', '{"a": +')]
    [True, True, False, False]
    """
    known = _TEXT_OR_CONSTANT.sub(lambda found: found[0] if found[0].startswith('"') else "null", text)
    try:
        msgspec.json.decode(known)
    except (ValueError, RecursionError) as error:
        return "truncated" in str(error)
    return False


_LINES = msgspec.json.Decoder()
