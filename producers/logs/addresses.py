"""Logs at addresses: https, and the object stores that Arrow's file systems reach.

What they hold is fetched whole before it is read. Credentials in an address are used, and neither shown nor stored.
"""

from __future__ import annotations

import base64
import fnmatch
import re
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import Request, urlopen

import pyarrow as pa
import xxhash
from pyarrow import fs

from producers.errors import LogError
from producers.logs.log_file import CHUNK_BYTES, LogFile, Stopped, in_order, is_log_name, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

STORES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs")
TIMEOUT_S = 60
_FETCH_ERRORS = (OSError, HTTPException, pa.ArrowException)
_MAGIC = re.compile(r"[*\[]")


def files_at(address: str, place: Path) -> list[LogFile]:
    """The files at an address: one, or those below a directory or of a pattern in an object store, by their paths.

    Args:
        address: https://..., s3://bucket/..., gs://bucket/..., abfs://container@account..., perhaps with credentials.
        place: a directory to fetch them to.

    Raises:
        LogError: there is nothing, it cannot be reached, or it is of a kind that is not known.
    """
    parts = urlsplit(address)
    shown = without_credentials(address)
    try:
        if parts.scheme in ("http", "https"):
            return [_web_file(parts, shown, place)]
        if parts.scheme not in STORES:
            known = ", ".join(f"{scheme}://" for scheme in ("https", "http", *STORES))
            raise LogError(f"{shown} cannot be read: addresses begin with {known}")
        # the last directory of which the name is known, since a pattern is no address
        base = "/".join(_until_magic(parts.path.split("/")))
        pattern = parts.path.removeprefix(base).strip("/") if base != parts.path else ""
        file_system, path = fs.FileSystem.from_uri(parts._replace(path=base).geturl())
        return files_in(file_system, path, pattern, shown.removesuffix(pattern).rstrip("/"), place)
    except _FETCH_ERRORS as error:
        raise LogError(f"{shown} cannot be read: {_reason(error, parts)}") from None


def files_in(file_system: Any, path: str, pattern: str, shown: str, place: Path) -> list[LogFile]:  # noqa: ANN401
    """The files of an object store: one, those below a directory, or those below it that a pattern matches.

    Args:
        file_system: one of `pyarrow.fs`.
        path: in it, of a file or directory.
        pattern: of paths below it; "": all.
        shown: what people call the path.
        place: a directory to fetch them to.

    Raises:
        LogError: there is nothing.
        OSError: the store cannot be reached, or refuses.
    """
    info = file_system.get_file_info(path)
    if info.type == fs.FileType.File:
        return [_store_file(file_system, info, shown, "", place)]
    infos = file_system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
    below = {info.path: info.path.removeprefix(path).strip("/").split("/") for info in infos}
    if any(part in ("_delta_log", ".hoodie") for parts in below.values() for part in parts):
        raise LogError(
            f"{shown} is a Delta Lake or Hudi table: some of its files may hold rows that it has no more. "
            "Export it, for example to Parquet, and read that"
        )
    kept = [
        info
        for info in sorted(infos, key=lambda info: in_order(info.path.split("/")))
        if info.type == fs.FileType.File
        and info.size
        and is_log_name(below[info.path][:-1], below[info.path][-1])
        and (not pattern or _matches(below[info.path], pattern.split("/")))
    ]
    if not kept:
        raise LogError(f"no file matches {shown}/{pattern}" if pattern else f"{shown} holds no file that may be a log")
    group = f"{shown}/{pattern}" if pattern else shown
    return [
        _store_file(file_system, info, f"{shown}/{'/'.join(below[info.path])}", group, place / str(number))
        for number, info in enumerate(kept)
    ]


def without_credentials(address: str) -> str:
    """An address as it may be shown and stored.

    >>> without_credentials("https://me:secret@example.com/orders.csv?token=secret#top")
    'https://example.com/orders.csv'
    >>> without_credentials("abfs://orders:secret@account.dfs.core.windows.net/2023/")
    'abfs://orders@account.dfs.core.windows.net/2023/'
    """
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    kept = f"{user.partition(':')[0]}@" if at and parts.scheme in ("abfs", "abfss") else ""  # the container
    return parts._replace(netloc=kept.removeprefix("@") + host, query="", fragment="").geturl()


def _until_magic(parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        if _MAGIC.search(part):
            return
        yield part


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path is of a pattern, in which ** stands for any number of directories.

    >>> _matches(["2023", "01", "a.csv"], ["**", "*.csv"]), _matches(["2023", "a.csv"], ["*.csv"])
    (True, False)
    """
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_matches(parts[skipped:], patterns[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and _matches(parts[1:], patterns[1:])


def _store_file(file_system: Any, info: Any, shown: str, group: str, place: Path) -> LogFile:  # noqa: ANN401
    path = place / info.base_name

    def chunks() -> Iterator[bytes]:
        with file_system.open_input_stream(info.path, compression=None) as stream:
            yield from iter(partial(stream.read, CHUNK_BYTES), b"")

    fetch = partial(_fetch, path, shown, info.size, chunks)
    modified_ns = -1 if info.mtime_ns is None else info.mtime_ns
    keys = keys_of(urlsplit(shown).path.split("/")[:-1])
    return LogFile(path, shown, shown, info.size, modified_ns, group, keys, fetch)


def _web_file(address: SplitResult, shown: str, place: Path) -> LogFile:
    with _opened(address) as answer:  # its head alone; some servers answer no other question
        length = answer.headers.get("Content-Length")
        mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    size = int(length) if length is not None and length.isdigit() else -1
    # what stands behind a question mark is not kept, so that such addresses may be of several logs
    known = mark is not None and size >= 0 and not address.query
    modified_ns = xxhash.xxh3_64_intdigest(str(mark).encode()) >> 1 if known else -1
    parts = unquote(address.path).split("/")
    path = place / (re.sub(r"[^\w.-]", "-", parts[-1]) or "log")

    def chunks() -> Iterator[bytes]:
        with _opened(address) as answer:
            yield from iter(partial(answer.read, CHUNK_BYTES), b"")

    fetch = partial(_fetch, path, shown, size, chunks)
    return LogFile(path, shown, shown, size, modified_ns, "", keys_of(parts[:-1]), fetch)


def _opened(address: SplitResult) -> Any:  # noqa: ANN401 - an answer of urllib, of no public type
    user, at, host = address.netloc.rpartition("@")
    request = Request(address._replace(netloc=host, fragment="").geturl())  # noqa: S310 - http or https
    if at:  # not sent on to where the server may point
        word = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {word}")
    return urlopen(request, timeout=TIMEOUT_S)  # noqa: S310


def _fetch(
    path: Path,
    shown: str,
    size: int,
    chunks: Callable[[], Iterable[bytes]],
    on_progress: Callable[[float, int], None],
    stop: Callable[[], bool],
) -> None:
    """Write what an address holds to a file.

    Raises:
        LogError: it cannot be read, or ends too early.
        Stopped: somebody asked to stop.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    try:
        with path.open("wb") as file:
            for chunk in chunks():
                if stop():
                    raise Stopped(f"stopped while {shown} was fetched; nothing was counted")
                file.write(chunk)
                done += len(chunk)
                on_progress(done / size if size > 0 else 0.0, done)
    except _FETCH_ERRORS as error:
        raise LogError(f"{shown} cannot be read: {_reason(error, None)}") from None
    if size >= 0 and done != size:
        raise LogError(f"{shown} ended after {done:,} of {size:,} bytes; run the same command again")


def _reason(error: Exception, address: SplitResult | None) -> str:
    """Why an address cannot be read, without what it must not tell."""
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    text = str(getattr(error, "reason", None) or error)
    secrets = [] if address is None else [address.netloc.rpartition("@")[0], address.query]
    for secret in filter(None, secrets):
        text = text.replace(secret, "...")
    return text
