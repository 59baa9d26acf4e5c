"""The bytes of a log, whatever they are packed in."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from producers.errors import LogError, Undecided

if TYPE_CHECKING:
    from pathlib import Path

READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What reading packed bytes may raise; the last two: an archive's method or password that we do not have."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}


class Source:
    """A file's bytes, unpacked.

    Args:
        path: the file.
        compression: as in `LogFormat`.
        member: of a zip archive; None: its only one.
    """

    def __init__(self, path: Path, compression: str = "none", member: str | None = None) -> None:
        self.path = path
        self.compression = compression
        self.member = member
        self.size = path.stat().st_size
        self._raw: IO[bytes] | None = None

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""
        if self._raw is None or not self.size:
            return 0.0
        return 1.0 if self._raw.closed else min(1.0, self._raw.tell() / self.size)

    def open(self) -> IO[bytes]:
        """The bytes from the beginning on; to be closed.

        Raises:
            OSError: one of `READ_ERRORS`, here or while they are read: the file is damaged or cut short.
        """
        self._raw = raw = self.path.open("rb")
        match self.compression:
            case "gzip":
                return _closing(gzip.GzipFile(fileobj=raw), raw)
            case "bz2":
                return _closing(bz2.BZ2File(raw), raw)
            case "xz":
                return _closing(lzma.LZMAFile(raw), raw)
            case "zstd":
                return _closing(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"), raw)
            case "zip":
                archive = zipfile.ZipFile(raw)
                return _closing(archive.open(self.member or only_member(self.path, archive)), raw)
            case _:
                return raw


class _Closing(io.RawIOBase):
    """A stream that closes the file beneath it, too."""

    def __init__(self, stream: IO[bytes], raw: IO[bytes]) -> None:
        self._stream = stream
        self._beneath = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._beneath.close()
        super().close()


def _closing(stream: Any, raw: IO[bytes]) -> IO[bytes]:  # noqa: ANN401  each of its own class
    return io.BufferedReader(_Closing(stream, raw), 1 << 20)


def compression_of(head: bytes) -> str:
    """How a file that begins so is packed, by its content.

    >>> compression_of(gzip.compress(b"a,b")), compression_of(b"a,b")
    ('gzip', 'none')
    """
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "none")


def members(path: Path) -> list[str]:
    """The files in a zip archive that may be logs.

    Raises:
        LogError: the archive cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _members(archive)
    except READ_ERRORS as error:
        raise LogError(f"{path} is a zip archive that cannot be read: {error}") from None


def only_member(path: Path, archive: zipfile.ZipFile) -> str:
    """The one file of an archive.

    Raises:
        Undecided: it holds none or several.
    """
    names = _members(archive)
    if len(names) != 1:
        raise Undecided(
            f"{path} is a zip archive of {len(names)} files ({', '.join(names[:5])}): name one, --member NAME"
        )
    return names[0]


def _members(archive: zipfile.ZipFile) -> list[str]:
    infos = archive.infolist()
    return [
        info.filename
        for info in infos
        if not info.is_dir() and not info.filename.startswith(("__MACOSX/", ".")) and "/." not in info.filename
    ]
