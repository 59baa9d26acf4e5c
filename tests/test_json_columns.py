"""JSON lines as columns: what Arrow reads at once is what a decoder reads record by record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.log_format import LogFormat
from producers.logs.plain_json import JsonLinesLog
from producers.logs.reading import open_log
from producers.logs.record_columns import record_columns
from producers.logs.survey import survey
from producers.logs.tables.json_columns import MOST_BRACKETS, json_columns
from producers.logs.tables.record_table import RecordTable
from producers.logs.tables.records import Paths, decode
from producers.wire import OrderDecoder, without_nan
from tests.written_logs import read_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from producers.logs.tables.table import TableBatch

PATHS = ("who.name", "at.$date", "rows[].sku", "rows[].parts[].n")
scalars = (
    st.none() | st.text(max_size=3) | st.integers(-5, 5) | st.sampled_from([0.5, 7.0, 2.0**53, float("nan"), True])
)
odd_texts = st.sampled_from(["NaN", '"NaN', "-Infinity", '\\\\"', "\\\\", "In"])
parts = st.lists(st.none() | st.fixed_dictionaries({}, optional={"n": scalars}), max_size=2)
rows = st.lists(st.none() | st.fixed_dictionaries({}, optional={"sku": scalars, "parts": parts}), max_size=3)
records = st.fixed_dictionaries(
    {},
    optional={
        "who": st.none() | scalars | st.fixed_dictionaries({}, optional={"name": scalars, "else": scalars}),
        "at": st.fixed_dictionaries({"$date": st.sampled_from(["2023-01-01", 5])}),
        "rows": st.none() | rows,
        "noise": st.sampled_from([float("inf"), [[1]], "}\\n{"]),
    },
)


def read(path: Path, lines: Sequence[bytes], columns: Sequence[str], *, slowly: bool) -> list[TableBatch]:
    """The batches of a file; read `slowly` if its first line is none of an object."""
    path.write_bytes(b"".join(line + b"\n" for line in [*([b"[]"] if slowly else []), *lines]))
    return list(RecordTable(path, LogFormat(container="jsonl")).batches(columns))


def cells(batches: Sequence[TableBatch], above: int) -> list[tuple[int, ...]]:
    return [
        (position - above, *row)
        for batch in batches
        for position, *row in zip(
            batch.positions.tolist(), *(column.to_pylist() for column in batch.columns.values()), strict=True
        )
        if position >= above
    ]


@pytest.mark.parametrize("columns", [PATHS[:2], PATHS[:3], PATHS[1:3], PATHS[2:3]])
@given(st.lists(records, min_size=1, max_size=4))
def test_columns_are_what_records_are_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, columns: Sequence[str], found: list[Any]
) -> None:
    lines = [json.dumps(record).encode() for record in found]
    path = tmp_path_factory.getbasetemp() / "log.jsonl"

    quick = read(path, lines, columns, slowly=False)
    slow = read(path, lines, columns, slowly=True)

    assert cells(quick, 0) == cells(slow, 1)
    assert [batch.rejected for batch in quick] == [[]]


def test_orders_in_lists_of_lists_are_numbered_alike(tmp_path: Path) -> None:
    record = b'{"rows": [{"sku": "a", "parts": [{"n": 1}, {"n": 2}]}, {"sku": "b", "parts": [{"n": 3}]}]}'

    (batch,) = read(tmp_path / "log.jsonl", [record, record], PATHS[2:], slowly=False)

    assert json_columns(record, Paths(PATHS[2:]).keys) is not None
    assert batch.positions.tolist() == [0, 0, 1, 2, 2, 3]
    assert batch.columns["rows[].sku"].to_pylist() == [b"a", b"a", b"b"] * 2
    assert batch.end == 4


@pytest.mark.parametrize(
    "lines",
    [
        b'{"a": "x"} {"a": "y"}\n',
        b'{"a": "x"}\n{"a": {}\n}{"a": "y"}\n',
        b'{"a": "}\n{"}\n{"a": "x"}{"a": "y"}\n',
        b'{"a": "x", "a": "y"}\n',
        b'{"a": "\xff"}\n',
        b'{"b": "\xff", "a": "x"}\n',
        b'{"a": "\\ud800"}\n',
        b'{"b": Inf, "a": "x"}\n',
        b'{"b": -NaN, "a": "x"}\n',
        b'{"b": 1-2, "a": "x"}\n',
        b'{"a": 1}\n{"a": 9223372036854775808}\n',
        b'{"a": 0.5}\n{"a": 9007199254740993}\n',
        b'{"a": "x"}\n\n{"a": "y"}\n',
        b'{"a": ["x"]}\n',
        b'["a"]\n',
        b'{"a": "x", "b": ' + b"[" * MOST_BRACKETS + b"]" * MOST_BRACKETS + b"}\n",
        b"",
    ],
)
def test_lines_that_are_odd_are_left_to_a_decoder(lines: bytes) -> None:
    assert json_columns(lines, [["a"]]) is None


def test_lines_that_a_decoder_reads_are_read_at_once() -> None:
    lines = b'{"a": "x", "b": NaN}\r\n{"a": null, "b": [Infinity], "c": {"a": 1}}\r\n{"\\u0061": "\\ud83d\\ude00 Inf"}'

    batch = json_columns(lines, [["a"]])

    assert batch is not None
    assert batch.column("a").to_pylist() == [decode(line).value["a"] for line in lines.split(b"\r\n")]


@given(
    st.lists(st.fixed_dictionaries(dict.fromkeys(("item_id", "customer_id", "noise"), scalars | odd_texts)), min_size=1)
)
def test_records_with_nan_are_read_as_each_alone(found: list[Any]) -> None:
    structure = OrderDecoder().structure
    lines = [json.dumps(record).encode() for record in found]

    together = record_columns(lines, structure)

    if together is not None:
        alone = [structure(line) for line in lines]
        names = [None if order.item_id is None else str(order.item_id) for order in alone]
        column = together.lines["item_id"]
        shown = [value.decode() if isinstance(value, bytes) else value for value in column.to_pylist()]
        assert [None if value is None else str(value) for value in shown] == names


def test_only_records_whose_text_holds_nan_or_escapes_are_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One title with an escaped quote in it must not slow down all records of its block."""
    alone: list[bytes] = []

    def written_again(record: bytes) -> bytes:
        alone.append(record)
        return without_nan(record)

    monkeypatch.setattr("producers.logs.record_columns.without_nan", written_again)
    lines = [
        b'{"customer_id": "a", "item_id": NaN}',
        b'{"customer_id": "NaN", "item_id": NaN}',
        b'{"customer_id": "b\\"", "item_id": "tea"}',
        b'{"customer_id": "c\\"", "item_id": -Infinity}',
        b'{"customer_id": "In", "item_id": "Na"}',
        b'{"customer_id": "d", "item_id": Infinity}',
    ]

    found = record_columns(lines, OrderDecoder().structure)

    assert found is not None
    assert found.head["customer_id"].to_pylist() == [b"a", b"NaN", b'b"', b'c"', b"In", b"d"]
    assert found.lines["item_id"].to_pylist() == [None, None, b"tea", None, b"Na", None]
    assert [lines.index(one) for one in alone] == [1, 3, 4]


def test_nan_does_not_excuse_what_else_is_no_json() -> None:
    record = b'{"customer_id": "ann", "price": NaN, "code": 1-2, "item_id": "tea", "timestamp": "2023-01-01"}'

    assert record_columns([record], OrderDecoder().structure) is None


def test_nan_within_text_stays() -> None:
    record = b'{"customer_id": "NaN, -Infinity", "price": -Infinity, "item_id": "tea"}'

    found = record_columns([record], OrderDecoder().structure)

    assert found is not None
    assert found.head["customer_id"].to_pylist() == [b"NaN, -Infinity"]


@pytest.mark.parametrize("name", ["timesta\0mp", 'the "time"', "C:\\time"])
def test_a_field_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"customer_id": "ann", "item_id": "tea", name: "2023-01-01"}) + "\n")

    orders, refusals = read_log(open_log(path, LogFormat(container="jsonl", columns={"timestamp": (name,)})))

    assert ([order[0] for order in orders], refusals) == (["ann"], [])


@pytest.mark.parametrize("spoilt", [b"", b'{"customer_id": []}\n'])
def test_a_look_at_records_finds_their_ids_quickly_or_not(tmp_path: Path, spoilt: bytes) -> None:
    orders = [
        {"customer_id": "17.0", "timestamp": "2023-01-01", "lines": [{"item_id": "5.0"}, {"item_id": "6"}]},
        {"customer_id": "18", "timestamp": "2023-01-01", "order_id": "", "lines": [{"item_id": "7"}]},
    ]
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(json.dumps(order).encode() + b"\n" for order in orders) + spoilt)

    found = survey(path, LogFormat(container="jsonl"), 1 << 60)

    quick = JsonLinesLog(path, LogFormat(container="jsonl"))
    assert [quick.columns(content) is None for content in quick.contents()] == [bool(spoilt)]
    assert set(found.number_columns) == {"customer_id", "item_id"}
    assert found.first_texts == {}
    assert not found.order_ids
