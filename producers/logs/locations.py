"""Where logs are: files, directories, patterns, pipes and addresses, each as the files that hold its rows."""

from __future__ import annotations

import glob
import os
import re
import select
import stat
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from producers.errors import LogError
from producers.logs.log_file import CHUNK_BYTES, LogFile, Stopped, in_order, is_log_name, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PIPE_NAMES = ("-", "/dev/stdin")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_TABLES = {
    "_delta_log": "a Delta Lake table",
    ".hoodie": "a Hudi table",
    "metadata/version-hint.text": "an Iceberg table",
    "metadata/*.metadata.json": "an Iceberg table",
}
"""Patterns of what only directories hold whose files may have rows that the table has no more."""


def located(arguments: Iterable[str | Path], scratch: Path, stop: Callable[[], bool] = lambda: False) -> list[LogFile]:
    r"""The files that arguments of a command name, in their order; those of one argument by their paths.

    Args:
        arguments: paths of files and directories, patterns with * ? [] and **, - or /dev/stdin, and addresses.
        scratch: a directory for what comes through a pipe or from elsewhere.
        stop: asked while a pipe is read whether to stop.

    Raises:
        LogError: there is no such file, or none matches.
        Stopped: somebody asked to stop.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     for name in ("year=2023/part-10.csv", "year=2023/part-9.csv", "year=2023/.part-9.csv.crc", "_SUCCESS"):
    ...         Path(directory, name).parent.mkdir(exist_ok=True)
    ...         _ = Path(directory, name).write_text("customer_id,item_id,timestamp\n")
    ...     found = located([directory], Path(directory))
    >>> [(file.path.name, dict(file.keys)) for file in found]
    [('part-9.csv', {'year': '2023'}), ('part-10.csv', {'year': '2023'})]
    """
    found: list[LogFile] = []
    for argument in map(str, arguments):
        place = scratch / "located" / str(len(found))
        if argument in PIPE_NAMES:
            found.append(_spooled(argument, place, stop))
        elif argument.startswith("file://"):
            found += _local(unquote(argument.removeprefix("file://")), place, stop)
        elif _ADDRESS.match(argument):
            from producers.logs.addresses import files_at  # noqa: PLC0415 - local logs do without

            found += files_at(argument, place)
        else:
            found += _local(argument, place, stop)
    return found


def _local(argument: str, place: Path, stop: Callable[[], bool]) -> list[LogFile]:
    path = Path(argument)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if not glob.has_magic(argument):
            raise LogError(f"{path} cannot be read: {error.strerror or error}") from None
        return _matching(argument)
    if stat.S_ISDIR(mode):
        return _inside(path, argument)
    if not stat.S_ISREG(mode):
        return [_spooled(argument, place, stop)]
    return [local_file(path)]


def local_file(path: Path, group: str = "") -> LogFile:
    """A file on this machine.

    Raises:
        LogError: it cannot be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror or error}") from None
    name = str(path.resolve())
    return LogFile(path, name, str(path), found.st_size, found.st_mtime_ns, group, keys_of(path.parts[:-1]))


def _inside(directory: Path, group: str) -> list[LogFile]:
    for mark, what in _TABLES.items():
        if any(directory.glob(mark)):
            raise LogError(
                f"{directory} is {what}: some of its files may hold rows that it has no more. "
                "Export it, for example to Parquet, and read that"
            )
    paths = [
        Path(root, name)
        for root, _, names in os.walk(directory, followlinks=True)
        for name in names
        if is_log_name(Path(root).relative_to(directory).parts, name)
    ]
    found = [local_file(path, group) for path in sorted(paths, key=lambda path: in_order(path.parts))]
    files = {file.name: file for file in reversed(found) if file.size}  # jobs write empty parts; links make circles
    if not files:
        raise LogError(f"{directory} holds no file that may be a log")
    return list(files.values())[::-1]


def _matching(pattern: str) -> list[LogFile]:
    files: dict[Path, LogFile] = {}
    found = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    for path in sorted(found, key=lambda path: in_order(path.parts)):
        inside = _inside(path, pattern) if path.is_dir() and "**" not in pattern else []
        files |= {file.path: file for file in inside}
        if path.is_file() and is_log_name((), path.name) and path.stat().st_size:
            files[path] = local_file(path, pattern)
    if not files:
        raise LogError(f"no file matches {pattern}")
    return list(files.values())


def _spooled(argument: str, place: Path, stop: Callable[[], bool]) -> LogFile:
    """What comes through a pipe, as a file."""
    shown = "standard input" if argument in PIPE_NAMES else argument
    if argument in PIPE_NAMES and sys.stdin.isatty():
        raise LogError("nothing is piped to standard input: name a file, or pipe one, as in zcat orders.gz | ...")
    place.mkdir(parents=True)
    path = place / "standard-input"
    with path.open("wb") as file:
        for chunk in _chunks(argument, stop):
            file.write(chunk)
    if not path.stat().st_size:
        raise LogError(f"{shown} is empty")
    return LogFile(path, "", shown, path.stat().st_size, -1)


def _chunks(argument: str, stop: Callable[[], bool]) -> Iterator[bytes]:
    """The bytes of a pipe; it waits, but not for ever once somebody asks to stop."""
    with nullcontext(sys.stdin.buffer) if argument in PIPE_NAMES else Path(argument).open("rb", buffering=0) as pipe:
        try:
            number = pipe.fileno()
        except OSError:  # no file of the system
            yield from iter(lambda: pipe.read(CHUNK_BYTES), b"")
            return
        while True:
            if stop():
                raise Stopped(f"stopped while {argument} was read; nothing was counted")
            if select.select([number], [], [], 0.2)[0]:
                chunk = os.read(number, CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk
