"""Snapshots that workers write by themselves, and from which those without a state, or with a damaged one, go on."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from state.recovery import stores_aside
from state.snapshot_places import SnapshotPlace
from tests.commands import refused
from tests.damaged_files import garble
from tests.kafka_truth import Truth, differences
from tests.live_workers import ask
from tests.test_retention import delete
from tests.workers import (
    WorkerProcess,
    is_current,
    made_topics,
    published_lists,
    send_orders,
    wait_until,
    wait_until_current,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

ORDERS = 60
STORES = ("histories-0", "counts-0", "related-0")


def metric(worker: WorkerProcess, name: str) -> float:
    found = re.search(rf"^{name} (.*)$", ask(worker, "/metrics").body.decode(), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def test_a_worker_writes_snapshots_and_goes_on_from_them(kafka: Broker, tmp_path: Path) -> None:
    """With nothing but the option: after a lost disk, a damaged store, and records that were deleted meanwhile."""
    topics = made_topics(kafka.bootstrap, "scheduled", purchases=1, items=1)
    place = SnapshotPlace(str(tmp_path / "place"), topics.generation)
    options = ("--snapshot-every", "1s", "--snapshot-to", str(tmp_path / "place"), "--snapshots-kept", "2")
    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", *options)

    def more(first: int) -> Truth:
        send_orders(kafka, topics, first, first + ORDERS)
        return Truth(kafka.bootstrap, topics, tmp_path / f"truth {first}")

    def counted_and_kept(lines: int) -> None:
        """Wait until everything is counted, and in the newest snapshot."""
        wait_until_current([worker], lines, 1)
        newest = {name: place.newest_first(name)[:1] for name in STORES}
        wait_until(
            "there are newer snapshots",
            lambda: all(place.newest_first(name)[:1] != newest[name] for name in STORES),
            workers=[worker],
        )

    whole = made_topics(kafka.bootstrap, "scheduled-whole", purchases=1, items=1)
    send_orders(kafka, whole, 0, 2 * ORDERS)
    truth = Truth(kafka.bootstrap, whole, tmp_path / "truth")

    def everything_is_counted() -> bool:
        status = worker.status() or {"ingest": {"offsets": {}}}
        return bool(status["ingest"]["offsets"] == {"0": 2 * ORDERS} and is_current([worker], truth.lines, 1))

    with worker:
        counted_and_kept(more(0).lines)
        assert 0 <= metric(worker, "alsobought_snapshot_age_seconds") < 60
        assert metric(worker, "alsobought_snapshot_failures_total") == 0
        assert worker.stop() == 0
        assert all(len(place.newest_first(name)) == 2 for name in STORES)
        assert not (worker.state / "live" / "unfinished-snapshots").exists()

        # records that the snapshot has are deleted, and the state with them: only a snapshot can go on
        delete(kafka, topics.purchases, {"0": ORDERS // 2})
        shutil.rmtree(worker.state / "live")
        worker.start()
        send_orders(kafka, topics, ORDERS, 2 * ORDERS)
        wait_until("the orders after it are counted", everything_is_counted, workers=[worker])
        worker.kill()
        for name in STORES[:2]:
            garble(max((worker.state / "live" / name).glob("MANIFEST-*"), key=lambda file: file.stat().st_size))
        worker.start()
        wait_until("it has recovered", everything_is_counted, workers=[worker])
        assert {path.name for path in stores_aside(worker.state / "live")} == {f"{name}-1" for name in STORES[:2]}
        assert worker.stop() == 0
    truth.check([worker.state], topics, 1)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []


def test_a_snapshot_that_fails_is_counted_and_stops_nothing(kafka: Broker, tmp_path: Path) -> None:
    topics = made_topics(kafka.bootstrap, "scheduled-nowhere", purchases=1, items=1)
    (tmp_path / "file").write_text("no directory")
    options = ("--snapshot-every", "1s", "--snapshot-to", str(tmp_path / "file" / "place"))
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", *options) as worker:
        send_orders(kafka, topics, 0, ORDERS)
        wait_until_current([worker], Truth(kafka.bootstrap, topics, tmp_path / "truth").lines, 1)
        wait_until(
            "failures are counted", lambda: metric(worker, "alsobought_snapshot_failures_total") > 0, workers=[worker]
        )
        assert worker.stop() == 0
    assert "no snapshot of" in worker.log.read_text() or "cannot be listed" in worker.log.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--snapshot-every", "6h"), "says when, and nothing says where: add --snapshot-to"),
        (("--snapshot-every", "6", "--snapshot-to", "x"), "'6' is no time above 0 with its unit, such as 90s"),
        (("--snapshot-every", "0s", "--snapshot-to", "x"), "'0s' is no time above 0"),
        (("--snapshot-to", "ftp://x/y"), "ftp:// is no place for snapshots"),
        (("--restore-from", "nowhere"), "--restore-from is 'nowhere', which is no directory"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """Before a worker that believes to have snapshots runs for a year without any."""
    assert message in refused("worker", "--broker", "127.0.0.1:9", "--state-dir", tmp_path, *options)
