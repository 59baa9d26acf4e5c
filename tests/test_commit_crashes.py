"""A crash at every step of a commit: after reopening, the state continues as if nothing had happened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from state import count_store, history_store
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.offline.rejects import RejectsFile
from streams.offline.replay import replay
from streams.offline.retrying import retry
from tests.batch_definition import DAY_MS, Line, Order, batch
from tests.crashes import Crash, Crashes
from tests.log_strategies import BEGIN_MS, ITEMS, as_orders, logs
from tests.streamed import facts, spread_order, streamed_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from producers.logs.reading import Log
    from producers.orders import Rejection

COUNTING = CountingSettings(pair_window=3, item_partitions=2)
ALONE = CountingSettings(pair_window=3)


def order(customer: str, day: int, items: str, order_id: str | None = None, kind: Any = "purchase") -> Order:  # noqa: ANN401 - a literal
    return Order(customer, BEGIN_MS + day * DAY_MS, tuple(Line(item) for item in items.split()), order_id, kind)


LOG = [
    spread_order(ITEMS),
    order("ann", 0, "apple bread cake dates", "1"),
    order("bob", 0, "apple bread"),
    order("ann", 1, "apple bread cake dates", "1"),
    order("ann", 20, "bread ginger", "2", "return"),
    order("cat", 40, "cake dates eggs flour honey"),
    order("ann", 41, "eggs flour"),
    order("bob", 41, "", None, "erase"),
    order("bob", 75, "eggs flour apple"),
    order("cat", 75, "eggs", None, "return"),
]


@pytest.fixture(name="crashes")
def _crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crashes]:
    monkeypatch.setattr(count_store, "_PAIRS_PER_SLICE", 5)
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 2)
    crashes = Crashes(monkeypatch)
    yield crashes
    crashes.let_go()


def count_to_the_end(path: Path, log: Sequence[Order], orders_per_commit: int) -> Embedded:
    """Continue from the state's offset."""
    embedded = Embedded(path, COUNTING)
    while embedded.purchases_offset < len(log):
        end = min(embedded.purchases_offset + orders_per_commit, len(log))
        embedded.count(as_orders(log[embedded.purchases_offset : end], embedded.purchases_offset), end)
    return embedded


def count_with_crash(crashes: Crashes, path: Path, log: Sequence[Order], orders_per_commit: int) -> bool:
    """Count until it crashes or is done; return whether it crashed."""
    try:
        count_to_the_end(path, log, orders_per_commit)
    except Crash:
        return True
    else:
        return False
    finally:
        crashes.let_go()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("then", [1, 4], ids=["smaller commits then", "larger commits then"])
def test_a_crash_at_any_write_of_a_commit_changes_nothing(
    crashes: Crashes, tmp_path: Path, after: bool, then: int
) -> None:
    """Stage A's write, each B store's, the acknowledgement: the state recovers from whatever is on disk.

    A run after the crash may cut the log otherwise.
    """
    expected = facts(batch(LOG, COUNTING.pair_window), LOG)
    step = 0
    crashed = True
    while crashed:
        step += 1
        path = tmp_path / str(step)
        crashes.arm(step, after=after)
        crashed = count_with_crash(crashes, path, LOG, 3)
        crashes.arm(0, after=False)

        embedded = count_to_the_end(path, LOG, then)

        assert streamed_facts(embedded) == expected
        assert list(embedded.histories.outbox()) == []
        crashes.let_go()
    assert step > 16, "four commits of four writes each"


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs(min_size=4, max_size=15), points=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=6))
def test_repeated_crashes_change_nothing(
    crashes: Crashes,
    tmp_path_factory: pytest.TempPathFactory,
    log: list[Order],
    points: list[tuple[int, bool]],
) -> None:
    """A crash during the recovery from another is easily overlooked."""
    log = [spread_order(ITEMS), *log]
    path = tmp_path_factory.mktemp("crashes")
    for step, after in points:
        crashes.arm(step, after=after)
        count_with_crash(crashes, path, log, 2)
    crashes.arm(0, after=False)

    embedded = count_to_the_end(path, log, 5)

    assert streamed_facts(embedded) == facts(batch(log, COUNTING.pair_window), log)
    crashes.let_go()


def published(embedded: Embedded) -> list[dict[str, list[tuple[str, list[list[float]]]]]]:
    """Published lists, by item id and to the last bit."""
    return [
        {
            store.names.text(number): [
                (store.names.text(item), [column[row].tolist() for column in stored[1:]])
                for row, item in enumerate(stored.item.tolist())
            ]
            for number, stored in related.every()
        }
        for store, related in zip(embedded.counts, embedded.related, strict=True)
    ]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_while_lists_are_written_leaves_them_to_be_written_again(
    crashes: Crashes, tmp_path: Path, after: bool
) -> None:
    """If half the lists are old, the store must not count as exact."""
    embedded = count_to_the_end(tmp_path, LOG[:-2], 3)
    list(embedded.publish())
    crashes.let_go()
    embedded = count_to_the_end(tmp_path, LOG, 3)
    crashes.arm(10_000, after=False)
    list(embedded.publish())
    steps, expected = crashes.steps, published(embedded)
    crashes.let_go()

    for step in (1, 2, steps // 2 - 1, steps // 2, steps // 2 + 1, steps - 1, steps):
        embedded = Embedded(tmp_path, COUNTING)
        for related in embedded.related:
            related.write([(number, stored._replace(score=stored.score + 1)) for number, stored in related.every()])
        crashes.arm(step, after=after)
        with pytest.raises(Crash):
            list(embedded.publish())
        crashes.let_go()

        crashes.arm(0, after=False)
        embedded = Embedded(tmp_path, COUNTING)
        list(embedded.publish())

        assert published(embedded) == expected
        crashes.let_go()


CSV = """customer_id,item_id,timestamp,quantity,type
ann,apple,2024-02-17,1,
ann,,2024-02-17,1,
bob,bread,2024-02-17,1,return
bob,bread,2024-02-17,0,
bob,cake,2024-02-17,1,
ann,cake,yesterday,1,
cat,dates,2024-02-17,1,return
cat,dates,2024-02-17,1,
ann,apple,2024-02-18,1,return
ann,apple,2024-02-18,1,return
"""
REJECTED = [1, 2, 3, 5, 6, 9]


@pytest.mark.parametrize("how", ["before", "after", "in the middle of"])
def test_the_rejects_file_has_each_rejected_line_once_wherever_the_crash_is(
    crashes: Crashes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is not part of the state: lines that the state does not include have to be removed from it."""
    log = tmp_path / "orders.csv"
    log.write_text(CSV)
    write = RejectsFile.write
    cut: list[Path] = []

    def crashing_write(file: RejectsFile, log: Log, digest: str, rejections: list[Rejection]) -> None:
        if not rejections:
            return
        try:
            crashes.step(lambda: write(file, log, digest, rejections))
        except Crash:
            if how == "in the middle of":
                size = file.path.stat().st_size
                file.path.write_bytes(file.path.read_bytes()[: size - 9])
                cut.append(file.path)
            raise

    monkeypatch.setattr(RejectsFile, "write", crashing_write)
    step = 0
    crashed = True
    while crashed:
        step += 1
        rejects, path = tmp_path / f"{step}.jsonl", tmp_path / str(step)
        crashes.arm(step, after=how != "before")
        crashed = False
        try:
            replay(Embedded(path, ALONE), [log], {}, commit_lines=2, rejects=rejects)
        except Crash:
            crashed = True
        crashes.let_go()
        crashes.arm(0, after=False)

        replay(Embedded(path, ALONE), [log], {}, commit_lines=2, rejects=rejects)
        crashes.let_go()

        assert [json.loads(line)["row"] for line in rejects.read_text().splitlines()] == REJECTED
    assert step > 15, "five commits of two or three writes and the file"
    assert bool(cut) == (how == "in the middle of")


@pytest.mark.parametrize("after", [False, True])
def test_repaired_lines_count_once_wherever_the_crash_is(crashes: Crashes, tmp_path: Path, after: bool) -> None:
    """Counted twice without order ids, or gone from both files, a line would be noticed by nobody."""
    log = tmp_path / "orders.csv"
    log.write_text(CSV)
    expected: tuple[object, list[object]] | None = None
    step = 0
    crashed = True
    while crashed:
        path, rejects, left = (tmp_path / f"{step}{ending}" for ending in ("", ".jsonl", ".left.jsonl"))
        replay(Embedded(path, ALONE), [log], {}, commit_lines=2, rejects=rejects)
        crashes.let_go()
        text = rejects.read_text().replace("yesterday", "2024-02-19").replace(r"\"quantity\":\"0\"", r"\"quantity\":1")
        lines = [line for line in text.splitlines(keepends=True) if json.loads(line)["row"] in (1, 3, 5)]
        rejects.write_text("".join(lines))  # a return that is not held is read, and rejected, each time it is retried
        if step:
            crashes.arm(step, after=after)
        crashed = False
        try:
            retry(Embedded(path, ALONE), rejects, {}, commit_lines=1, left=left)
        except Crash:
            crashed = True
        crashes.let_go()
        crashes.arm(0, after=False)

        retry(Embedded(path, ALONE), rejects, {}, commit_lines=1, left=left)
        crashes.let_go()

        embedded = Embedded(path, ALONE)
        kept = [json.loads(line)["id"] for line in left.read_text().splitlines()]
        found = (streamed_facts(embedded), kept)
        crashes.let_go()
        expected = expected or found
        assert found == expected
        assert len(set(kept)) == len(kept) > 0
        crashed = crashed or not step
        step += 1
    assert step > 5
