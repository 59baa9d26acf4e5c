"""Sorted logs read as one: however a log is divided among files, the counts are those of the whole."""

from __future__ import annotations

import json
import random
import resource
import shutil
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.log_format import LogFormat
from producers.logs.reading import open_log
from producers.logs.sorting import sort_log
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.offline.replay import replay
from tests.replayed import exported, in_memory
from tests.streamed import histories, popularity
from tests.test_formats_same import logs, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.written_formats import Row

State = tuple[dict[str, Any], list[tuple[str, str]], bytes]
"""Histories and popularity, reasons and records of rejected lines, and all related lists."""


@contextmanager
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=in_memory()))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def counted(
    where: Path,
    calls: Sequence[Sequence[Path]],
    options: dict[str, Any] | None = None,
    *,
    commit_lines: int = 5000,
    stops: Sequence[int] = (),
) -> State:
    """Count files into a new state, sorted, each call by itself; the first calls stop after so many commits."""
    embedded = Embedded(where / "state", CountingSettings())
    rejects = where / "rejected.jsonl"
    for number, paths in enumerate(calls):
        commits = iter(range(stops[number] if number < len(stops) else 10**6, -1, -1))
        stop = partial(_none_left, commits)
        how = {"order": "sort", **(options or {})}
        replay(embedded, paths, how, commit_lines=commit_lines, rejects=rejects, stop=stop)
    facts = {"histories": histories(embedded.histories), **popularity(embedded.counts[0])}
    lists = exported(embedded, where / "export.jsonl")
    embedded.close()
    lines = map(json.loads, rejects.read_text().splitlines() if rejects.exists() else [])
    return facts, sorted((line["reason"], json.dumps(line["record"])) for line in lines), lists


def _none_left(numbers: Iterator[int]) -> bool:
    return next(numbers, 0) == 0


def written(path: Path, rows: Sequence[Row]) -> Path:
    path.write_bytes(plain(list(rows)).content)
    return path


@settings(max_examples=12)
@given(rows=logs(), files=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_a_log_divided_in_any_way_gives_the_bytes_of_the_whole(rows: list[Row], files: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - hypothesis chooses the seed
    rows = list(dict.fromkeys(rows))  # equal lines may make equal files, and these are one log
    shares: list[list[Row]] = [[] for _ in range(files)]
    for row in chance.sample(rows, len(rows)):
        chance.choice(shares).append(row)
    shares = [share for share in shares if share]

    with directory() as first, directory() as second, directory() as third:
        whole = counted(first, [[written(first / "whole.csv", rows)]])
        paths = [written(second / f"{number}.csv", share) for number, share in enumerate(shares)]
        divided = counted(second, [paths])
        paths = [Path(shutil.copy(path, third / path.name)) for path in chance.sample(paths, len(paths))]
        stops = [1, 2, 1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("producers.logs.sorting.GROUP_ROWS", 2)  # as if each file were large
            patch.setattr("producers.logs.merging.ROWS_SORTED_AT_ONCE", 3)
            resumed = counted(third, [paths] * 4, commit_lines=1, stops=stops)

    assert divided == whole
    assert resumed == whole


def line(customer: str, item: str, time: str, order: str = "") -> str:
    return f"{customer},{item},{time},{order}\n"


HEADER = "customer_id,item_id,timestamp,order_id\n"


def test_an_order_divided_between_files_that_grow_counts_as_in_the_whole(tmp_path: Path) -> None:
    """Each file ends within an order; what is added goes on with it, and is no repetition of an order id."""
    first = [line("ann", "milk", "2023-01-01", "a1")], [line("bob", "tea", "2023-01-01", "b1")]
    more = [line("ann", "salt", "2023-01-01", "a1")], [line("bob", "zinc", "2023-01-01", "b1")]
    calls = []
    for name in ("growing", "whole"):
        (tmp_path / name).mkdir()
    paths = [tmp_path / "growing" / name for name in ("a.csv", "b.csv")]
    embedded = Embedded(tmp_path / "growing" / "state", CountingSettings())
    for path, lines in zip(paths, first, strict=True):
        path.write_text(HEADER + "".join(lines))
    settings_ = {"order": "sort"}
    replay(embedded, paths, settings_, commit_lines=1, rejects=tmp_path / "rejected.jsonl")
    for path, lines, added in zip(paths, first, more, strict=True):
        path.write_text(HEADER + "".join(lines + added))
    replay(embedded, paths, settings_, commit_lines=1, rejects=tmp_path / "rejected.jsonl")
    grown = popularity(embedded.counts[0])
    embedded.close()
    calls.append(paths)

    whole, _, _ = counted(tmp_path / "whole", calls)

    assert grown == {name: whole[name] for name in grown}
    assert grown["lines"] == 4


def test_rejected_lines_tell_their_own_file(tmp_path: Path) -> None:
    for name, time in (("a", "2023-01-01"), ("b", "2023-01-02")):
        lines = [line("ann", f"{name}{number}", time) for number in range(3)]
        (tmp_path / f"{name}.csv").write_text(HEADER + "".join([*lines, line("ann", "", time)]))
    embedded = Embedded(tmp_path / "state", CountingSettings())
    rejects = tmp_path / "rejected.jsonl"

    replay(embedded, [tmp_path / "b.csv", tmp_path / "a.csv"], {"order": "sort"}, commit_lines=2, rejects=rejects)

    embedded.close()
    found = [json.loads(text) for text in rejects.read_text().splitlines()]
    assert [(Path(one["file"]).name, one["row"], one["place"]) for one in found] == [
        ("a.csv", 0, "row 0"), ("b.csv", 0, "row 0"),
    ]  # fmt: skip
    assert len({one["log"] for one in found}) == 2


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    rows = HEADER + "".join(line("ann", item, "2023-01-01") for item in ("milk", "tea", "oil"))
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(rows)

    facts, _, _ = counted(tmp_path, [[tmp_path / "a.csv", tmp_path / "b.csv"]])

    assert facts["lines"] == 3


def test_more_files_may_overlap_than_a_process_has_open_by_default(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.csv" for number in range(60)]
    for number, path in enumerate(paths):
        lines = [line("ann", f"item {number}", f"2023-01-0{day}") for day in (1, 9)]
        path.write_text(HEADER + "".join(lines))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (sum(1 for _ in Path("/proc/self/fd").iterdir()) + 40, hard))
    try:
        facts, _, _ = counted(tmp_path, [paths])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert facts["lines"] == 120


NESTED = [
    {"customer_id": customer, "timestamp": f"2023-01-0{day}", "lines": [{"item_id": item} for item in items]}
    for day, customer, items in [
        (1, "ann", "da"), (1, "ann", "b"), (1, "ann", "b"), (1, "bob", "cab"), (2, "ann", "ac"), (1, "ann", "dab"),
    ]
]  # fmt: skip


@pytest.mark.parametrize("name", ["orders.jsonl", "orders.json"])
def test_sorted_lines_of_a_nested_record_stay_one_order(tmp_path: Path, name: str) -> None:
    """Without an order id, lines of several records at one time were mixed, each an order of its own."""
    found = []
    for seed in range(3):
        records = random.Random(seed).sample(NESTED, len(NESTED))  # noqa: S311 - so that the test repeats
        text = "".join(json.dumps(record) + "\n" for record in records) if name.endswith("l") else json.dumps(records)
        for where, parts in (("whole", [text]), ("divided", _halves(records, name))):
            place = tmp_path / f"{seed}-{where}"
            place.mkdir()
            paths = [place / f"{number}-{name}" for number in range(len(parts))]
            for path, part in zip(paths, parts, strict=True):
                path.write_text(part)
            options = {} if name.endswith("l") else {"columns": {"item_id": ("lines[].item_id",)}}
            found.append(counted(place, [paths], options))

    assert all(one == found[0] for one in found)
    assert found[0][0]["histories"]["ann"]["b"][3] == 3


def test_a_sorted_copy_has_as_many_orders_as_records(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    path.write_text(json.dumps(NESTED))
    log_format = LogFormat("json", columns={"item_id": ("lines[].item_id",)}, order="sort")

    log = open_log(*sort_log(path, log_format, tmp_path))

    assert sum(len(batch.orders) for batch in log) == len(NESTED)


def _halves(records: Sequence[dict[str, Any]], name: str) -> list[str]:
    halves = records[:2], records[2:]
    if name.endswith("l"):
        return ["".join(json.dumps(record) + "\n" for record in half) for half in halves]
    return [json.dumps(half) for half in halves]
