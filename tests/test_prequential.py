"""Prequential scores equal an offline recomputation of their definition, wherever a replay was interrupted."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.logs.reading import open_log
from state import count_store, history_store
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.offline import windows
from streams.offline.replay import replay
from streams.quality.offers import offers
from streams.quality.prequential import Prequential, is_sampled
from tests.batch_definition import Line, Order
from tests.commands import called, output_of, refused
from tests.log_strategies import as_orders, logs
from tests.prequential_definition import SEEDS, Score, in_sample, scores
from tests.shops import Purchase, shop, write_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

thorough = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ONE_IN = 3
NOTHING_SCORED = 1


@pytest.fixture
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_store, "_PAIRS_PER_SLICE", 5)
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 2)


@pytest.fixture
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 40 rows, at first every 200 rows, from row 450 on every 600."""
    monkeypatch.setattr(windows, "WINDOW_ROWS", 40)
    monkeypatch.setattr(windows, "_OFTEN", 200)
    monkeypatch.setattr(windows, "_SELDOM", 600)
    monkeypatch.setattr(windows, "_OFTEN_UNTIL", 450)


def opens(row: int) -> int | None:
    """First row of the small window that contains a row; None if none does."""
    begin = row // 200 * 200 if row < 450 else row // 600 * 600
    return begin if row - begin < 40 else None


def agree(found: Mapping[int, Sequence[int]], wanted: Mapping[int, Score]) -> None:
    """Assert that the hit counts of each day are among those that the definition allows."""
    assert {day: counts[0] for day, counts in found.items()} == {day: score.orders for day, score in wanted.items()}
    for day, (_, hits, bestseller_hits) in found.items():
        assert hits in wanted[day].hits
        assert bestseller_hits in wanted[day].bestseller_hits


def prequential(embedded: Embedded, one_in: int) -> Prequential:
    return Prequential(partial(offers, embedded.counts, seeds=SEEDS), embedded.settings.pair_window, one_in)


@thorough
@given(
    log=logs(min_size=4),
    cuts=st.sets(st.integers(1, 29), max_size=6),
    one_in=st.sampled_from([1, 1, 2]),
    partitions=st.integers(1, 2),
)
@pytest.mark.usefixtures("_small_slices")
def test_scores_are_those_of_the_definition(log: list[Order], cuts: set[int], one_in: int, partitions: int) -> None:
    """Orders of one customer in one commit see earlier ones; returns, duplicates and erasures apply in log order."""
    begins = sorted({0, *(cut for cut in cuts if cut < len(log))})
    with tempfile.TemporaryDirectory() as directory:
        embedded = Embedded(Path(directory), CountingSettings(item_partitions=partitions))
        for begin, end in zip(begins, [*begins[1:], len(log)], strict=True):
            embedded.count(as_orders(log[begin:end], begin), end, scorer=prequential(embedded, one_in).score)
        found = embedded.histories.hit_counts
        embedded.close()
        again = Embedded(Path(directory))
        stored = again.histories.hit_counts
        again.close()

    sampled = [place for place, order in enumerate(log) if in_sample(order.customer_id, place, one_in)]
    agree(found, scores(log, begins, sampled))
    assert stored == found


def test_the_sample_is_one_order_in_so_many_and_nested() -> None:
    """A larger sample contains the smaller one."""
    places = [(f"c{row % 97}", row) for row in range(32_000)]

    few = {place for place in places if is_sampled(*place, 32)}
    many = {place for place in places if is_sampled(*place, 8)}

    assert few < many
    assert 900 < len(few) < 1100
    assert 3800 < len(many) < 4200


def replayed(
    state_dir: Path, log: Path, *, commit_lines: int, stop_after: int | None = None
) -> dict[int, tuple[int, ...]]:
    """The hit counts of a replay into `state_dir`, stopped after this many commits."""
    embedded = Embedded(state_dir)
    left = stop_after

    def stop() -> bool:
        nonlocal left
        left = None if left is None else left - 1
        return left == 0

    replay(
        embedded,
        [log],
        {},
        commit_lines=commit_lines,
        rejects=state_dir / "rejected.jsonl",
        prequential=prequential(embedded, ONE_IN),
        stop=stop,
    )
    hit_counts = dict(embedded.histories.hit_counts)
    embedded.close()
    return hit_counts


@pytest.mark.usefixtures("_small_windows")
def test_a_replay_scores_what_an_offline_recomputation_does(tmp_path: Path) -> None:
    """Whatever the size of its commits, and wherever it was interrupted."""
    purchases = shop(seed=3, customers=70, items=60)
    log = write_log(tmp_path / "log.csv", purchases)

    whole = replayed(tmp_path / "whole", log, commit_lines=10_000)
    small = replayed(tmp_path / "small", log, commit_lines=7)
    for _ in range(60):
        resumed = replayed(tmp_path / "resumed", log, commit_lines=30, stop_after=1)

    orders = [Order(one.customer, one.time, (Line(one.item),)) for one in purchases]
    inside = [row for row in range(len(orders)) if opens(row) is not None]
    sampled = [row for row in inside if in_sample(orders[row].customer_id, row, ONE_IN)]
    wanted = scores(orders, [row for row in inside if opens(row) == row], sampled)
    agree(whole, wanted)
    assert sum(counts[0] for counts in whole.values()) > 20
    assert sum(counts[1] for counts in whole.values()) > 0
    assert small == whole
    assert resumed == whole


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("start", [0, 150, 205, 399])
@pytest.mark.parametrize("batch_rows", [1, 13, 150, 10_000])
def test_a_window_is_one_commit_however_the_log_is_read(tmp_path: Path, start: int, batch_rows: int) -> None:
    """If two batches shared a window, its first half would influence the scores of the second."""
    rows = [Purchase(10**12 + row, f"c{row // 3}", f"i{row}") for row in range(1500)]
    path = write_log(tmp_path / "log.csv", rows)

    batches = windows.whole_windows(open_log(path, None, start, batch_rows=batch_rows))
    commits = [commit for batch in batches for commit in windows.commits(batch, 50, windows=True)]

    assert [commit.begin for commit, _ in commits] == [start, *(commit.end for commit, _ in commits[:-1])]
    assert commits[-1][0].end == len(rows)
    positions = [commit.orders.position.tolist() for commit, _ in commits]
    assert [row for commit in positions for row in commit] == list(range(start, len(rows)))
    inside = [commit for commit, (_, scored) in zip(positions, commits, strict=True) if scored]
    wanted: dict[int, list[int]] = {}
    for row in range(start, len(rows)):
        begin = opens(row)
        if begin is not None:
            wanted.setdefault(begin, []).append(row)
    assert inside == list(wanted.values())


@pytest.mark.usefixtures("_small_windows")
def test_rejected_lines_in_and_around_windows_are_kept_once(tmp_path: Path) -> None:
    lines = [f"c{row % 40},{'' if row % 5 == 2 else f'i{row % 11}'},{10**12 + row}" for row in range(700)]
    path = tmp_path / "log.csv"
    path.write_text("customer_id,item_id,timestamp\n" + "\n".join(lines) + "\n")

    replayed(tmp_path / "state", path, commit_lines=30)

    rejected = (tmp_path / "state" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in rejected] == [row for row in range(700) if row % 5 == 2]


def test_the_command_prints_the_scores_and_quality_tells_them_again(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", shop(customers=1300, items=300, days=90))  # beyond row 16,384
    state = tmp_path / "state"

    printed = output_of("replay", log, "--state-dir", state, "--prequential", "--score-one-in", "4")
    again = output_of("quality", "--state-dir", state)
    document = json.loads(output_of("quality", "--state-dir", state, "--json"))

    assert again in printed
    assert f"all     {document['orders']:>8,}" in again
    assert document["orders"] == sum(day["orders"] for day in document["days"]) > 0
    assert document["hits"] == sum(day["hits"] for day in document["days"])


def test_quality_of_a_state_without_scores_says_how_to_get_them(tmp_path: Path) -> None:
    output_of("replay", write_log(tmp_path / "log.csv", shop()), "--state-dir", tmp_path / "state")

    result = called("quality", "--state-dir", tmp_path / "state")

    assert result.exit_code == NOTHING_SCORED
    assert "--prequential" in result.stderr


def test_prequential_is_refused_where_nothing_is_counted(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", shop())

    assert "needs --state-dir" in refused("replay", log, "--broker", "127.0.0.1:1", "--prequential")
