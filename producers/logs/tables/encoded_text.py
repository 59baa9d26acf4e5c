"""Text of any encoding, packed or not, as lines of UTF-8."""

from __future__ import annotations

import codecs
from typing import IO, TYPE_CHECKING

from producers.logs.blocks import TextFile
from producers.logs.sources import READ_ERRORS, Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.log_format import LogFormat


class TextOfAnyEncoding(TextFile):
    """The lines of a text file as UTF-8 with newlines, whatever it is packed and written in."""

    def __init__(self, path: Path, log_format: LogFormat, *, quoted: bool) -> None:
        whole = log_format.compression != "none" or log_format.count_last_line
        super().__init__(path, quoted=quoted, last_line=whole)
        self._source = Source(path, log_format.compression, log_format.member)
        self._format = log_format

    @property
    def fraction(self) -> float:
        """Of the bytes, as they are packed."""
        return self._source.fraction

    def _chunks(self, raw: IO[bytes]) -> Iterator[bytes]:
        del raw
        utf8 = self._format.encoding in ("utf-8", "ascii")
        decoder = codecs.getincrementaldecoder(self._format.encoding)()
        first = True
        try:
            with self._source.open() as stream:
                while chunk := stream.read(1 << 20):
                    text = chunk if utf8 else decoder.decode(chunk).encode()
                    if first and text:
                        text, first = text.removeprefix(codecs.BOM_UTF8), False
                    yield text.replace(b"\r", b"\n") if self._format.line_end == "\r" else text
                if not utf8 and self._is_cut(decoder):
                    yield b"\xef\xbf\xbd"  # a part of the last line, which waits for its end
        except (*READ_ERRORS, UnicodeDecodeError) as error:
            self.damage = error

    def _is_cut(self, decoder: codecs.IncrementalDecoder) -> bool:
        """Whether the text ends within a character, as a file may that is being written.

        Raises:
            UnicodeDecodeError: it does, and the last line counts.
        """
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            if self._last_line:
                raise
            return True
        return False
