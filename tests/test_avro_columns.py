"""Avro as columns: what the compiled loop reads is what fastavro reads record by record."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.errors import LogError
from producers.log_format import LogFormat
from producers.logs.tables.avro_columns import AvroColumns
from producers.logs.tables.record_table import RecordTable
from producers.logs.tables.records import Paths

if TYPE_CHECKING:
    from pathlib import Path

    from producers.logs.tables.table import TableBatch

NAMES = ("who", "sku", "count", "at", "exact")
TIME = {"type": "long", "logicalType": "timestamp-millis"}
FIELDS = [
    {"name": "who", "type": ["null", "string"]},
    {"name": "raw", "type": ["bytes", "null"]},
    {"name": "sku", "type": "string"},
    {"name": "mark", "type": {"type": "fixed", "name": "mark", "size": 3}},
    {"name": "count", "type": ["long", "null"]},
    {"name": "size", "type": {"type": "enum", "name": "size", "symbols": ["s", "m"]}},
    {"name": "at", "type": ["null", TIME]},
    {"name": "price", "type": ["null", "double"]},
    {"name": "exact", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "gift", "type": "boolean"},
]
records = st.fixed_dictionaries(
    {
        "who": st.none() | st.text(max_size=3),
        "raw": st.none() | st.binary(max_size=3),
        "sku": st.text(max_size=200),
        "mark": st.just(b"abc"),
        "count": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        "size": st.sampled_from(["s", "m"]),
        "at": st.none() | st.integers(0, 1_700_000_000_000) | st.sampled_from([-1, 253_402_300_799_999]),
        "price": st.none() | st.floats(),
        "exact": st.integers(-1, 1_700_000_000_000_000).map(lambda time: time // 1000 * 1000) | st.integers(-9, 9),
        "gift": st.booleans(),
    }
)
ODD_TIMES = [-62_135_596_800_000, 253_402_300_800_000, 1 << 62]


def avro(found: list[dict[str, Any]], codec: str = "deflate", fields: list[Any] = FIELDS) -> bytes:
    sink = io.BytesIO()
    schema = {"type": "record", "name": "line", "fields": fields}
    fastavro.writer(sink, schema, found, codec=codec, sync_interval=100)
    return sink.getvalue()


def quickly(path: Path) -> tuple[list[tuple[Any, ...]], str]:
    """The rows of a file, and what ended them."""
    batches: list[TableBatch] = []
    try:
        batches.extend(RecordTable(path, LogFormat(container="avro")).batches(NAMES))
    except LogError as error:
        return rows(batches), bare(error)
    return rows(batches), ""


def bare(error: LogError) -> str:
    """What an error says, without the address of fastavro's stream."""
    return re.sub("0x[0-9a-f]+", "", str(error))


def rows(batches: list[TableBatch]) -> list[tuple[Any, ...]]:
    return [
        row
        for batch in batches
        for row in zip(batch.positions.tolist(), *(batch.columns[name].to_pylist() for name in NAMES), strict=True)
    ]


def slowly(path: Path) -> tuple[list[tuple[Any, ...]], str]:
    found: list[object] = []
    try:
        found.extend(RecordTable(path, LogFormat(container="avro")).values())
    except LogError as error:
        said = bare(error)
    else:
        said = ""
    columns = Paths(NAMES).rows(found).columns
    return [*zip(range(len(found)), *(column.to_pylist() for column in columns), strict=True)], said


@settings(max_examples=40)
@given(st.lists(records, max_size=9), st.sampled_from(["null", "deflate"]))
def test_columns_are_what_records_are(
    tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]], codec: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "table.avro"
    path.write_bytes(avro(found, codec))
    quick = AvroColumns(io.BytesIO(path.read_bytes()), NAMES)

    assert sum(map(len, quick.batches())) == len(found)
    assert quick.ended
    assert quickly(path) == slowly(path)


@pytest.mark.parametrize("odd", ODD_TIMES)
def test_times_far_off_are_left_to_fastavro(tmp_path: Path, odd: int) -> None:
    path = tmp_path / "table.avro"
    record = {"who": "ann", "raw": None, "sku": "tea", "mark": b"abc", "count": 1, "size": "s", "price": None}
    path.write_bytes(avro([{**record, "at": time, "exact": 0, "gift": True} for time in (0, odd)]))

    assert quickly(path) == slowly(path)


def test_damage_ends_columns_where_it_ends_records(tmp_path: Path) -> None:
    """Whole blocks before the damage, then whatever fastavro still reads of the rest."""
    path = tmp_path / "table.avro"
    record = {"who": "ann", "raw": b"x", "mark": b"abc", "count": 1, "size": "s", "price": 0.5}
    whole = avro([{**record, "sku": f"tea-{n}", "at": n, "exact": n, "gift": True} for n in range(12)], "null")
    begin = whole.index(b"tea-0") - 8
    for place in range(begin, len(whole), 3):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x85]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            try:
                expected = slowly(path)
            except LogError:  # the first records are read to know their fields
                with pytest.raises(LogError):
                    quickly(path)
            else:
                assert quickly(path) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (["string", "long"], 5),
        ({"type": "array", "items": "string"}, ["x"]),
        ({"type": "int", "logicalType": "date"}, 5),
        ("bytes", b"x"),
    ],
)
def test_fields_that_need_more_than_their_text_are_left_to_fastavro(kind: object, value: object) -> None:
    content = avro([{"who": value}], fields=[{"name": "who", "type": kind}])
    quick = AvroColumns(io.BytesIO(content), ["who"])

    assert list(quick.batches()) == []
    assert not quick.ended
