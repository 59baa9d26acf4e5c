"""Records in columns, and nested records as rows: the quick ways say what the plain ones say."""

from __future__ import annotations

import gzip
import io
import json
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.fields import FieldReader
from producers.log_format import LogFormat
from producers.logs.reading import open_log
from producers.logs.record_columns import read_records
from producers.logs.tables import json_stream
from producers.logs.tables.json_stream import documents
from producers.wire import OrderDecoder
from tests.written_logs import read_log

if TYPE_CHECKING:
    from pathlib import Path

    from producers.orders import Orders

ids = st.sampled_from(["ann", "bob", " ann", "NULL", 7, 7.0, None, "", '="7"'])
times = st.sampled_from(["2017-01-01", "2017-01-01T10:00:00Z", 1483228800, 1483228800.5, "soon", None])
quantities = st.sampled_from([1, 2, -1, 0, 1.5, "3", "-2", None])
kinds = st.sampled_from([None, "purchase", "return", "erase", "view"])
line = st.fixed_dictionaries({"item_id": ids}, optional={"quantity": quantities})
head: dict[str, st.SearchStrategy[Any]] = {"customer_id": ids, "timestamp": times}
tail: dict[str, st.SearchStrategy[Any]] = {"order_id": ids, "type": kinds}
flat_record = st.fixed_dictionaries({**head, "item_id": ids}, optional={**tail, "quantity": quantities})
nested_record = st.fixed_dictionaries(
    {**head, "lines": st.lists(line, max_size=3)}, optional={**tail, "item_id": ids, "quantity": quantities}
)
valid = st.fixed_dictionaries(
    {"customer_id": st.sampled_from(["ann", "bob"]), "timestamp": st.sampled_from(["2017-01-01", "2017-01-02"])},
    optional={
        "lines": st.lists(st.fixed_dictionaries({"item_id": st.sampled_from(["tea", "mug"])}), min_size=1, max_size=3),
        "order_id": st.sampled_from(["1", "2"]),
    },
).map(lambda record: record if "lines" in record else {**record, "item_id": "jam"})
records = st.lists(flat_record | nested_record, max_size=4) | st.lists(flat_record, max_size=6) | st.lists(valid)


def plainly(orders: Orders) -> list[tuple[object, ...]]:
    return [
        (
            orders.customers[orders.customer[place]],
            *(int(column[place]) for column in (orders.time, orders.kind, orders.key, orders.after)),
            [
                (orders.items[orders.item[row]], int(orders.quantity[row]), int(orders.position[row]))
                for row in range(orders.start[place], orders.start[place + 1])
            ],
        )
        for place in range(len(orders))
    ]


@given(records, st.sampled_from([LogFormat(), LogFormat(negative_is_return=True), LogFormat(purchases=("view",))]))
def test_records_in_columns_are_what_a_decoder_makes_of_them(found: list[Any], log_format: LogFormat) -> None:
    written = [json.dumps(record).encode() for record in found]
    reader, slow = FieldReader(log_format), FieldReader(log_format)
    decoder = OrderDecoder()
    positions = np.arange(len(written)) * 3

    quick = read_records(written, positions, reader, decoder.structure)
    orders, flat, rejected = decoder.decode(written, positions.tolist(), slow)

    if quick is None:
        assert (reader.fractions, reader.types) == (0, {})
        return
    assert rejected == []
    assert plainly(quick[0]) == plainly(orders)
    assert quick[1].tolist() == flat.tolist()
    assert (reader.fractions, reader.types) == (slow.fractions, slow.types)


@given(st.lists(valid, min_size=1, max_size=5))
def test_valid_records_take_the_quick_way(found: list[Any]) -> None:
    written = [json.dumps(record).encode() for record in found]

    assert read_records(written, np.arange(len(written)), FieldReader(), OrderDecoder().structure) is not None


def test_nan_is_missing_in_json_lines(tmp_path: Path) -> None:
    """Python writes it, though JSON knows none; text that says NaN stays as it is."""
    log = tmp_path / "orders.jsonl"
    record = '{"customer_id": "ann", "item_id": "NaN, tea", "timestamp": "2017-01-01", "price": NaN, "quantity": NaN}'
    log.write_text(f"{record}\n")

    orders, refusals = read_log(open_log(log))

    assert refusals == []
    assert [item for item, _, _ in orders[0][4]] == ["NaN, tea"]
    lines = (
        '{"customer_id": "ann", "timestamp": "2017-01-01", "price": -Infinity, "lines": [{"item_id": "a"}, {"b": 1}]}'
    )
    rejected = OrderDecoder().decode([lines.encode()], [0], FieldReader()).rejected
    assert [json.loads(one.record)["price"] for one in rejected] == [None]


scalars = st.none() | st.integers() | st.text(max_size=4) | st.sampled_from(['{"id": 1}', "},{", "]"])
documents_of_all_kinds = st.fixed_dictionaries(
    {"id": scalars}, optional={"lines": st.lists(st.fixed_dictionaries({"id": scalars}), max_size=3), "x": scalars}
)


@pytest.mark.parametrize("indent", [None, 2])
@given(found=st.lists(documents_of_all_kinds, max_size=12), chunk=st.integers(1, 200))
def test_documents_of_a_stream_are_those_of_the_whole(found: list[Any], chunk: int, indent: int | None) -> None:
    array = json.dumps(found, indent=indent).encode()
    behind_each_other = "\n".join(json.dumps(one, indent=indent) for one in found).encode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK_CHARACTERS", chunk)
        for text in (array, behind_each_other):
            read = [one for some in documents(io.BytesIO(text), "utf-8") for one in some]
            assert read == found


def test_documents_before_the_damage_are_read() -> None:
    packed = gzip.compress(json.dumps([{"id": f"{number:032x}"} for number in range(200_000)]).encode(), 1)
    found = []

    with pytest.raises(EOFError), gzip.open(io.BytesIO(packed[: len(packed) // 2])) as file:  # noqa: PT012
        for some in documents(cast("IO[bytes]", file), "utf-8"):
            found += some

    assert [one["id"] for one in found] == [f"{number:032x}" for number in range(len(found))]
    assert len(found) > 60_000


def test_orders_in_lists_of_lists_are_numbered_with_the_lines_that_are_none(tmp_path: Path) -> None:
    """Each element of the outer list is an order; a line that is no record has a number of its own."""
    log = tmp_path / "orders.jsonl"
    log.write_text(
        '{"who": "ann", "orders": [{"at": "2017-01-01", "lines": [{"sku": "a"}, {"sku": "b"}]}, '
        '{"at": "2017-01-02", "lines": []}, {"at": "2017-01-03", "lines": [{"sku": "c"}]}]}\n'
        "not json\n"
        '{"who": "bob", "orders": []}\n\n'
        '{"who": "cem", "orders": [{"at": "2017-01-04", "lines": [{"sku": "d"}]}, 7]}\n'
    )
    columns: dict[str, tuple[str, ...]] = {
        "customer_id": ("who",),
        "item_id": ("orders[].lines[].sku",),
        "timestamp": ("orders[].at",),
    }

    orders, refusals = read_log(open_log(log, LogFormat("jsonl", columns=columns)))

    assert [(order[0], order[4]) for order in orders] == [
        ("ann", [("a", 1, 0), ("b", 1, 0)]),
        ("ann", [("c", 1, 2)]),
        ("cem", [("d", 1, 4)]),
    ]
    assert [place for place, _ in refusals] == [3]
