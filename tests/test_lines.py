"""Order lines in columns: whatever is read quickly means what `producers.fields` says, value by value."""

from __future__ import annotations

import contextlib
import decimal
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.errors import LogError, OrderError
from producers.fields import FieldReader
from producers.log_format import LogFormat
from producers.logs.lines import check_type, read_lines
from producers.orders import ERASE, PURCHASE, order_key
from producers.values import Value

Line = tuple[str, str, int, int, int, int]
Columns = dict[str, list[Value]]

NEW_YEAR_MS = 1_483_228_800_000  # 2017-01-01 00:00 UTC
LATEST_MS = 4_102_444_800_000  # 2100-01-01

id_texts = st.sampled_from(
    [
        b"ann", b" ann ", b"NULL", b"n/a", b'="0007"', b"'007", b"'s", b"4.0E+12", b"12E4", b"7.0",
        b"\xc2\xa0x", b"7", "Dü".encode(), b"", b"caf\xe9", b"x" * 512, b"x" * 513, None,
    ]
) | st.binary(max_size=5)  # fmt: skip
timestamp_texts = st.sampled_from(
    [
        b"2017-01-01", b"2017-01-01 11:53:26", b"2017-01-01T11:53:26.123456789", b"2017-01-01T11:53Z", b"20170101",
        b"2017-01-01T11:53:26+02:00", b"2017-01-01t11:53:26", b"2300-01-01", b"1969-12-31", b"2017-13-01", b"soon",
        b"1483271606", b"1483271606.5", b"1483271606123", b"-5", b"0x1f", b"1e9", b"1e400", b"inf", b"nan", b"",
        b"\xff", None, b"9" * 18, b"9" * 400,
    ]
) | st.datetimes(datetime(1980, 1, 1), datetime(2110, 1, 1)).map(lambda moment: str(moment).encode())  # fmt: skip  # noqa: DTZ001
quantity_texts = st.sampled_from(
    [
        b"1",
        b"12",
        b"0",
        b"-1",
        b"+3",
        b"2.0",
        b"2.5",
        b"0x1f",
        b"1000000000",
        b"1000000001",
        b"9" * 30,
        b"two",
        b"",
        b"\xff",
        None,
    ]
)
kind_texts = st.sampled_from([b"purchase", b"return", b"refund", b"erase", b"Return", b"\xff", b"", None])


def one_by_one(columns: Columns) -> tuple[list[Line], list[str]]:
    """What the lines mean by the functions that read one value."""
    reader = FieldReader(latest_ms=LATEST_MS)
    lines, reasons = [], []
    for row in range(len(columns["customer_id"])):
        fields = {field: values[row] for field, values in columns.items()}
        order_id = fields["order_id"]
        try:
            kind = PURCHASE
            with contextlib.suppress(OrderError):
                kind = reader.kind(fields["type"])
            erases = kind == ERASE
            customer_id = reader.id("customer_id", fields["customer_id"])
            if erases and not reader.is_missing("item_id", fields["item_id"]):
                reasons.append("type 'erase' erases a whole customer and takes no items")
                continue
            item_id = "" if erases else reader.id("item_id", fields["item_id"])
            time_ms = reader.timestamps.read(fields["timestamp"])
            quantity = 0 if erases else reader.quantity(fields["quantity"])
            no_order = reader.is_missing("order_id", order_id)
            key = 0 if no_order else order_key(reader.id("order_id", order_id))
            lines.append((customer_id, item_id, time_ms, quantity, key, reader.kind(fields["type"])))
        except OrderError as error:
            reasons.append(str(error))
    return lines, reasons


def all_at_once(columns: Columns) -> tuple[list[Line], list[str]]:
    batch = pa.RecordBatch.from_pydict({field: pa.array(values, pa.binary()) for field, values in columns.items()})
    orders, rejected = read_lines(batch, np.arange(len(batch)), FieldReader(latest_ms=LATEST_MS))
    lines = []
    for place in range(len(orders)):
        bought = [
            (orders.items[orders.item[line]], int(orders.quantity[line]))
            for line in range(orders.start[place], orders.start[place + 1])
        ]
        ((item_id, quantity),) = bought or [("", 0)]
        customer_id = orders.customers[orders.customer[place]]
        time, key, kind = (int(column[place]) for column in (orders.time, orders.key, orders.kind))
        lines.append((customer_id, item_id, time, quantity, key, kind))
    return lines, [rejection.reason for rejection in rejected]


@given(
    rows=st.lists(
        st.tuples(id_texts, id_texts, timestamp_texts, quantity_texts, id_texts, kind_texts), min_size=1, max_size=40
    )
)
def test_columns_are_read_as_their_values_are_one_by_one(rows: list[tuple[Value, ...]]) -> None:
    """Two ways to read a log must not disagree about what is an order, nor about why something is none."""
    fields = ("customer_id", "item_id", "timestamp", "quantity", "order_id", "type")
    columns = {field: [row[place] for row in rows] for place, field in enumerate(fields)}

    assert all_at_once(columns) == one_by_one(columns)


@given(texts=st.lists(timestamp_texts, min_size=1, max_size=30))
def test_timestamps_alone_are_read_as_one_by_one(texts: list[Value]) -> None:
    """With all other fields good, so that nothing hides how the times are read."""
    count = len(texts)
    columns: Columns = {
        "customer_id": [b"ann"] * count, "item_id": [b"milk"] * count, "timestamp": texts,
        "quantity": [None] * count, "order_id": [None] * count, "type": [None] * count,
    }  # fmt: skip

    assert all_at_once(columns) == one_by_one(columns)


def read_times(column: pa.Array) -> tuple[list[int], list[str], bool]:
    names = pa.array(["ann"] * len(column))
    batch = pa.RecordBatch.from_arrays([names, names, column], ["customer_id", "item_id", "timestamp"])
    reader = FieldReader(latest_ms=LATEST_MS)
    orders, rejected = read_lines(batch, np.arange(len(batch)), reader)
    return orders.time.tolist(), [rejection.reason for rejection in rejected], reader.timestamps.utc_assumed


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_a_timestamp_column_is_read_whatever_its_unit_and_zone(unit: str, zone: str | None) -> None:
    """A zone says how to show a moment; the moment itself is stored in UTC."""
    moment = datetime(2017, 1, 1, tzinfo=UTC if zone else None)

    times, reasons, utc_assumed = read_times(pa.array([moment], pa.timestamp(unit, zone)))

    assert (times, reasons) == ([NEW_YEAR_MS], [])
    assert utc_assumed == (zone is None)


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_a_date_column_is_read_as_midnight_utc(kind: pa.DataType) -> None:
    assert read_times(pa.array([date(2017, 1, 1)], kind)) == ([NEW_YEAR_MS], [], True)


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.uint64(), pa.float64(), pa.decimal128(30, 3), pa.string(), pa.large_string()]
)
def test_an_epoch_is_read_from_any_number_or_text(kind: pa.DataType) -> None:
    numbers = pa.array([NEW_YEAR_MS // 1000, NEW_YEAR_MS]).cast(kind)

    assert read_times(numbers) == ([NEW_YEAR_MS, NEW_YEAR_MS], [], False)


def test_a_dictionary_of_texts_is_read_as_texts() -> None:
    """Pandas writes its categories so."""
    assert read_times(pa.array(["2017-01-01", "2017-01-01"]).dictionary_encode()) == ([NEW_YEAR_MS] * 2, [], True)


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (pa.array([-(2**62)], pa.timestamp("s")), "timestamp '-146138510344-07-14T16:14:56' is not"),
        (pa.array([2**62], pa.timestamp("s", "UTC")), "Z' is not a date"),
        (pa.array([2**42], pa.timestamp("ms")), "later than an order can be"),
        (pa.array([None], pa.timestamp("ns")), "timestamp is missing"),
        (pa.array([2**63 + 1], pa.uint64()), "timestamp '9223372036854775809' is after"),
        (pa.array([float("nan")]), "timestamp is missing"),
        (pa.array([float("inf")]), "timestamp 'inf' is after"),
        (pa.array([float("-inf")]), "timestamp '-inf' is before 1990"),
        (pa.array([None], pa.null()), "timestamp is missing"),
        (pa.array([date(1970, 1, 1)]), "timestamp '1970-01-01' is before 1990"),
    ],
)
def test_a_typed_timestamp_out_of_range_is_rejected(column: pa.Array, why: str) -> None:
    """Moments that overflow 64 bits once converted to milliseconds must not come out as some good time."""
    times, reasons, _ = read_times(column)

    assert times == []
    assert why in reasons[0]


@given(
    moment=st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30)),  # noqa: DTZ001
    minutes=st.integers(-14 * 60, 14 * 60),
)
def test_a_zone_shifts_a_timestamp_by_its_offset(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    times, _, utc_assumed = read_times(pa.array([zoned.isoformat()]))

    assert times == [(zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)]
    assert not utc_assumed


def read_columns(**columns: pa.Array) -> tuple[list[str], list[str], list[int], list[str]]:
    """Customers, items, quantities and reasons."""
    count = len(next(iter(columns.values())))
    given_columns = {
        "customer_id": pa.array(["ann"] * count),
        "item_id": pa.array(["milk"] * count),
        "timestamp": pa.array([NEW_YEAR_MS] * count),
    } | columns
    batch = pa.RecordBatch.from_pydict(given_columns)
    orders, rejected = read_lines(batch, np.arange(len(batch)), FieldReader())
    customers = [orders.customers[place] for place in orders.customer]
    items = [orders.items[place] for place in orders.item]
    return customers, items, orders.quantity.tolist(), [rejection.reason for rejection in rejected]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([7, 12]),
        pa.array([7.0, 12.0]),
        pa.array(["7", "12"]),
        pa.array(["7", "12"], pa.large_string()),
        pa.array([b"7", b"12"], pa.large_binary()),
        pa.array(["7", "12"]).dictionary_encode(),
        pa.array([decimal.Decimal(7), decimal.Decimal(12)], pa.decimal128(38, 0)),
    ],
)
def test_ids_are_the_same_whatever_type_their_column_has(column: pa.Array) -> None:
    """The customer 7 of a CSV file is the customer 7 of a Parquet file."""
    customers, items, _, reasons = read_columns(customer_id=column, item_id=column)

    assert customers == items == ["7", "12"]
    assert reasons == []


def test_an_id_column_of_numbers_with_gaps_rejects_only_the_gaps() -> None:
    """Pandas makes floats of whole numbers as soon as one is missing."""
    customers, _, _, reasons = read_columns(customer_id=pa.array([7.0, None, float("nan"), 1.5]))

    assert customers == ["7"]
    assert reasons == ["customer_id is missing", "customer_id is missing", "customer_id '1.5' is not a whole number"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2, None, 0, -1, 10**10], pa.int64()),
        pa.array([2, float("nan"), 0, -1, 1e10], pa.float64()),
        pa.array(["2", "", "0", "-1", "10000000000"]),
        pa.array([decimal.Decimal(2), None, decimal.Decimal(0), decimal.Decimal(-1), decimal.Decimal(10**10)]),
    ],
)
def test_quantities_are_the_same_whatever_type_their_column_has(column: pa.Array) -> None:
    _, _, quantities, reasons = read_columns(quantity=column)

    assert quantities == [2, 1]
    assert [reason.split("' ")[1] for reason in reasons] == ["is below 1", "is below 1", "is above 1,000,000,000"]


def test_rejected_lines_leave_no_ids_behind() -> None:
    """An id that nothing refers to would still be entered into the state's dictionary."""
    batch = pa.RecordBatch.from_pydict(
        {"customer_id": ["ann", "eve", ""], "item_id": ["milk", "ghost", "eggs"], "timestamp": ["2017-01-01", "", ""]}
    )

    orders, rejected = read_lines(batch, np.arange(3), FieldReader())

    assert (orders.customers, orders.items) == (["ann"], ["milk"])
    assert [rejection.record for rejection in rejected] == [
        '{"customer_id":"eve","item_id":"ghost"}',
        '{"item_id":"eggs"}',
    ]


def test_a_column_of_a_type_that_cannot_be_the_field_is_an_error() -> None:
    with pytest.raises(LogError, match="column tags holds list<item: string>, which cannot be read as item_id"):
        check_type("orders.parquet", "tags", pa.list_(pa.string()), "item_id")
    with pytest.raises(LogError, match="which cannot be read as customer_id: write it as text"):
        check_type("orders.parquet", "when", pa.timestamp("ms"), "customer_id")


def test_fractions_are_counted_line_by_line() -> None:
    """Values that are alike are read once, and counted as often as they stand there."""
    reader = FieldReader()
    lines = {"customer_id": ["ann"] * 4, "item_id": ["tea"] * 4, "timestamp": ["2017-01-01"] * 4}
    quantities = {"quantity": ["0.5", "2", "0.5", "x"]}

    orders, rejected = read_lines(pa.RecordBatch.from_pydict(lines | quantities), np.arange(4), reader)

    assert (orders.quantity.tolist(), reader.fractions, len(rejected)) == ([1, 2, 1], 2, 1)


def test_a_local_time_is_read_in_columns_as_it_is_alone() -> None:
    reader = FieldReader(LogFormat(timezone="Europe/Berlin"))
    texts = ["2023-03-26 02:30", "2023-10-29 02:30", "2023-07-01", "2023-07-01T10:00:00Z", "1688205600"]

    times, readable = reader.timestamps.read_column(pa.array(texts))

    alone = [reader.timestamps.read(text) for text in texts]
    assert [time for time, there in zip(times.tolist(), readable.tolist(), strict=True) if there] == [
        time for time, there in zip(alone, readable.tolist(), strict=True) if there
    ]
    columns = {"customer_id": texts, "item_id": texts, "timestamp": texts}
    orders, _ = read_lines(pa.RecordBatch.from_pydict(columns), np.arange(5), reader)
    assert orders.time.tolist() == alone


@given(
    st.lists(
        st.from_regex(r"-?[0-9]{1,19}(\.[0-9]{1,4})?(e[+-]?[0-9]{1,3})?", fullmatch=True)
        | st.sampled_from(["1483271606.5", "1.483271606e9", "1483271606123.5", "soon"]),
        min_size=1,
    )
)
def test_fractions_of_a_second_are_read_in_columns_as_alone(texts: list[str]) -> None:
    timestamps = FieldReader().timestamps

    times, readable = timestamps.read_column(pa.array(texts))

    for text, time, there in zip(texts, times.tolist(), readable.tolist(), strict=True):
        with contextlib.suppress(OrderError):
            alone = timestamps.read(text)
            assert there or (text.isdigit() and len(text) > 18), "only these are left to be read alone"
            assert time == alone or not there


spaces = st.sampled_from([b"", b" ", b"  "])


def spaced(texts: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    return st.tuples(spaces, texts, spaces).map(
        lambda parts: b"".join(parts) if isinstance(parts[1], bytes) else parts[1]  # type: ignore[arg-type]
    )


@given(st.lists(st.tuples(spaced(id_texts), spaced(timestamp_texts)), min_size=1, max_size=30))
def test_values_between_spaces_are_read_in_columns_as_alone(rows: list[tuple[Value, Value]]) -> None:
    nothing: list[Value] = [None] * len(rows)
    columns: Columns = {
        "customer_id": [customer for customer, _ in rows], "item_id": [b"milk"] * len(rows),
        "timestamp": [time for _, time in rows], "quantity": nothing, "order_id": nothing, "type": nothing,
    }  # fmt: skip

    assert all_at_once(columns) == one_by_one(columns)


def test_quantities_of_events_that_are_no_purchases_are_no_fractions() -> None:
    """A replay says how many quantities were fractions; these were never counted."""
    reader = FieldReader(LogFormat(purchases=("order",)))
    columns = {"customer_id": ["ann"] * 3, "item_id": ["tea"] * 3, "timestamp": ["2023-01-01"] * 3}
    lines = pa.RecordBatch.from_pydict(columns | {"type": ["view", "order", "view"], "quantity": ["1.5", "2.5", "1.5"]})

    orders, rejected = read_lines(lines, np.arange(3), reader)

    assert (len(orders), rejected, reader.fractions, reader.types) == (1, [], 1, {"view": 2})
