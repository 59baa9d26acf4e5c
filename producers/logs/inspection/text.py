"""Samples of a text file: its encoding, its line ends, and some whole lines from its beginning, middle and end."""

from __future__ import annotations

import codecs
import io
import re
from typing import TYPE_CHECKING, NamedTuple

from producers.errors import LogError, Undecided
from producers.logs.sources import READ_ERRORS, Source

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES = 1 << 19
PART_BYTES = 1 << 16
PARTS = 8
MOST_UNPACKED_BYTES = 32 << 20
"""Of a packed file, which has no middle that could be read without what stands before it."""

WESTERN = "windows-1252"
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_NEVER_WESTERN = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_HIGH_RUN = re.compile(rb"[\x80-\xff]{3,}")


class TextSample(NamedTuple):
    """Some of a text file."""

    encoding: str
    line_end: str
    head: str
    """The beginning, in whole lines unless it is the whole file; line ends are newlines."""
    later: list[str]
    """Whole lines from the middle and the end, one string for each place."""
    whole: bool
    """Whether that is the whole file."""
    ends_with_line_end: bool
    size: int
    """Bytes of the file, packed or not."""


def sample(path: Path, compression: str, member: str | None, encoding: str | None) -> TextSample:
    """Look at a text file, at some of its bytes if it is large.

    Args:
        path: the file.
        compression: as in `LogFormat`.
        member: likewise.
        encoding: of its text, if that is known.

    Raises:
        LogError: it cannot be read, or is not text.
        Undecided: only a person can tell its encoding.
    """
    source = Source(path, compression, member)
    try:
        parts, whole = _packed(source) if compression != "none" else _parts(path, source.size)
    except READ_ERRORS as error:
        raise LogError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    encoding = encoding or encoding_of(path, parts, whole=whole)
    wide = encoding.startswith(("utf-16", "utf-32"))
    texts = [_decoded(part, encoding, wide=wide) for part in parts]
    texts[0] = texts[0].removeprefix("\ufeff")
    if "\0" in texts[0]:
        raise Undecided(f"{path} holds NUL characters: it is not text, or needs --encoding NAME")
    line_end = "\r" if "\r" in texts[0] and "\n" not in texts[0].replace("\r\n", "\r") else "\n"
    if "\r\n" in texts[0]:
        line_end = "\n"
    texts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    complete = texts[-1].endswith("\n")
    head = texts[0] if whole else texts[0][: texts[0].rfind("\n") + 1] or texts[0]
    later = [text[text.find("\n") + 1 : text.rfind("\n") + 1] for text in texts[1:-1]]
    if len(texts) > 1:
        later.append(texts[-1][texts[-1].find("\n") + 1 :])
    return TextSample(encoding, line_end, head, later, whole, complete, source.size)


def encoding_of(path: Path, parts: list[bytes], *, whole: bool) -> str:
    """The encoding of text of which these are parts, the first its beginning; `whole` if it is all.

    Raises:
        Undecided: only a person can tell.
    """
    head = parts[0]
    for bom, name in _BOMS.items():
        if head.startswith(bom):
            return name
    for name, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(head) > 3 and zeros.count(0) > 0.4 * len(zeros):
            return name
    if all(is_utf8(part, begun=number > 0, cut=not whole) for number, part in enumerate(parts)):
        return "utf-8"
    high = sum(len(run) for part in parts for run in re.findall(rb"[\x80-\xff]+", part))
    runs = sum(len(run) for part in parts for run in _HIGH_RUN.findall(part))
    if any(_NEVER_WESTERN.search(part) for part in parts) or runs > high / 10:
        raise Undecided(
            f"{path} is neither UTF-8 nor Western text; say what it is, such as --encoding windows-1251, shift_jis, "
            "gb18030 or windows-1250"
        )
    return WESTERN


def is_utf8(part: bytes, *, begun: bool, cut: bool) -> bool:
    """Whether bytes are UTF-8; those of a character may be missing before them (`begun`), or behind them (`cut`).

    >>> text = "né".encode()
    >>> is_utf8(text, begun=False, cut=False), is_utf8(text[2:], begun=True, cut=False)
    (True, True)
    >>> is_utf8(text[:2], begun=False, cut=True), is_utf8(text[:2], begun=False, cut=False)
    (True, False)
    """
    if begun:
        part = part[:4].lstrip(bytes(range(0x80, 0xC0))) + part[4:]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(part, final=not cut)
    except UnicodeDecodeError:
        return False
    return True


def _parts(path: Path, size: int) -> tuple[list[bytes], bool]:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES + PARTS * PART_BYTES)
        if len(head) >= size:
            return [head], True
        parts = [head[:HEAD_BYTES]]
        for number in range(1, PARTS + 1):
            file.seek((HEAD_BYTES + (size - HEAD_BYTES - PART_BYTES) * number // PARTS) // 4 * 4)
            parts.append(file.read(PART_BYTES + 4))
    return parts, False


def _packed(source: Source) -> tuple[list[bytes], bool]:
    with source.open() as stream:
        buffer = io.BytesIO()
        while buffer.tell() < MOST_UNPACKED_BYTES and (chunk := stream.read(1 << 20)):
            buffer.write(chunk)
        whole = not stream.read(1)
    unpacked = buffer.getvalue()
    if len(unpacked) <= HEAD_BYTES + PARTS * PART_BYTES:
        return [unpacked], whole
    return [unpacked[:HEAD_BYTES], unpacked[len(unpacked) // 8 * 4 :][:PART_BYTES], unpacked[-PART_BYTES:]], False


def _decoded(part: bytes, encoding: str, *, wide: bool) -> str:
    return part[: len(part) // 4 * 4 if wide and len(part) % 2 else len(part)].decode(encoding, "replace")
