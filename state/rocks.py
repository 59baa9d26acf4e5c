"""RocksDB: its options, how it is opened, and its errors translated into messages that say what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from rocksdict import (
    AccessType,
    BlockBasedIndexType,
    BlockBasedOptions,
    Checkpoint,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
)

from state.errors import StateDamaged, StateError, StateLocked, StorageFailed
from state.memory import MIB, default_memory
from state.private_files import private_directory
from state.rocks_files import missing_writes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from state.memory import Memory

__all__ = ["Rocks", "WriteBatch"]

_WRITE_BUFFER_BYTES = 32 * MIB
_OPEN_FILES = 256
"""Of a store, 8 GB of state; RocksDB opens others as they are read."""
_ALL_FILES = -1


def _options(memory: Memory, files: int) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(min(_WRITE_BUFFER_BYTES, max(memory.budget.write_buffers // 2, MIB)))
    options.set_max_write_buffer_number(3)
    options.set_write_buffer_manager(memory.write_buffers)
    options.set_target_file_size_base(_WRITE_BUFFER_BYTES)
    options.set_max_open_files(files)
    # journal records are deleted soon after they are written: at four files, many are gone before they are compacted
    options.set_level_zero_file_num_compaction_trigger(4)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(memory.block_cache)  # rows of items just bought, which every list of theirs reads again
    blocks.set_cache_index_and_filter_blocks(True)  # they grow with the state: 1.3 bytes an entry
    # in parts of a few KB: whole, those of a file are half a megabyte, which a small cache reads again for each lookup
    blocks.set_index_type(BlockBasedIndexType.two_level_index_search())
    blocks.set_partition_filters(True)
    blocks.set_pin_top_level_index_and_filter(True)
    blocks.set_bloom_filter(10, block_based=False)
    options.set_block_based_table_factory(blocks)
    return options


def _advice(path: Path, damage: str) -> str:
    return (
        f"{path} is damaged: {damage}; restore a snapshot, or replay: rm -r '{path.parent}' && alsobought replay LOG "
        f"--state-dir '{path.parent}'. A worker does it by itself"
    )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Translate RocksDB's errors, which are plain `Exception`s, into a StateError."""
    try:
        yield
    except StateError:
        raise
    except Exception as error:  # rocksdict raises nothing more specific
        text = str(error)
        denied = any(reason in text for reason in ("Permission denied", "Operation not permitted", "Read-only file"))
        if "lock" in text.lower() and ("hold" in text or "LOCK" in text) and not denied:
            raise StateLocked(f"{path} is open in another process; stop it, or use another --state-dir") from error
        if "Corruption" in text or "checksum" in text or "Invalid argument" in text or "No such file" in text:
            raise StateDamaged(_advice(path, text)) from error
        if denied:
            raise StorageFailed(f"{path} cannot be written to: {text}") from error
        if "No space left" in text or "IO error" in text:
            raise StorageFailed(
                f"{path}: {text}; the state is as of its last commit: free space and continue"
            ) from error
        raise StateError(f"{path}: {text}") from error


class Rocks:
    """One RocksDB directory with raw byte keys, opened by its one writer or for reading only.

    A reader sees the directory as it was when it was opened, whatever the writer does meanwhile: it holds every file
    that there was, unless there are very many.

    A written batch survives SIGKILL. After a power cut the last batches may be missing, but never part of one, and none
    before one that is there.

    Args:
        path: the directory; created if missing.
        read_only: open without taking the directory's lock.
        memory: what it shares with the other stores of the process; None: the default one.
    """

    def __init__(self, path: Path, *, read_only: bool = False, memory: Memory | None = None) -> None:
        self.path = path
        if read_only and not (path / "CURRENT").exists():
            raise StateError(f"{path} holds no state; name the --state-dir of a replay")
        if not read_only:
            private_directory(path)
        if not (path / "CURRENT").exists() and any(file.stat().st_size for file in path.glob("*.[sl][so][tg]")):
            # RocksDB would create a new database and delete these files
            raise StateDamaged(_advice(path, "it has no file CURRENT"))
        missing = missing_writes(path)
        if missing is not None:
            raise StateDamaged(_advice(path, missing))
        self._memory = memory or default_memory()
        few = sum(1 for _ in path.glob("*.sst")) <= _OPEN_FILES
        self._files = _ALL_FILES if read_only and few else _OPEN_FILES
        with _translated(path):
            self._db = self._opened(AccessType.read_only() if read_only else AccessType.read_write())

    def _opened(self, access: AccessType) -> Rdict:
        return Rdict(str(self.path), _options(self._memory, self._files), access_type=access)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        with _translated(self.path):
            return cast("bytes | None", self._db.get(key))

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of `keys`, None for keys without one."""
        with _translated(self.path):
            return cast("list[bytes | None]", self._db.get(cast("list[Any]", keys)))

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key begins with `prefix`, in key order; `prefix` must not end in 0xff."""
        return self.between(prefix, prefix[:-1] + bytes([prefix[-1] + 1]))

    def between(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries with keys from `first` to before `end`, in key order."""
        with _translated(self.path):
            last = first
            for key, value in cast("Iterator[tuple[bytes, bytes]]", self._db.items(from_key=first)):
                if key >= end:
                    return
                yield key, value
                last = key
            # `items` ends silently at a damaged block; the status of an iterator of our own shows whether there was one
            check = self._db.iter()
            check.seek(last)
            while check.valid():
                check.next()
            check.status()

    def verify(self) -> None:
        """Read every entry, and with it every block; a damaged one raises StateDamaged."""
        with _translated(self.path):
            entries = self._db.iter()
            entries.seek_to_first()
            while entries.valid():
                entries.next()
            entries.status()

    def write(self, batch: WriteBatch) -> None:
        """Write `batch` atomically; it is consumed."""
        with _translated(self.path):
            self._db.write(batch)

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())

    def compact(self) -> None:
        """Flush the memtables and compact everything, so that deleted keys are in no file."""
        with _translated(self.path):
            self._db.flush()
            self._db.compact_range(None, None)
            # the manifest has the first and last keys of files that are gone: opening begins another
            self._db.close()
            self._db = self._opened(AccessType.read_write())

    def checkpoint(self, to: Path) -> None:
        """Write the directory as it is now to `to`, which must not exist; files are hard links where possible."""
        with _translated(self.path):
            # the handle is dropped at once: while one exists, `close` does not release the directory's lock
            Checkpoint(self._db).create_checkpoint(str(to))

    def close(self) -> None:
        """Flush, and release the directory."""
        with _translated(self.path):
            self._db.close()
