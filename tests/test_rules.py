"""The version of the rules of validation: stored with every state, and raised whenever a record counts otherwise."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from producers.fields import FieldReader
from producers.log_format import LogFormat
from producers.logs.reading import open_log
from producers.wire import OrderDecoder
from state.rocks import Rocks, WriteBatch
from state.settings import RULES, CountingSettings
from streams.engine.embedded import Embedded, settings_of
from tests.commands import output_of, refused

if TYPE_CHECKING:
    from pathlib import Path

    from producers.orders import Orders, Rejection

LATEST_MS = 1_800_000_000_000
OUTCOMES_OF_RULES = {2: "1ee13ed538fbacc5"}
"""Version of the rules -> a digest of what `outcomes` are by it."""

VALUES: dict[str, list[object]] = {
    "customer_id": [
        "ann",
        " ann ",
        '="0007"',
        "'007",
        "NULL",
        "\\N",
        "",
        None,
        0,
        -1,
        7.0,
        7.5,
        "4.0E+12",
        "12E4",
        True,
    ],
    "item_id": ["tea", "a\0b", "x" * 512, "x" * 513, "n/a", "17.0", "1e+16", {"a": 1}],
    "timestamp": ["2023-01-05", "2023-01-05T10:11:12.5Z", 1_672_900_000, "1672900000000", "5.1.2023", "1989-12-31", ""],
    "quantity": [1, "2", 2.0, "0.35", 1.5, 0, -2, "x", None, 1_000_000_000, 1_000_000_001, "1,5", "3 pcs"],
    "order_id": ["7", None, "NULL", "1.5e+10", 7],
    "type": ["PURCHASE", "sale", "refund", "Return", "erase", "gift", "", None, "view"],
}
RECORDS: list[dict[str, object]] = [
    {"lines": []},
    {"lines": [{"item_id": "tea"}, {"item_id": ""}, {"item_id": "rye", "quantity": 0}]},
    {"lines": [{"item_id": "tea", "quantity": 1}, {"item_id": "rye", "quantity": -1}]},
    {"lines": [{"item_id": "tea"}], "item_id": "tea"},
    {"lines": [{"item_id": str(number)} for number in range(10_001)]},
    {"type": "erase", "item_id": "tea"},
]
FORMATS = [
    LogFormat(),
    LogFormat(negative_is_return=True, quantity_units=("pcs",), decimal_mark=","),
    LogFormat(purchases=("sale",), missing=("0", "-1"), guests="order", excluded_items=("rye", "17*")),
]


def told(orders: Orders, rejected: list[Rejection]) -> list[object]:
    """Orders and where rejections stand, as JSON has them; words of reasons may change."""
    columns = (orders.customer, orders.time, orders.kind, orders.key, orders.start, orders.item, orders.quantity)
    return [
        orders.customers,
        orders.items,
        *[column.tolist() for column in columns],
        [line.position for line in rejected],
    ]


def outcomes(directory: Path) -> list[object]:
    """What records, lines and orders count as that are odd, each in its own way."""
    plain = {"customer_id": "ann", "timestamp": 1_672_900_000}
    lines = [{**plain, "item_id": "tea", name: value} for name, values in VALUES.items() for value in values]
    records = [json.dumps(record).encode() for record in [*lines, *[{**plain, **record} for record in RECORDS]]]
    found: list[object] = []
    for log_format in FORMATS:
        for number, record in enumerate([*records, b"{", b"[]", b'{"customer_id": "\xff"}']):
            orders, _, rejected = OrderDecoder().decode([record], [number], FieldReader(log_format, LATEST_MS))
            found.append(told(orders, rejected))
    log = directory / "orders.csv"
    log.write_text(
        "customer_id,item_id,timestamp,quantity,order_id,type\n"
        + "".join(
            f"{customer},{item},2023-01-{1 + number % 20:02},{quantity},{order},{kind}\n"
            for number, (customer, item, quantity, order, kind) in enumerate(
                (customer, item, quantity, order, kind)
                for order in ["", "1", "1", "2", *map(str, range(3, 70)), "1"]
                for customer in ["ann", "ann", "bob", ""]
                for item, quantity, kind in [("tea", 2, ""), ("tea", 1, ""), ("rye", 1, "refund"), ("tea", 0, "")]
            )
        )
    )
    embedded = Embedded(directory / "state", CountingSettings(pair_window=3))
    for batch in open_log(log, None, latest_ms=LATEST_MS):
        found.append(told(batch.orders, batch.rejected))
        found.append(embedded.count(batch.orders, batch.end, len(batch.rejected)).tolist())
    [counts] = embedded.counts
    found.append([counts.lines, counts.duplicates, counts.rejected, counts.holding])
    embedded.close()
    return found


def test_a_change_of_what_a_record_counts_as_raises_the_version(tmp_path: Path) -> None:
    """Two versions of the rules in one state give counts that no log gives, and nobody would notice."""
    digest = hashlib.sha256(json.dumps(outcomes(tmp_path)).encode()).hexdigest()

    assert OUTCOMES_OF_RULES[RULES] == digest[:16], (
        "a record counts as something else than before: if that is meant, raise RULES in state/settings.py, say there "
        f"what is new, and add its number here with {digest[:16]!r}"
    )


def written(path: Path, text: str) -> Path:
    path.write_text("customer_id,item_id,timestamp\n" + text)
    return path


def age(state: Path, *, documents: bool) -> None:
    """Make a state one of an earlier version, which kept no rules, and perhaps no documents about its logs."""
    for store in ("histories-0", "counts-0"):
        rocks = Rocks(state / store)
        settings = json.loads(rocks.get(b"msettings") or b"")
        del settings["rules"]
        batch = WriteBatch(raw_mode=True)
        batch.put(b"msettings", json.dumps(settings | {"format": 1}).encode())
        for key, _ in [] if documents else rocks.scan(b"l"):
            batch.delete(key)
        rocks.write(batch)
        rocks.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return written(tmp_path / "orders.csv", "ann,tea,2024-01-01\nann,rye,2024-01-01\nbob,tea,2024-01-02\n")


@pytest.fixture
def state(tmp_path: Path, log: Path) -> Path:
    output_of("replay", log, "--state-dir", tmp_path / "state")
    return tmp_path / "state"


def test_a_state_of_other_rules_is_not_counted_on_and_the_message_has_the_commands(state: Path, log: Path) -> None:
    age(state, documents=False)

    message = refused("replay", log, "--state-dir", state)

    assert f"was counted by validation rules 1, this version of alsobought counts by rules {RULES}" in message
    assert f"alsobought replay LOG... --state-dir {state}-rules-{RULES}" in message
    assert f"--generation state-rules-{RULES}" in message


def test_a_state_of_other_rules_answers_is_exported_and_erases(state: Path, log: Path) -> None:
    """Nobody may be locked out of their own lists by an upgrade, or be kept from an erasure."""
    age(state, documents=False)

    assert json.loads(output_of("related", "tea", "--state-dir", state, "--json"))["as_of"]["lines"] == 3
    output_of("export", "--state-dir", state, "--out", state.parent / "lists.jsonl")
    output_of("erase", "ann", "--state-dir", state)
    output_of("audit", "--state-dir", state)

    assert "rules 1" in refused("replay", log, "--state-dir", state), "it has not become one of today's rules"


def test_a_state_that_keeps_documents_about_its_logs_has_the_rules_of_today(state: Path, log: Path) -> None:
    age(state, documents=True)
    log.write_text(log.read_text() + "cy,tea,2024-01-03\n")

    assert "1 lines read" in output_of("replay", log, "--state-dir", state)

    assert settings_of(state) == CountingSettings(rules=RULES)
    rocks = Rocks(state / "histories-0", read_only=True)
    assert json.loads(rocks.get(b"msettings") or b"")["rules"] == RULES, "the next commit says so"
    rocks.close()


def test_an_earlier_version_refuses_the_states_of_this_one(state: Path) -> None:
    """It knows logs by other names, would not find them, and would count them again."""
    for store in ("histories-0", "counts-0"):
        rocks = Rocks(state / store, read_only=True)
        assert json.loads(rocks.get(b"msettings") or b"")["format"] == 3
        rocks.close()
