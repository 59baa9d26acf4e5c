"""Every kind of log, and every instance of it, is read by the command that `inspect` prints, with exact counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from producers.orders import DAY_MS
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.workers.kafka.purchases import read_orders, rejection_record
from streams.workers.kafka.topics import Topics
from tests.batch_definition import batch
from tests.commands import output_of, refused
from tests.format_rows import FIVE, Row, check, counted, orders_of, write
from tests.log_kinds import HEADER, ROWS, kinds, text
from tests.odd_rows import odd_rows
from tests.silent_rows import in_formats, silent_rows
from tests.streamed import facts, streamed_facts
from tests.test_addresses import Shop, serving
from tests.value_rows import value_rows

if TYPE_CHECKING:
    from pathlib import Path

KINDS: dict[str, Row] = silent_rows() | odd_rows() | value_rows()


@pytest.mark.parametrize("name", KINDS)
def test_a_log_is_counted_by_the_command_printed_and_not_otherwise(name: str, tmp_path: Path) -> None:
    check(KINDS[name], tmp_path)


@pytest.mark.parametrize("name", ["plain.csv", "gzip called.csv", "pretty.json", "table.parquet"])
def test_a_log_at_an_address_is_counted_by_the_command_printed(name: str, tmp_path: Path) -> None:
    with serving() as shop:
        address = _address(shop, name)
        command = json.loads(output_of("inspect", address, "--json"))["command"]
        output_of(*command, "--state-dir", tmp_path / "state")

    assert command == ["replay", address]
    assert counted(tmp_path / "state")["histories"] == _histories(FIVE)


def _address(shop: Shop, name: str) -> str:
    path = f"/{name.replace(' ', '-')}"
    shop.files[path] = kinds()[name]
    return shop.address(path)


def _histories(orders: str) -> dict[str, Any]:
    found: dict[str, Any] = facts(batch(orders_of(orders), 100), orders_of(orders))["histories"]
    return found


@pytest.mark.parametrize("name", in_formats(ROWS, HEADER))
def test_a_column_that_does_not_exist_is_an_error_that_names_those_that_do(name: str, tmp_path: Path) -> None:
    """In JSON lines a mapping to a misspelt field was ignored."""
    write(tmp_path, {name: in_formats(ROWS, HEADER)[name]})

    for command in ("inspect", "replay"):
        state = ("--state-dir", tmp_path / "state") if command == "replay" else ()
        message = refused(command, tmp_path / name, "--columns", "quantity=qyt", *state)

        assert "qyt" in message
        assert all(column in message for column in HEADER)
    assert counted(tmp_path / "state")["histories"] == {}


BAD: dict[str, tuple[str, bytes | str]] = {
    "no log": ("c.csv", "nothing,of,use\n1,2,3\n"),
    "damaged": ("c.csv.gz", kinds()["gzip called.csv"][:-20]),
    "cut short": ("c.parquet", kinds()["table.parquet"][:-20]),
    "open dates": ("c.csv", text(rows=[["eve", "tea", "3/4/2023", "1", "o9"]])),
    "events": ("c.csv", text(rows=[["eve", "tea", "2023-03-01", "view"]], header=[*HEADER[:3], "event"])),
    "older": ("c.csv", text(rows=[["eve", "tea", "2022-03-01", "1", "o9"]])),
    "not UTF-8": ("c.jsonl", b'{"customer_id": "\xff\xfe\x81"}\n'),
}


@pytest.mark.parametrize("name", BAD)
def test_a_third_file_that_cannot_be_counted_costs_nothing(name: str, tmp_path: Path) -> None:
    third, content = BAD[name]
    write(tmp_path, {"a.csv": text(rows=ROWS[:2]), "b.csv": text(rows=ROWS[2:]), third: content})
    files = [tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / third]

    assert str(tmp_path / third) in refused("replay", *files, "--state-dir", tmp_path / "state")

    assert counted(tmp_path / "state")["histories"] == {}
    output_of("replay", *files[:2], "--state-dir", tmp_path / "state")
    assert counted(tmp_path / "state")["histories"] == _histories(FIVE)


# --- logs that are written to -----------------------------------------------------------------------------------------


class Day(NamedTuple):
    """A log as it stands one day."""

    content: bytes | str
    orders: str = ""
    """All that are counted then."""
    error: str = ""
    """A part of the message if it is refused."""
    options: tuple[str, ...] = ()


END = "cem,mug,2023-02-13 09:30:00,1,em7"
HALF = text(rows=ROWS[:4]) + END[:-1]
FOUR = FIVE.replace("cem 2023-02-13T09:30:00 mug", "")
RECORDS = [json.dumps({**dict(zip(HEADER, row, strict=True)), "quantity": int(row[3])}) for row in ROWS]
WIDE = ("\ufeff" + text(";")).encode("utf-16-le")
COMMAS = text(";", [[*row[:3], f"{row[3]},5", row[4]] for row in ROWS])
SINGLE = FIVE.replace("*2", "").replace("*3", "")
GROWING: dict[str, list[Day]] = {
    "half an order id": [Day(HALF, FOUR), Day(HALF + "7\n", FIVE)],
    "half an order id, counted": [Day(HALF, FIVE, options=("--count-last-line",))],
    "half an item": [Day(text(rows=ROWS[:4]) + "cem,mu", FOUR), Day(text(), FIVE)],
    "half a character": [
        Day(text(rows=ROWS[:4]).encode() + "cem,mü".encode()[:-1], FOUR),
        Day(text(rows=[*ROWS[:4], ["cem", "mü", *ROWS[4][2:]]]), FIVE.replace("30:00 mug", "30:00 mü")),
    ],
    "half a line of UTF-16": [Day(WIDE[:-9], FOUR), Day(WIDE[:-1], FOUR), Day(WIDE, FIVE)],
    "half a record": [
        Day("\n".join(RECORDS[:4]) + "\n" + RECORDS[4][:30], FOUR),
        Day("\n".join(RECORDS), FIVE),
        Day("\n".join(RECORDS) + "\n", FIVE),
    ],
    "half a record in several lines": [
        Day("\n".join(json.dumps(json.loads(record), indent=1) for record in RECORDS)[:-7], error="is cut short"),
        Day("\n".join(json.dumps(json.loads(record), indent=1) for record in RECORDS), FIVE),
    ],
    "a total that more lines follow": [
        Day(text(rows=ROWS[:4]) + "Total,,,7,\n", FOUR),
        Day(text(rows=ROWS[:4]) + "Total,,,7,\n" + text(rows=ROWS[4:], header=None), FIVE),
    ],
    "another decimal mark": [
        Day(COMMAS, SINGLE),
        Day(COMMAS + "dan;tea;2023-02-14;2.5;o4\n", error="would mean something else"),
    ],
    "another order of time": [
        Day(text(), FIVE),
        Day(text() + "dan,tea,2023-01-01,1,o4\n", error="line 7 (2023-01-01 00:00:00) is 43 days older"),
    ],
    "numbers that are none": [
        Day("customer_id,item_id,timestamp\n7.0,1.0,2023-01-15\n", "7 2023-01-15 1"),
        Day(
            "customer_id,item_id,timestamp\n7.0,1.0,2023-01-15\nx,1.0,2023-01-16\n",
            error="line 3: customer_id is no number, as all before it were",
        ),
    ],
    "dates the other way": [
        Day("customer_id,item_id,timestamp\nann,tea,1/13/2023\n", "ann 2023-01-13 tea"),
        Day(
            "customer_id,item_id,timestamp\nann,tea,1/13/2023\nbob,tea,14/1/2023\nbob,tea,1/15/2023\n",
            "ann 2023-01-13 tea\nbob 2023-01-15 tea",
        ),
    ],
    "an encoding that turns out": [
        Day(text(";"), FIVE),
        Day((text(";") + "zoë;tea;2023-02-14;1;o4\n").encode("cp1252"), f"{FIVE}zoë 2023-02-14 tea"),
    ],
}


@pytest.mark.parametrize("name", GROWING)
def test_a_log_that_is_written_to_counts_at_each_day_what_is_whole(name: str, tmp_path: Path) -> None:
    path, state = tmp_path / "orders.txt", tmp_path / "state"
    first = GROWING[name][0].content
    if isinstance(first, str) and ";" not in first:
        path = path.with_suffix(".jsonl" if first.startswith("{") else ".csv")
    orders = ""
    for day in GROWING[name]:
        write(tmp_path, {path.name: day.content})
        if day.error:
            assert day.error in refused("replay", path, "--state-dir", state, *day.options)
        else:
            output_of("replay", path, "--state-dir", state, *day.options)
            orders = day.orders
        assert counted(state)["histories"] == _histories(orders)


CHANGES = [(place, change) for place in (0, 2, 4) for change in ("taken out", "added", "changed")]


@pytest.mark.parametrize(
    ("name", "place", "change"),
    [("a.csv", *change) for change in CHANGES] + [(name, *CHANGES[3]) for name in in_formats(ROWS, HEADER)][1:],
)
def test_a_re_export_with_another_past_is_an_error_and_counts_nothing(
    name: str, place: int, change: str, tmp_path: Path
) -> None:
    """It went on at the old line number: lines were skipped, or counted twice."""
    other = ["dan", "rye", ROWS[place][2], "1", "o9"]
    middle = {"taken out": [], "added": [other, ROWS[place]], "changed": [other]}[change]
    rows = [*ROWS[:place], *middle, *ROWS[place + 1 :]]
    write(tmp_path, {name: in_formats(ROWS, HEADER)[name]})
    state = tmp_path / "state"
    output_of("replay", tmp_path / name, "--state-dir", state, "--commit-lines", "1")
    write(tmp_path, {name: in_formats(rows, HEADER)[name]})

    message = refused("replay", tmp_path / name, "--state-dir", state)

    assert ("--another-log" in message) or ("into a new --state-dir" in message)
    assert counted(state)["histories"] == _histories(FIVE)


# --- on the wire ------------------------------------------------------------------------------------------------------

NOON_MS = 1_673_784_000_000  # 2023-01-15 12:00 UTC
NOON = "2023-01-15T12:00"
TWENTY = [{"item_id": f"i{number}", "quantity": 1} for number in range(20)]
GIFT = {"item_id": "gift", "quantity": 0}
TEA = {"customer_id": "ann", "item_id": "tea", "timestamp": NOON_MS}
WIRE: dict[str, tuple[list[dict[str, Any]], str, list[str]]] = {
    "twenty lines, a gift and one without item": (
        [TEA | {"item_id": None, "lines": [*TWENTY[:9], GIFT, {"quantity": 1}, *TWENTY[9:18]]}],
        f"ann {NOON} {' '.join(f'i{number}' for number in range(18))}",
        ["item_id is missing", "quantity '0' is below 1"],
    ),
    "PURCHASE": ([TEA | {"type": "PURCHASE"}], f"ann {NOON} tea", []),
    "Refund": ([TEA, TEA | {"type": "Refund"}], f"ann {NOON} tea\nann returns {NOON} tea", []),
    "microseconds": ([TEA | {"timestamp": NOON_MS * 1000}], f"ann {NOON} tea", []),
    "nanoseconds": ([TEA | {"timestamp": NOON_MS * 1_000_000}], f"ann {NOON} tea", []),
    "seconds as text": ([TEA | {"timestamp": str(NOON_MS // 1000)}], f"ann {NOON} tea", []),
    "spaces around a customer": ([TEA | {"customer_id": " ann "}], f"ann {NOON} tea", []),
    "a customer called null": ([TEA | {"customer_id": "null"}, TEA], f"ann {NOON} tea", ["customer_id is missing"]),
    "an order called N/A": ([TEA | {"order_id": "N/A"}] * 2, f"ann {NOON} tea\nann {NOON} tea", []),
    "a fraction": ([TEA | {"quantity": 1.5}], f"ann {NOON} tea", []),
    "wrapped and whole ids": ([TEA | {"customer_id": 7.0, "item_id": '="0007"'}], f"7 {NOON} 0007", []),
    "a damaged id": ([TEA | {"item_id": "4.0E+12"}, TEA], f"ann {NOON} tea", ["item_id '4.0E+12' is in scientific"]),
    "an erasure": ([TEA, TEA | {"item_id": None, "type": "ERASE"}], f"ann {NOON} tea\nann erase {NOON}", []),
}  # fmt: skip
"""Records, the orders that they are, and how the reasons begin for which some of their lines are rejected."""


class Record(NamedTuple):
    """A record as a client of Kafka gives it."""

    value: bytes
    offset: int
    timestamp: int = NOON_MS + DAY_MS
    key: bytes | None = None
    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


@pytest.mark.parametrize("name", WIRE)
def test_a_record_means_on_the_wire_what_it_means_in_a_file(name: str, tmp_path: Path) -> None:
    records, orders, reasons = WIRE[name]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    places = [line for line, _ in enumerate(reasons, 1)] if len(records) > 1 else [1] * len(reasons)
    rejected = tuple(f"line {place}: {reason}" for place, reason in zip(places, reasons, strict=True))
    check(Row({"a.jsonl": lines}, orders, rejected), tmp_path)

    found, rejections = _sent(records, tmp_path / "wire")

    expected = facts(batch(orders_of(orders), 100), orders_of(orders))
    assert {name: found[name] for name in expected.keys() - {"lines", "rejected"}} == {
        name: expected[name] for name in expected.keys() - {"lines", "rejected"}
    }
    assert [value["reason"][: len(reason)] for value, reason in zip(rejections, reasons, strict=True)] == reasons


def _sent(records: list[dict[str, Any]], state: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The counts of some records as a worker decodes them, and what it writes to `purchases-rejected`."""
    kept = [Record(json.dumps(record).encode(), offset) for offset, record in enumerate(records)]
    orders, rejections, _ = read_orders(kept)
    embedded = Embedded(state, CountingSettings())
    embedded.count(orders, len(records), len(rejections))
    found = streamed_facts(embedded)
    embedded.close()
    written = [
        rejection_record(kept[one.position], one.reason, Topics(), one.record if one.partial else None)
        for one in rejections
    ]
    return found, [{"reason": dict(one.headers)["reason"].decode(), "value": one.value} for one in written]


def test_the_bad_lines_of_a_record_are_kept_alone_and_count_once_repaired(tmp_path: Path) -> None:
    records, _, _ = WIRE["twenty lines, a gift and one without item"]
    _, rejections = _sent(records, tmp_path / "first")
    repaired = [json.loads(one["value"]) for one in rejections]

    assert [record["lines"] for record in repaired] == [[{"quantity": 1}], [{"item_id": "gift", "quantity": 0}]]
    repaired[0]["lines"][0]["item_id"] = "i18"
    repaired[1]["lines"][0]["quantity"] = 1
    found, left = _sent([*records, *repaired], tmp_path / "second")
    assert set(found["histories"]["ann"]) == {*(f"i{number}" for number in range(19)), "gift"}
    assert len(left) == 2
