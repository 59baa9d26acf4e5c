"""What is fuzzed: every decoder of bytes from outside, with the invariants of the values it may give.

A target's `check` returns if the decoder gave a value that holds them, or raised the error that it documents. Anything
else that it raises is a finding.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import shutil
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import Mock

import msgspec
import numpy as np
from aiohttp import StreamReader
from aiohttp.test_utils import make_mocked_request

from producers.errors import LogError
from producers.fields import FieldReader
from producers.logs.reading import open_log
from producers.orders import EARLIEST_MS, ERASE, LARGEST_ORDER_LINES, LARGEST_QUANTITY, LONGEST_ID_BYTES
from producers.timestamps import LATEST_MS
from producers.wire import OrderDecoder, customer_of
from state.columns import join_records, pack, pack_ids, split_records, unpack, unpack_ids
from state.count_rows import EXPOSURES, bucket_of
from state.errors import StateDamaged
from state.history_rows import StoredRows, packed_rows
from state.related_store import RelatedStore
from state.settings import CountingSettings
from streams.catalogue.catalogue import CatalogueError, CatalogueItem, check_item, check_item_id
from streams.catalogue.files import read_catalogue
from streams.endpoint.admin import make_app
from streams.endpoint.embedded_answers import EmbeddedAnswers
from streams.endpoint.handlers import AdminSettings
from streams.engine.deltas import pack_deltas, unpack_deltas
from streams.engine.embedded import Embedded
from streams.engine.ranking import LIST_LENGTH
from streams.engine.stages import check_orders, count_deltas, count_orders, open_counts, open_histories
from streams.workers.cluster.peers import decode_lists, decode_lists_question, decode_recommendations_question
from streams.workers.kafka.catalogue_topic import read_record
from streams.workers.publishing.list_publisher import ListInvalid, read_list
from tests.batch_definition import DAY_MS, Line, Order
from tests.fuzzing.batches import check_batch
from tests.log_strategies import BEGIN_MS, as_orders
from tests.streamed import popularity, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from producers.orders import Orders
    from state.count_store import CountStore
    from state.history_store import HistoryStore
    from streams.engine.deltas import Deltas

PAIR_WINDOW = 4
SETTINGS = CountingSettings(PAIR_WINDOW)
TOKEN = "let-me-in"  # noqa: S105 - of no worker


class Target(NamedTuple):
    """A decoder."""

    check: Callable[[bytes], None]
    packed: bool = False
    """Whether inputs are records of `state.columns.pack`."""


@cache
def scratch() -> Path:
    """A directory of this process, in memory where that is possible."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of our own in it
    directory = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


# Orders


def check_columns_of_orders(orders: Orders) -> None:
    """Whether orders are what everything that counts takes for granted."""
    orders_, lines = len(orders.customer), len(orders.item)
    assert len(orders.time) == len(orders.kind) == len(orders.key) == len(orders.after) == orders_
    assert len(orders.quantity) == len(orders.position) == lines
    assert orders.start[0] == 0
    assert orders.start[-1] == lines
    lengths = np.diff(orders.start)
    assert len(lengths) == orders_
    assert ((lengths >= 1) | (orders.kind == ERASE)).all()
    assert (lengths[orders.kind == ERASE] == 0).all()
    assert lengths.max(initial=0) <= LARGEST_ORDER_LINES
    assert (orders.kind <= ERASE).all()
    assert ((orders.time >= EARLIEST_MS) & (orders.time <= LATEST_MS)).all()
    assert ((orders.quantity >= 1) & (orders.quantity <= LARGEST_QUANTITY)).all()
    assert orders.customer.max(initial=0) < max(len(orders.customers), 1)
    assert orders.item.max(initial=0) < max(len(orders.items), 1)
    for ids in (orders.customers, orders.items):
        assert len(set(ids)) == len(ids)
        assert all("\0" not in text and 0 < len(text.encode()) <= LONGEST_ID_BYTES for text in ids)


def check_wire(data: bytes) -> None:
    """Records, one a line: each is an order, whose customer is told, rejected, in part perhaps, or skipped."""
    records = data.split(b"\n")
    orders, flat, rejected = OrderDecoder().decode(records, range(len(records)), FieldReader())
    check_columns_of_orders(orders)
    assert len(flat) == len(orders)
    for position, customer in zip((orders.after - 1).tolist(), orders.customer.tolist(), strict=True):
        assert customer_of(records[position], FieldReader()) == orders.customers[customer]
    whole = [rejection.position for rejection in rejected if not rejection.partial]
    assert len({*whole, *(orders.after - 1).tolist()}) == len(whole) + len(orders)
    assert all(rejection.reason and rejection.record.encode() is not None for rejection in rejected)


def _check_log(name: str) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        path = scratch() / name
        path.write_bytes(data)
        end = 0
        with contextlib.suppress(LogError):
            for batch in open_log(path, batch_rows=7):
                check_columns_of_orders(batch.orders)
                assert batch.begin == end < batch.end
                end = batch.end
                assert all(batch.begin <= line.position < batch.end for line in batch.rejected)
                assert ((batch.orders.position >= batch.begin) & (batch.orders.position < batch.end)).all()
                assert all(rejection.record.encode() is not None for rejection in batch.rejected)

    return check


# Columns and deltas

_TYPES: tuple[list[Any], ...] = (
    [np.int64],
    [np.int64, np.uint8],
    [np.uint32, np.int64, np.uint8, np.uint64],
    [np.float64],
)


def check_columns(data: bytes) -> None:
    """What is read of a record is what would be written, whatever it is read as."""
    with contextlib.suppress(StateDamaged):
        types = _TYPES[data[0] % len(_TYPES)] if data else [np.int64]
        columns = unpack(data[1:], types)
        assert [column.dtype for column in columns] == types
        again = unpack(pack(columns), types)
        assert all(column.tobytes() == same.tobytes() for column, same in zip(columns, again, strict=True))
    with contextlib.suppress(StateDamaged):
        ids = unpack_ids(data)
        assert unpack_ids(pack_ids(ids)) == ids
    with contextlib.suppress(StateDamaged):
        records = split_records(data)
        assert split_records(join_records(records)) == records


def check_deltas(data: bytes) -> None:
    """Deltas are packed as they were read."""
    with contextlib.suppress(StateDamaged):
        deltas = unpack_deltas(data)
        again = pack_deltas(unpack_deltas(pack_deltas(deltas)))
        assert again == pack_deltas(deltas)  # from the record itself it may differ: seqs may count from anywhere


LOG = [
    Order("ann", BEGIN_MS, (Line("tea"), Line("milk"), Line("eggs"))),
    Order("bob", BEGIN_MS, (Line("tea"), Line("milk"))),
    Order("cat", BEGIN_MS + DAY_MS, tuple(Line(f"item {number}") for number in range(9))),
    Order("ann", BEGIN_MS + 40 * DAY_MS, (Line("soap"), Line("bread"))),
    Order("ann", BEGIN_MS + 40 * DAY_MS, (Line("milk"), Line("tea")), type="return"),
    Order("bob", BEGIN_MS + 41 * DAY_MS, (Line("soap"), Line("tea")), "o1"),
    Order("cat", BEGIN_MS + 42 * DAY_MS, (), type="erase"),
    Order("dan", BEGIN_MS + 43 * DAY_MS, (Line("tea"), Line("soap"))),
]
COUNTED = 3
"""Orders counted before the records that are fuzzed."""


def records_of_log(parts: list[int]) -> list[bytes]:
    """The deltas of LOG, cut in parts that end there."""
    directory = scratch() / "records"
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.closing(open_histories(directory, SETTINGS)) as histories:
        return [
            count_orders(histories, 0, as_orders(LOG[begin:end], begin), end)[1][0].packed
            for begin, end in zip([0, *parts], parts, strict=False)
        ]


@cache
def _first_record() -> bytes:
    return records_of_log([COUNTED])[0]


_open: list[CountStore] = []


def _counts() -> CountStore:
    """A store that has counted the first orders of LOG."""
    if not _open:
        path = scratch() / "counts"
        shutil.rmtree(path, ignore_errors=True)
        store = open_counts(path, 0, SETTINGS)
        count_deltas(store, [_first_record()])
        _open.append(store)
    return _open[0]


def _facts(store: CountStore) -> dict[str, Any]:
    offsets, names = dict(store.purchases_offsets), list(store.names.every)
    return popularity(store) | {"rows": rows(store), "names": names, "offsets": offsets}


def check_counting(data: bytes) -> None:
    """Records, joined: none is counted, and nothing changes, or all are, as by the definition."""
    try:
        records = split_records(data)
    except StateDamaged:
        return
    if len(data) > 1 << 14:  # the definition below takes its time
        return
    store = _counts()
    before = _facts(store)
    try:
        count_deltas(store, records)
    except StateDamaged:
        assert _facts(store) == before
        return
    if store.purchases_offsets == before["offsets"]:
        assert _facts(store) == before
        return
    _open.pop().close()  # others begin with a new one
    pairs, exposures = (Counter(counts) for counts in before["rows"])
    ends = dict(before["offsets"])
    names: dict[int, list[str]] = {0: before["names"]}
    for deltas in map(unpack_deltas, records):
        if deltas.end > ends.get(deltas.source, 0):
            ends[deltas.source] = deltas.end
            known = names.setdefault(deltas.source, [])
            known += deltas.items
            _add(deltas, known, pairs, exposures)
    counted = {**pairs, **exposures}
    reopened = None
    if min(counted.values(), default=0) < 0:  # it takes away what was never there: the store says so once it is read
        with contextlib.suppress(StateDamaged):
            reopened = open_counts(scratch() / "counts", 0, SETTINGS)
            rows(reopened)
            raise AssertionError("a count below zero was not noticed")
    else:
        reopened = open_counts(scratch() / "counts", 0, SETTINGS)
        assert rows(reopened) == ({k: n for k, n in pairs.items() if n}, {k: n for k, n in exposures.items() if n})
    if reopened is not None:
        reopened.close()


def _add(
    deltas: Deltas, names: list[str], pairs: Counter[tuple[str, str, int]], exposures: Counter[tuple[str, int]]
) -> None:
    """Add what deltas say, pair by pair."""
    first = 0
    runs = deltas.runs
    for sign, window, active in zip(runs.sign.tolist(), runs.window.tolist(), runs.active.tolist(), strict=True):
        places = range(first, first + window + active)
        partners: Counter[int] = Counter()
        for x in places[window:]:
            for y in range(first, x):
                if abs(int(runs.seq[x]) - int(runs.seq[y])) <= PAIR_WINDOW:
                    one, other = names[runs.item[x]], names[runs.item[y]]
                    epoch = max(int(runs.epoch[x]), int(runs.epoch[y]))
                    pairs[one, other, epoch] += sign
                    pairs[other, one, epoch] += sign
                    partners[x] += 1
                    partners[y] += 1
        for place in places:
            name, exposure = names[runs.item[place]], int(runs.exposure[place])
            if place >= first + window:
                exposures[name, bucket_of(partners[place])] += sign
            else:
                exposures[name, bucket_of(exposure)] -= 1
                exposures[name, bucket_of(exposure + sign * partners[place])] += 1
        first += window + active
    assert runs.epoch.max(initial=0) < EXPOSURES


# What the stores keep


@cache
def _histories() -> HistoryStore:
    store = open_histories(scratch() / "histories", SETTINGS)
    count_orders(store, 0, as_orders(LOG), len(LOG))
    return store


def check_history(data: bytes) -> None:
    """A customer's row."""
    try:
        table = StoredRows(Path("histories-0"), np.array([0], np.uint32), [data]).table(len(_histories().items))
    except StateDamaged:
        return
    assert packed_rows(table, np.array([0])) == [data]


def check_journal(data: bytes) -> None:
    """The orders of a commit."""
    with contextlib.suppress(StateDamaged):
        orders = check_orders(data, customers=4, items=9)
        assert orders.item.max(initial=0) < 9
        assert orders.customer.max(initial=0) < 4
        assert orders.start[0] == 0
        assert (np.diff(orders.start) >= 0).all()
        assert orders.start[-1] == len(orders.item) == len(orders.quantity)


@cache
def _lists() -> RelatedStore:
    return RelatedStore(scratch() / "related")


def check_list(data: bytes) -> None:
    """A list as it is kept."""
    with contextlib.suppress(StateDamaged):
        stored = _lists()._unpacked(data)
        assert {len(column) for column in stored} == {len(stored.item)}
        assert all(np.isfinite(column).all() for column in stored)


# Topics and other workers


def check_catalogue_record(data: bytes) -> None:
    """Key and value, of which a NUL is between."""
    key, _, value = data.partition(b"\0")
    with contextlib.suppress(CatalogueError):
        item_id, item = read_record(key, value)
        check_item_id(item_id)
        assert item is not None
        check_item(item)
        assert msgspec.json.decode(msgspec.json.encode(item), type=CatalogueItem) == item


def check_published(data: bytes) -> None:
    """A list as it was published."""
    numbers = {"tea": 0, "milk": 1, "eggs": 2}
    with contextlib.suppress(ListInvalid, KeyError):
        stored = read_list(data, "blend", numbers)
        if stored is None:
            return
        assert len(stored.item) <= LIST_LENGTH
        assert {len(column) for column in stored} == {len(stored.item)}
        assert all(np.isfinite(column).all() for column in stored)


def check_message(data: bytes) -> None:
    """A question or answer of another worker; the first byte says which."""
    kind, body = data[:1], data[1:]
    with contextlib.suppress(ValueError, RecursionError):  # what `_leaf` and `SeedListReader` take for a bad message
        match kind:
            case b"q":
                assert all(isinstance(item_id, str) for item_id in decode_lists_question(body).item_ids)
            case b"a":
                for answer in decode_lists(body):
                    assert answer.columns().shape == (3, len(answer.item_ids))
                    assert np.isfinite(answer.columns()).all()
            case _:
                question = decode_recommendations_question(body)
                for visit in question.visits:
                    _used(visit.held)


def _used(held: Any) -> None:  # noqa: ANN401
    try:
        numbered = held.numbered(_histories().items)
    except Exception as error:
        raise AssertionError(f"{held} was decoded but cannot be used: {error!r}") from error
    assert {len(column) for column in numbered} == {len(numbered.item)}


# Catalogue files and HTTP


def _check_catalogue_file(name: str) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        path = scratch() / name
        path.write_bytes(data)
        with contextlib.suppress(CatalogueError):
            for row in read_catalogue(path):
                assert row.place
                if row.reason is None:
                    check_item_id(row.item_id)
                    check_item(row.item)
                    assert msgspec.json.decode(msgspec.json.encode(row.item), type=CatalogueItem) == row.item

    return check


async def _append(_customer_id: str, _record: bytes) -> dict[str, Any]:
    return {"partition": 0, "offset": 0}


@cache
def _app() -> tuple[web.Application, asyncio.AbstractEventLoop]:
    embedded = Embedded(scratch() / "state", SETTINGS)
    embedded.count(as_orders(LOG), len(LOG))
    list(embedded.publish())
    app = make_app(EmbeddedAnswers(embedded, append=_append), AdminSettings(TOKEN, largest_body_bytes=1 << 14))
    app.freeze()
    return app, asyncio.new_event_loop()


def check_http(data: bytes) -> None:
    """METHOD target, on the first line, and a body."""
    line, _, body = data.partition(b"\n")
    method, _, target = line.decode("utf-8", "surrogateescape").partition(" ")
    if method not in ("GET", "POST", "DELETE") or not target.startswith("/") or target.startswith("/events"):
        return
    app, loop = _app()
    payload = StreamReader(Mock(_reading_paused=False), 1 << 16, loop=loop)
    payload.feed_data(body)
    payload.feed_eof()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}", "Host": "127.0.0.1"}
    try:
        request = make_mocked_request(method, target, headers, app=app, payload=payload, loop=loop)
    except ValueError:  # aiohttp answers by itself that this is no address
        return
    response: Any = loop.run_until_complete(app._handle(request))
    assert response.status < 500 or response.status == 503, response.status
    if response.content_type.endswith("json"):
        msgspec.json.decode(response.body)


TARGETS = {
    "wire": Target(check_wire),
    "columns": Target(check_columns, packed=True),
    "deltas": Target(check_deltas, packed=True),
    "counting": Target(check_counting, packed=True),
    "history": Target(check_history),
    "journal": Target(check_journal, packed=True),
    "list": Target(check_list),
    "published": Target(check_published),
    "message": Target(check_message),
    "catalogue": Target(check_catalogue_record),
    "catalogue_csv": Target(_check_catalogue_file("items.csv")),
    "catalogue_jsonl": Target(_check_catalogue_file("items.jsonl")),
    "catalogue_parquet": Target(_check_catalogue_file("items.parquet")),
    "csv": Target(_check_log("orders.csv")),
    "jsonl": Target(_check_log("orders.jsonl")),
    "parquet": Target(_check_log("orders.parquet")),
    "http": Target(check_http),
    "batch": Target(check_batch),
}
