"""Logs at addresses: fetched, read as files are, known by their rows; credentials are used and not kept."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import fs

from producers.errors import LogError
from producers.logs.addresses import files_at, files_in
from producers.logs.log_file import Stopped
from tests.commands import called, output_of, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.logs.log_file import LogFile

HEAD = "customer_id,item_id,timestamp\n"
ONE = HEAD + "ann,tea,2024-01-02\nbob,tea,2024-01-02\n"
TWO = ONE + "cy,tea,2024-01-03\n"
SECRET = "s3cr3t"  # noqa: S105 - what must not be seen


class Shop(ThreadingHTTPServer):
    """A web server of files; what it was asked is kept.

    Attributes:
        files: path -> bytes.
        marks: whether it tells an ETag.
        cut: whether answers end too early.
        read: paths that were read to the end of their bytes.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.marks, self.cut = True, False
        self.read: list[str] = []
        self.authorizations: list[str | None] = []

    def address(self, path: str, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.server_port}{path}"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        shop: Any = self.server
        path = self.path.partition("?")[0]
        shop.authorizations.append(self.headers.get("Authorization"))
        if path not in shop.files:
            self.send_error(404)
            return
        body = shop.files[path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if shop.marks:
            self.send_header("ETag", f'"{hash(body)}"')
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if shop.cut else body)
        shop.read.append(path)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Shop]:
    """A web server that runs."""
    shop = Shop()
    thread = threading.Thread(target=partial(shop.serve_forever, poll_interval=0.02))
    thread.start()
    yield shop
    shop.shutdown()
    thread.join()
    shop.server_close()


@pytest.fixture(name="shop")
def _shop() -> Iterator[Shop]:
    with serving() as shop:
        yield shop


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def test_a_log_at_an_address_is_counted_and_grows(shop: Shop, tmp_path: Path) -> None:
    state, address = tmp_path / "state", shop.address("/orders.csv")
    shop.files["/orders.csv"] = ONE.encode()

    assert "2 lines read, 2 counted" in output_of("replay", address, "--state-dir", state)
    shop.files["/orders.csv"] = TWO.encode()
    assert "1 lines read" in output_of("replay", address, "--state-dir", state)
    shop.files["/orders.csv"] = TWO.replace("bob", "Bob").encode()
    message = refused("replay", address, "--state-dir", state)
    assert f"{address} has changed since it was counted" in message
    assert list(state.glob(".replay-*")) == []


@pytest.mark.parametrize("marks", [True, False])
def test_what_has_not_changed_is_not_fetched_again(shop: Shop, tmp_path: Path, marks: bool) -> None:
    """An answer whose head tells that nothing is new is not read on; without a mark only the rows tell."""
    shop.marks = marks
    shop.files["/orders.csv"] = HEAD.encode() + b"ann,tea,2024-01-02\n" * 500_000
    output_of("replay", shop.address("/orders.csv"), "--state-dir", tmp_path / "state", "--commit-lines", "1000000")
    shop.read.clear()

    assert "nothing new" in output_of("replay", shop.address("/orders.csv"), "--state-dir", tmp_path / "state")
    assert bool(shop.read) == (not marks)


def test_credentials_are_used_and_neither_shown_nor_stored(shop: Shop, tmp_path: Path) -> None:
    shop.files["/orders.csv"] = ONE.encode() + b"cy,,2024-01-03\n"
    address = shop.address("/orders.csv", f"me:{SECRET}@") + f"?token={SECRET}"
    state = tmp_path / "state"

    result = called("replay", address, "--state-dir", state)

    assert "3 lines read, 2 counted" in result.stdout
    assert f"Basic {base64.b64encode(f'me:{SECRET}'.encode()).decode()}" in shop.authorizations
    assert SECRET not in result.output
    assert SECRET.encode() not in everything_in(state)
    (rejected,) = map(json.loads, (state / "rejected.jsonl").read_text().splitlines())
    assert rejected["file"] == shop.address("/orders.csv")
    document = json.loads(output_of("inspect", address, "--json"))
    assert document["command"] == ["replay", shop.address("/orders.csv")]
    assert SECRET not in json.dumps(document)
    for path in ("/nothing.csv", "/orders.csv"):
        shop.files["/orders.csv"] = b"no log\n"
        message = refused("replay", shop.address(path, f"me:{SECRET}@") + f"?token={SECRET}", "--state-dir", state)
        assert SECRET not in message
        assert shop.address(path) in message


def test_addresses_that_differ_behind_the_question_mark_are_logs_of_their_own(shop: Shop, tmp_path: Path) -> None:
    shop.files["/export"] = ONE.encode()
    output_of("replay", shop.address("/export?month=1"), "--state-dir", tmp_path / "state")
    shop.files["/export"] = ONE.replace("2024-01", "2024-02").encode()

    assert "2 lines read" in output_of("replay", shop.address("/export?month=2"), "--state-dir", tmp_path / "state")


def test_an_answer_that_ends_too_early_counts_nothing(shop: Shop, tmp_path: Path) -> None:
    """Half a log would be counted without a word."""
    shop.files["/orders.csv"] = ONE.encode()
    shop.cut = True

    message = refused("replay", shop.address("/orders.csv"), "--state-dir", tmp_path / "state")

    assert f"ended after {len(ONE) // 2} of {len(ONE)} bytes" in message
    shop.cut = False
    assert "2 lines read" in output_of("replay", shop.address("/orders.csv"), "--state-dir", tmp_path / "state")


def test_an_address_that_cannot_be_read_is_an_error(shop: Shop, tmp_path: Path) -> None:
    state = tmp_path / "state"

    assert "the server answers 404 Not Found" in refused("replay", shop.address("/no.csv"), "--state-dir", state)
    assert "addresses begin with https://" in refused("replay", "ftp://shop/orders.csv", "--state-dir", state)
    shop.files["/page"] = b"<!DOCTYPE html><html>please log in</html>"
    assert f"{shop.address('/page')} is a web page" in refused("replay", shop.address("/page"), "--state-dir", state)


def fetched(files: list[LogFile]) -> list[tuple[str, bytes]]:
    for file in files:
        assert file.fetch is not None
        file.fetch(lambda *_: None, lambda: False)
    return [(file.shown, file.path.read_bytes()) for file in files]


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    """What an object store may hold below a key."""
    store = tmp_path / "bucket" / "orders"
    for name in ("year=2023/part-10.csv.gz", "year=2023/part-9.csv.gz", "year=2024/part-0.csv.gz", "_SUCCESS",
                 "year=2024/.part-0.csv.gz.crc", "_temporary/part-1.csv.gz"):  # fmt: skip
        path = store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (store / "year=2024" / "part-1.csv.gz").touch()
    return store


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["year=2023/part-9.csv.gz", "year=2023/part-10.csv.gz", "year=2024/part-0.csv.gz"]),
        ("year=2023/*.gz", ["year=2023/part-9.csv.gz", "year=2023/part-10.csv.gz"]),
        ("**/part-[01].csv.gz", ["year=2024/part-0.csv.gz"]),
    ],
)
def test_the_files_of_an_object_store_are_those_of_a_directory(
    store: Path, tmp_path: Path, pattern: str, names: list[str]
) -> None:
    """Bytes as they are: a file system that unpacked them would give a log other sizes than the store says."""
    files = files_in(fs.LocalFileSystem(), str(store), pattern, "s3://bucket/orders", tmp_path / "scratch")

    assert fetched(files) == [(f"s3://bucket/orders/{name}", name.encode()) for name in names]
    assert [file.keys["year"] for file in files] == [name[5:9] for name in names]
    assert {file.group for file in files} == {f"s3://bucket/orders/{pattern}".rstrip("/")}
    assert all(file.size == len(name) and file.modified_ns > 0 for file, name in zip(files, names, strict=True))


def test_one_file_of_an_object_store(store: Path, tmp_path: Path) -> None:
    path = str(store / "year=2024" / "part-0.csv.gz")

    (file,) = files_in(fs.LocalFileSystem(), path, "", "s3://bucket/part-0.csv.gz", tmp_path / "scratch")

    assert (file.shown, file.group) == ("s3://bucket/part-0.csv.gz", "")
    assert file.fetch is not None
    with pytest.raises(Stopped, match=r"stopped while s3://bucket/part-0.csv.gz was fetched"):
        file.fetch(lambda *_: None, lambda: True)


def test_an_object_store_that_holds_nothing_is_an_error(store: Path, tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"no file matches s3://bucket/orders/\*.orc"):
        files_in(fs.LocalFileSystem(), str(store), "*.orc", "s3://bucket/orders", tmp_path)
    with pytest.raises(LogError, match="holds no file that may be a log"):
        files_in(fs.LocalFileSystem(), str(store / "nothing"), "", "s3://bucket/nothing", tmp_path)
    (store / "_delta_log").mkdir()
    with pytest.raises(LogError, match="may hold rows that it has no more"):
        files_in(fs.LocalFileSystem(), str(store), "", "s3://bucket/orders", tmp_path)


def test_the_keys_of_a_store_that_cannot_be_reached_are_not_shown(tmp_path: Path) -> None:
    address = f"s3://{SECRET}:{SECRET}@bucket/orders.csv?endpoint_override=127.0.0.1:9&region=x&scheme=http"

    with pytest.raises(LogError, match=r"s3://bucket/orders.csv cannot be read") as caught:
        files_at(address, tmp_path)

    assert SECRET not in str(caught.value)
