"""The bytes of a text log, some whole lines at a time."""

from __future__ import annotations

import codecs
import gzip
import zlib
from typing import TYPE_CHECKING

from producers.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

BLOCK_BYTES = 4 << 20
LONGEST_LINE_BYTES = 16 << 20
MOST_VALUES_CUT = 16  # values over several lines in one CSV record, before a quote is taken for a stray one


class TextFile:
    """A text file.

    Args:
        path: the file.
        quoted: whether blocks end where no double quotes are open.
        gzipped: whether it is packed.
        last_line: whether a last line without line end counts.
        small: whether blocks are a sixteenth as large, so that many files may be read side by side.

    Attributes:
        damage: what ended the reading, if it was not the end of the file.
        unfinished: a last line without line end that was left out, once all blocks are read.
    """

    def __init__(
        self, path: Path, *, quoted: bool = False, gzipped: bool = False, last_line: bool = True, small: bool = False
    ) -> None:
        self.damage: Exception | None = None
        self.unfinished = b""
        self._gzipped = gzipped
        self._last_line = last_line
        self._path = path
        self._quoted = quoted
        self._block_bytes = BLOCK_BYTES // 16 if small else BLOCK_BYTES
        self._size = path.stat().st_size
        self._read = 0

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return self._read / self._size if self._size else 1.0

    def head(self, most: int) -> list[bytes]:
        """The first lines, at most `most` and one block; none of a file that cannot be read, whose `damage` tells."""
        block = next(self.blocks(), b"")
        self._read = 0
        return [line for line in block.split(b"\n", most)[:most] if line]

    def blocks(self) -> Iterator[bytes]:
        """The file as blocks of whole lines, some megabytes each unless they are small; those before any `damage`.

        Raises:
            LogError: a line is longer than 16 MiB.
        """
        self.damage = None
        self.unfinished = b""
        with self._path.open("rb") as raw:
            parts: list[bytes] = []
            size, enough = 0, self._block_bytes
            for chunk in self._chunks(raw):
                self._read = raw.tell()
                parts.append(chunk)
                size += len(chunk)
                if size < enough:
                    continue
                block = b"".join(parts)
                end = _whole_lines(block, quoted=self._quoted)
                if not end and size > LONGEST_LINE_BYTES:
                    end = _whole_lines(block, quoted=False)  # a stray quote
                    if not end:
                        raise LogError(f"{self._path} has a line of more than 16 MiB: is it a log?")
                if end:
                    yield block[:end]
                parts, size = [block[end:]], size - end
                enough = self._block_bytes if end else 2 * size
            block = b"".join(parts)
            if self.damage is not None:
                block = block[: block.rfind(b"\n") + 1]  # the damage may have cut the line
            elif not self._last_line:
                self.unfinished = block[block.rfind(b"\n") + 1 :]
                block = block[: len(block) - len(self.unfinished)]
            if block:
                yield block

    def _chunks(self, raw: BufferedReader) -> Iterator[bytes]:
        file = gzip.GzipFile(fileobj=raw) if self._gzipped else raw
        try:
            chunk = file.read1(self._block_bytes).removeprefix(codecs.BOM_UTF8)
            while chunk:
                yield chunk
                chunk = file.read1(self._block_bytes)
        except (OSError, EOFError, zlib.error) as error:
            self.damage = error


def _whole_lines(block: bytes, *, quoted: bool) -> int:
    r"""Where the last line that ends in the block ends, 0 if none does.

    >>> _whole_lines(b'1,2\n3,"a\nb', quoted=True), _whole_lines(b'1,2\n3,"a\nb', quoted=False)
    (4, 9)
    """
    end = last = block.rfind(b"\n") + 1
    if not quoted:
        return last
    for _ in range(MOST_VALUES_CUT):
        if block.count(b'"', 0, end) % 2 == 0:
            return end
        # the last quote opened a value that goes on: stop before its line
        end = block.rfind(b"\n", 0, block.rfind(b'"', 0, end)) + 1
    return last
