"""Where snapshots of stores are kept: a directory, or an object store. Each has the checksums of its files.

    PLACE/<generation>/<store>/<number>-<random>/manifest.json    the other files, their lengths and SHA-256
                                                 000123.sst ...

Partitions move between workers, so every store has snapshots of its own. One without a manifest is not finished: the
manifest is written last, and in a directory the whole snapshot is renamed once it is there. Numbers tell which is
newer, since clocks may be wrong. What is restored is compared with the checksums; the files are copies, so that what
damages the store does not damage its snapshots.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from state.errors import SnapshotFailed, StateDamaged
from state.private_files import private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss", "hdfs")
_FORMAT = 1
_CHUNK_BYTES = 1 << 20
_LARGEST_MANIFEST = 16 << 20
_UNFINISHED = ".unfinished"
_NAME = re.compile(r"(\d+)-[0-9a-f]+")
_ERRORS = (OSError, pa.ArrowException)


class StoreSnapshot(Protocol):
    """A snapshot of one store."""

    @property
    def shown(self) -> str:
        """What people call it."""

    def restore(self, to: Path) -> None:
        """Copy it to a directory that does not exist.

        Raises:
            StateDamaged: it is not what was written.
        """


class KeptFile(NamedTuple):
    """A file of a snapshot, as the manifest has it."""

    name: str
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A finished snapshot at a place.

    Attributes:
        place: where.
        path: of its directory, in the place's file system.
        number: greater than those of older ones.
    """

    place: SnapshotPlace
    path: str
    number: int

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.place.shown_path(self.path)

    def taken_s(self) -> float:
        """When it was finished, in seconds since 1970, by the clock of the machine that wrote it.

        Raises:
            StateDamaged: the manifest cannot be read.
        """
        return self._manifest()[1]

    def restore(self, to: Path) -> None:
        """See `StoreSnapshot.restore`."""
        files, _ = self._manifest()
        unfinished = to.with_name(f"{to.name}{_UNFINISHED}")
        shutil.rmtree(unfinished, ignore_errors=True)
        private_directory(unfinished)
        try:
            for file in files:
                self._fetch(file, unfinished)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        unfinished.rename(to)

    def _fetch(self, file: KeptFile, to: Path) -> None:
        length, sha256 = self.place.fetch(f"{self.path}/{file.name}", to / file.name)
        if (length, sha256) != (file.length, file.sha256):
            raise StateDamaged(
                f"{self.shown}/{file.name} is damaged: it has {length:,} bytes with SHA-256 {sha256}, {file.length:,} "
                f"with {file.sha256} were written"
            )

    def _manifest(self) -> tuple[list[KeptFile], float]:
        record = self.place.read(f"{self.path}/{MANIFEST}")
        try:
            document = json.loads(record)
            files = [KeptFile(str(name), int(length), str(sha256)) for name, length, sha256 in document["files"]]
            known, taken_s = document["format"] == _FORMAT, float(document["taken_s"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StateDamaged(f"{self.shown}/{MANIFEST} is damaged: {error!r}") from None
        if not known or not all(_is_plain(file.name) for file in files):
            raise StateDamaged(f"{self.shown}/{MANIFEST} is damaged, or of another version")
        return files, taken_s


def _is_plain(name: str) -> bool:
    """Whether a name is of a file in its directory, and nowhere else."""
    return name not in ("", ".", "..") and "/" not in name and "\\" not in name and "\0" not in name


class SnapshotPlace:
    """Snapshots of a generation's stores.

    Args:
        address: a directory, or an address such as s3://bucket/snapshots.
        generation: of the state.

    Attributes:
        shown: the address as it may be logged.

    Raises:
        SnapshotFailed: the address is of no known kind.
    """

    def __init__(self, address: str, generation: str) -> None:
        parts = urlsplit(address) if "://" in address else urlsplit("")
        if parts.scheme and parts.scheme not in SCHEMES:
            known = ", ".join(f"{each}://" for each in SCHEMES)
            raise SnapshotFailed(
                f"{parts.scheme}:// is no place for snapshots: name a directory, or an address: {known}"
            )
        local = parts.scheme in ("", "file")
        self._address = address
        self._generation = generation
        self._directory = Path(parts.path or address).resolve() if local else None
        self.shown = _without_credentials(address) if self._directory is None else str(self._directory)

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the path of the place in it; an object store may be asked for it."""
        if self._directory is not None:
            return fs.LocalFileSystem(), str(self._directory)
        try:
            found: tuple[Any, str] = fs.FileSystem.from_uri(self._address)
        except (*_ERRORS, ValueError) as error:
            reason = str(error).replace(urlsplit(self._address).netloc.rpartition("@")[0] or self._address, "...")
            raise SnapshotFailed(f"{self.shown} is no place for snapshots: {reason}") from None
        return found[0], found[1].rstrip("/")

    @property
    def _files(self) -> Any:  # noqa: ANN401 - a file system of pyarrow, which has no types
        return self._place[0]

    def _path_of(self, name: str) -> str:
        """Of the snapshots of a store."""
        return f"{self._place[1]}/{self._generation}/{name}"

    def write(self, name: str, checkpoint: Path, kept: int) -> KeptSnapshot:
        """Copy a closed store to the place, and remove older snapshots of it.

        Args:
            name: of the store.
            checkpoint: its directory, which nothing changes meanwhile.
            kept: how many of its snapshots stay, this one included.

        Raises:
            SnapshotFailed: it was not written.
        """
        before = self._numbered(name)
        number = 1 + max(before.values(), default=0)
        final = f"{self._path_of(name)}/{number:08}-{secrets.token_hex(4)}"
        path = final if self._directory is None else f"{final}{_UNFINISHED}"
        try:
            self._make(path)
            files = [self._store(file, f"{path}/{file.name}") for file in sorted(checkpoint.iterdir())]
            document = {"format": _FORMAT, "taken_s": time.time(), "files": files}
            with self._files.open_output_stream(f"{path}/{MANIFEST}") as out:
                out.write(json.dumps(document).encode())
            if path != final:
                Path(path).rename(final)
        except _ERRORS as error:
            self._remove(path)
            raise SnapshotFailed(f"no snapshot of {name} was written to {self.shown}: {error}") from error
        snapshot = KeptSnapshot(self, final, number)
        self._remove_old(name, number, kept)
        return snapshot

    def newest_first(self, name: str) -> list[KeptSnapshot]:
        """The finished snapshots of a store.

        Raises:
            SnapshotFailed: the place cannot be read.
        """
        found = [
            KeptSnapshot(self, path, number)
            for path, number in self._numbered(name).items()
            if not path.endswith(_UNFINISHED) and self._has(f"{path}/{MANIFEST}")
        ]
        return sorted(found, key=lambda snapshot: snapshot.number, reverse=True)

    def shown_path(self, path: str) -> str:
        """A path in the place as it may be logged."""
        return self.shown.rstrip("/") + path.removeprefix(self._place[1])

    def read(self, path: str) -> bytes:
        """A small file, whole.

        Raises:
            StateDamaged: it cannot be read.
        """
        try:
            with self._files.open_input_stream(path, compression=None) as stream:
                found: bytes = stream.read(_LARGEST_MANIFEST)
                return found
        except _ERRORS as error:
            raise StateDamaged(f"{self.shown_path(path)} cannot be read: {error}") from None

    def fetch(self, path: str, to: Path) -> tuple[int, str]:
        """Copy a file from the place; return its length and SHA-256.

        Raises:
            StateDamaged: it cannot be read.
        """
        try:
            with to.open("wb") as out, self._files.open_input_stream(path, compression=None) as stream:
                return _copied(stream, out)
        except _ERRORS as error:
            raise StateDamaged(f"{self.shown_path(path)} cannot be read: {error}") from None

    def _store(self, file: Path, path: str) -> KeptFile:
        with file.open("rb") as source, self._files.open_output_stream(path, compression=None) as out:
            return KeptFile(file.name, *_copied(source, out))

    def _make(self, path: str) -> None:
        if self._directory is not None:
            private_directory(Path(path))
        else:
            self._files.create_dir(path, recursive=True)

    def _numbered(self, name: str) -> dict[str, int]:
        """Number of each snapshot of a store by its path, finished or not."""
        try:
            infos = self._files.get_file_info(fs.FileSelector(self._path_of(name), allow_not_found=True))
        except _ERRORS as error:
            raise SnapshotFailed(f"the snapshots at {self.shown} cannot be listed: {error}") from error
        found = {}
        for info in infos:
            match = _NAME.fullmatch(info.base_name.removesuffix(_UNFINISHED))
            if match is not None and info.type == fs.FileType.Directory:
                found[info.path] = int(match[1])
        return found

    def _has(self, path: str) -> bool:
        return bool(self._files.get_file_info(path).type == fs.FileType.File)

    def _remove_old(self, name: str, newest: int, kept: int) -> None:
        """Remove all but the newest finished snapshots, and what writers that died have left."""
        try:
            finished = self.newest_first(name)
            stay = {snapshot.path for snapshot in finished[:kept]}
            for path, number in self._numbered(name).items():
                if path not in stay and number < newest:
                    self._remove(path)
        except (SnapshotFailed, *_ERRORS) as error:
            logger.warning("old snapshots of %s at %s were not removed: %s", name, self.shown, error)

    def _remove(self, path: str) -> None:
        """Remove a snapshot, its manifest first, so that it is not taken for a whole one meanwhile."""
        try:
            if self._has(f"{path}/{MANIFEST}"):
                self._files.delete_file(f"{path}/{MANIFEST}")
            self._files.delete_dir(path)
        except _ERRORS as error:
            logger.warning("%s was not removed: %s", self.shown_path(path), error)


def _copied(source: Any, out: Any) -> tuple[int, str]:  # noqa: ANN401 - files of Python and of pyarrow
    """Copy a stream to another; return its length and SHA-256."""
    length, digest = 0, hashlib.sha256()
    for chunk in iter(partial(source.read, _CHUNK_BYTES), b""):
        out.write(chunk)
        digest.update(chunk)
        length += len(chunk)
    return length, digest.hexdigest()


@dataclass(frozen=True, slots=True)
class CopiedStore:
    """A store's directory in a snapshot that was written on request, which has no checksums but those of RocksDB."""

    path: Path

    @property
    def shown(self) -> str:
        """What people call it."""
        return str(self.path)

    def restore(self, to: Path) -> None:
        """See `StoreSnapshot.restore`."""
        unfinished = to.with_name(f"{to.name}{_UNFINISHED}")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(self.path, unfinished)
        unfinished.rename(to)


def snapshots_of(name: str, generation: str, address: str | None) -> Iterator[StoreSnapshot]:
    """The snapshots of a store, newest first: the scheduled ones of a place, then those written on request.

    Args:
        name: of the store.
        generation: of the state.
        address: of a place of scheduled snapshots; or a snapshot, or a directory of them; None: there is none.

    Raises:
        SnapshotFailed: the place cannot be read.
    """
    if address is None:
        return
    yield from SnapshotPlace(address, generation).newest_first(name)
    if "://" in address or not Path(address).is_dir():
        return
    root = Path(address)
    every = sorted([root, *filter(Path.is_dir, root.iterdir())], key=lambda each: each.stat().st_mtime, reverse=True)
    yield from (CopiedStore(each / name) for each in every if (each / name / "CURRENT").exists())


def _without_credentials(address: str) -> str:
    """An address as it may be logged; of a container of Azure its name is kept.

    >>> _without_credentials("s3://key:secret@bucket/snapshots?region=eu-west-1")
    's3://bucket/snapshots'
    """
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    container = f"{user.partition(':')[0]}{at}" if parts.scheme in ("abfs", "abfss") else ""
    return parts._replace(netloc=container + host, query="", fragment="").geturl()
