"""Orders sent to a process without Kafka: in the log before they are counted, each once, whatever crashes."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from producers.errors import LogError
from producers.wire import KINDS, encode_order
from state.errors import StorageFailed
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.offline import order_log
from streams.offline.order_log import LogFull, OrderLog, as_record
from streams.offline.rejects import POSTED
from streams.offline.replay import replay
from streams.offline.retrying import retry
from tests.batch_definition import DAY_MS, Line, Order, batch
from tests.crashes import Crash
from tests.log_strategies import BEGIN_MS
from tests.streamed import facts, streamed_facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.crashes import Crashes


def order(customer: str, day: int, items: str, order_id: str | None = None, kind: Any = "purchase") -> Order:  # noqa: ANN401 - a literal
    return Order(customer, BEGIN_MS + day * DAY_MS, tuple(Line(item) for item in items.split()), order_id, kind)


LOG = [
    order("ann", 0, "apple bread cake dates", "1"),
    order("bob", 0, "apple bread", "2"),
    order("ann", 1, "apple bread cake dates", "1"),
    order("ann", 20, "bread", "3", "return"),
    order("cat", 40, "cake dates eggs flour honey", "4"),
    order("bob", 39, "eggs flour", "5"),
    order("bob", 41, "", None, "erase"),
    order("bob", 75, "eggs flour apple", "6"),
    order("cat", 2, "ginger apple", "7"),
]
"""Orders that are sent: one twice, some late, a return and an erasure among them."""
TWICE = {"lines", "duplicates", "rejected"}
"""Of the facts, those that tell whether an order was sent again."""


def record_of(each: Order) -> bytes:
    lines = [(line.item_id, line.quantity) for line in each.lines]
    return encode_order(each.customer_id, each.time, lines, order_id=each.order_id, kind=KINDS[each.type])


def sent(log: OrderLog, orders: Sequence[Order]) -> None:
    """Send orders, all of them together."""
    records = [as_record(record_of(each)) for each in orders]
    log.append(records)
    log.count(records)


class Opened:
    """A state and its log; a process that dies holds neither."""

    def __init__(self, path: Path, file_bytes: int = 600) -> None:
        self.path = path
        self.embedded = Embedded(path / "state")
        self.log = OrderLog(self.embedded, path / "state", path / "orders", file_bytes)

    def close(self) -> None:
        self.log.close()
        self.embedded.close()


def counted_facts(embedded: Embedded) -> dict[str, Any]:
    """What is counted, but for what tells whether something was sent again."""
    return {name: value for name, value in streamed_facts(embedded).items() if name not in TWICE}


def replayed_again(path: Path) -> dict[str, Any]:
    """What another state has once it has counted the files of the log."""
    other = Embedded(path / "other")
    replay(
        other,
        [path / "orders"],
        {"order": "as-it-stands"},
        commit_lines=3,
        rejects=path / "other.jsonl",
    )
    found = streamed_facts(other)
    other.close()
    return found


def expected() -> dict[str, Any]:
    found = facts(batch(LOG, CountingSettings().pair_window), LOG)
    return {name: value for name, value in found.items() if name not in TWICE}


@pytest.mark.parametrize("together", [1, 3, len(LOG)])
def test_the_state_is_that_of_a_replay_of_the_log(tmp_path: Path, together: int) -> None:
    """Whoever loses the state, or wants it counted otherwise, replays the files."""
    opened = Opened(tmp_path)
    for first in range(0, len(LOG), together):
        sent(opened.log, LOG[first : first + together])

    assert counted_facts(opened.embedded) == expected()
    assert streamed_facts(opened.embedded) == replayed_again(tmp_path)
    opened.close()


def test_a_log_that_is_closed_and_opened_again_is_known(tmp_path: Path) -> None:
    """Nothing is counted again, whether the file is new, old or full."""
    for each in LOG:
        opened = Opened(tmp_path)
        before = opened.embedded.purchases_offset
        sent(opened.log, [each])
        assert opened.embedded.purchases_offset == before + 1
        opened.close()

    opened = Opened(tmp_path)
    assert counted_facts(opened.embedded) == expected()
    assert len(list((tmp_path / "orders").glob("*.jsonl"))) > 1
    assert streamed_facts(opened.embedded) == replayed_again(tmp_path)
    opened.close()


def test_a_crash_at_any_step_loses_and_repeats_nothing(
    crashes: Crashes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a record, before and after it is synced, and at each write of its commit.

    Whoever sent the order got no answer, and sends it again.
    """
    write, sync = order_log._write_all, os.fsync

    def crashing_write(file: int, data: bytes) -> None:
        crashes.step(lambda: write(file, data[: len(data) // 2]))
        crashes.step(lambda: write(file, data[len(data) // 2 :]))

    monkeypatch.setattr(order_log, "_write_all", crashing_write)
    monkeypatch.setattr(os, "fsync", lambda file: crashes.step(lambda: sync(file)))
    step, crashed = 0, True
    while crashed:
        step += 1
        path = tmp_path / str(step)
        path.mkdir()
        crashes.arm(step, after=False)
        # whoever erases waits for the answer before the customer orders again
        left, crashed, opened = [LOG[:2], LOG[2:4], LOG[4:6], LOG[6:7], LOG[7:]], False, None
        while left:
            try:
                opened = opened or Opened(path)
                sent(opened.log, left[0])
                del left[0]
            except Crash:
                crashed = True
                crashes.let_go()
                crashes.arm(0, after=False)
                if opened is not None:
                    opened.log.close()
                opened = None
        crashes.arm(0, after=False)
        assert opened is not None
        assert counted_facts(opened.embedded) == expected(), step
        assert streamed_facts(opened.embedded) == replayed_again(path), step
        opened.log.close()
        crashes.let_go()
    assert step > 30, "five times two halves of a record, a sync and the writes of a commit"


def test_a_full_disk_refuses_orders_and_leaves_the_log_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened(tmp_path, file_bytes=1 << 20)
    sent(opened.log, LOG[:1])
    before = opened.log.path.read_bytes()
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(LogFull, match="No space left on device; nothing was counted"):
            opened.log.append([as_record(record_of(LOG[1]))])
    assert opened.log.path.read_bytes() == before

    for each in LOG[1:]:
        sent(opened.log, [each])
    assert counted_facts(opened.embedded) == expected()
    opened.close()


def test_a_disk_that_cannot_sync_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux forgets after a failed sync what was not written, so that a second one would succeed."""
    opened = Opened(tmp_path)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(StorageFailed, match="cannot be synced: Input/output error"):
            opened.log.append([as_record(record_of(LOG[0]))])
    opened.close()


def test_one_process_writes_to_a_log(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    other = Embedded(tmp_path / "second")

    with pytest.raises(LogError, match="being written by another process"):
        OrderLog(other, tmp_path / "second", tmp_path / "orders")

    other.close()
    opened.close()


def test_a_log_that_was_changed_is_refused(tmp_path: Path) -> None:
    """Counting on would mean another log than the one that was counted."""
    opened = Opened(tmp_path, file_bytes=1 << 20)
    for each in LOG[:4]:
        sent(opened.log, [each])
    opened.close()
    file = tmp_path / "orders" / "00001.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"order_id":"3"', b'"order_id":"8"'))

    embedded = Embedded(tmp_path / "state")
    with pytest.raises(LogError, match="has changed since it was counted"):
        OrderLog(embedded, tmp_path / "state", tmp_path / "orders")
    embedded.close()


def test_a_refused_order_is_kept_once_and_can_be_repaired(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    sent(opened.log, LOG)
    bad = b'{"customer_id": "eve", "timestamp": "yesterday", "lines": [{"item_id": "apple"}]}'
    for _ in range(2):
        opened.log.refuse(bad, "timestamp 'yesterday' is no time")
    opened.log.refuse(b"\xff", "is not UTF-8")
    rejects = tmp_path / "state" / "rejected.jsonl"
    kept = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(line["file"], line["reason"]) for line in kept] == [
        (POSTED, "timestamp 'yesterday' is no time"),
        (POSTED, "is not UTF-8"),
    ]

    rejects.write_text(rejects.read_text().replace("yesterday", "2024-05-05"))
    counted = [
        retry(opened.embedded, rejects, {}, commit_lines=10, left=tmp_path / f"left-{time}.jsonl").lines
        for time in range(2)
    ]
    assert counted == [1, 0]
    assert "eve" in opened.embedded.histories.customers
    opened.close()


def test_an_erasure_takes_the_customer_out_of_what_is_rejected(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    sent(opened.log, LOG[:3])
    for customer in ("ann", "bob"):
        opened.log.refuse(b'{"customer_id": "%s", "item_id": "tea"}' % customer.encode(), "timestamp is missing")
    sent(opened.log, [order("cat", 3, "tea"), order("ann", 3, "tea", kind="return")])
    rejects = tmp_path / "state" / "rejected.jsonl"
    assert [json.loads(line)["reason"] for line in rejects.read_text().splitlines()][-1:] == [
        "returned item is not held"
    ] or "tea" in rejects.read_text()

    sent(opened.log, [order("ann", 4, "", kind="erase")])

    assert "ann" not in rejects.read_text()
    assert "bob" in rejects.read_text()
    opened.close()
