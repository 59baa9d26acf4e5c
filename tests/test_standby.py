"""Workers that keep the partitions of others on standby: takeovers cost no recount, and everything stays exact."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from producers.partitioning import item_partition
from state.directory import StateDirectory
from state.settings import CountingSettings
from streams.workers.ingest import Ingest
from streams.workers.kafka.reading import TopicReader
from streams.workers.kafka.stage_service import Membership
from streams.workers.settings import WorkerSettings
from streams.workers.standby import Standbys
from tests.kafka_truth import Truth, differences
from tests.live_workers import ask, of_item
from tests.workers import (
    PATIENCE_S,
    WorkerProcess,
    made_topics,
    published_lists,
    read_topic,
    send_orders,
    wait_until,
    wait_until_current,
)

if TYPE_CHECKING:
    from pathlib import Path

    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker

ORDERS = 300
STAGES = ("ingest", "tally")
DEATHS = 2


class Sending(threading.Thread):
    """Sends orders in the background, some every tenth of a second, until it has sent so many."""

    def __init__(self, kafka: Broker, topics: Topics, first: int, last: int) -> None:
        super().__init__()
        self._parts = [(kafka, topics, number, number + 20) for number in range(first, last, 20)]

    def run(self) -> None:
        """Send them."""
        for part in self._parts:
            send_orders(*part)
            time.sleep(0.1)


def figures(worker: WorkerProcess, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = (worker.status() or {}).get(stage, {"offsets": {}, "standby": {}})
    return found


def shares(worker: WorkerProcess) -> bool:
    """Whether a worker has one of the two partitions of each stage open."""
    return all(len(figures(worker, stage)["offsets"]) == 1 for stage in STAGES)


def up_to_date(worker: WorkerProcess) -> bool:
    """Whether a worker has one partition of each stage on standby, and lacks nothing of it."""
    return all(list(figures(worker, stage)["standby"].values()) == [0] for stage in STAGES)


def taken_over(worker: WorkerProcess, stage: str, number: str) -> int:
    """The offset from which a worker went on with a partition that it opened last."""
    found = re.findall(rf"{stage}: partition {number} is ready, from offset (\d+)", worker.log.read_text())
    return int(found[-1])


def check(kafka: Broker, topics: Topics, worker: WorkerProcess, truth: Truth) -> None:
    """Histories, counts and lists of a stopped worker that owned everything at last, and the lists on the topic."""
    truth.check([worker.state], topics, 2)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []
    assert read_topic(kafka.bootstrap, topics.rejected, committed=True) == [[], []]


def test_a_standby_takes_over_under_load_without_a_recount(kafka: Broker, tmp_path: Path) -> None:
    topics = made_topics(kafka.bootstrap, "standby")
    send_orders(kafka, topics, 0, ORDERS)
    owner = WorkerProcess(kafka.bootstrap, topics, tmp_path / "owner")
    standby = WorkerProcess(kafka.bootstrap, topics, tmp_path / "standby", "--standby")
    with owner, standby:
        wait_until("both own something", lambda: shares(owner) and shares(standby), workers=[owner, standby])
        lines = Truth(kafka.bootstrap, topics, tmp_path / "before").lines
        wait_until_current([owner, standby], lines, 2)
        counted = {stage: figures(owner, stage)["offsets"] for stage in STAGES}
        wait_until("the other half is on standby", lambda: up_to_date(standby), workers=[owner, standby])
        assert all(figures(standby, stage)["standby"].keys() == counted[stage].keys() for stage in STAGES)
        assert figures(owner, "tally")["standby"] == {}

        # it has what the owner has, but the owner answers
        (number,) = counted["tally"]
        item = next(item for item in published_lists(kafka.bootstrap, topics) if item_partition(item, 2) == int(number))
        assert ask(standby, of_item(item, "related")).document["worker"] == owner.admin
        metrics = ask(standby, "/metrics").body.decode()
        assert f'alsobought_standby_lag_records{{kind="items",partition="{number}"}} 0.0' in metrics

        sending = Sending(kafka, topics, ORDERS, 3 * ORDERS)
        sending.start()
        time.sleep(1.0)
        owner.kill()
        sending.join()
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current([standby], truth.lines, 2)
        assert ask(standby, of_item(item, "related")).document["worker"] == standby.admin
        assert standby.stop() == 0

    check(kafka, topics, standby, truth)
    for stage in STAGES:
        for number, offset in counted[stage].items():
            assert taken_over(standby, stage, number) >= offset


def test_partitions_go_to_and_fro_between_standbys_that_die_and_stay_behind(kafka: Broker, tmp_path: Path) -> None:
    topics = made_topics(kafka.bootstrap, "to-and-fro")
    one = WorkerProcess(kafka.bootstrap, topics, tmp_path / "one", "--standby")
    dying = "die_at:after-count,die_at:before-acknowledge"
    two = WorkerProcess(kafka.bootstrap, topics, tmp_path / "two", "--standby", faults=dying)
    sent = itertools.count(0, 20)

    def dies_of_orders() -> bool:
        first = next(sent)
        send_orders(kafka, topics, first, first + 20)
        return not two.running

    with one, two:
        for death in range(DEATHS):
            wait_until("the standby has died", dies_of_orders, workers=[one])
            two.faults = dying if death < DEATHS - 1 else "stand_still"
            two.start()
        wait_until("it is on standby", lambda: shares(two) and up_to_date(two), workers=[one, two])

        # of these it counts what it owns, and nothing that it has on standby
        first = next(sent)
        send_orders(kafka, topics, first, first + ORDERS)
        lines = Truth(kafka.bootstrap, topics, tmp_path / "before").lines
        wait_until_current([one, two], lines, 2)
        counted = {stage: figures(one, stage)["offsets"] for stage in STAGES}
        one.kill()
        wait_until_current([two], lines, 2)
        assert all(taken_over(two, stage, n) < at for stage in STAGES for n, at in counted[stage].items())

        one.start()
        wait_until("they share again", lambda: shares(one) and shares(two), workers=[one, two])
        wait_until("each is on standby", lambda: up_to_date(one), workers=[one, two])
        two.kill()
        send_orders(kafka, topics, first + ORDERS, first + ORDERS + 20)
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current([one], truth.lines, 2)
        assert one.stop() == 0
    check(kafka, topics, one, truth)


async def follow_an_owner(kafka: Broker, topics: Topics, directory: Path) -> list[int]:
    """Offsets to which a standby has counted when its owner had delivered nothing, half, and all of the orders."""
    settings = WorkerSettings(kafka.bootstrap, directory, topics)
    counting = CountingSettings(100, 1)
    orders = read_topic(kafka.bootstrap, topics.purchases)[0]
    found = []
    with StateDirectory(directory / "owner", "live") as one, StateDirectory(directory / "standby", "live") as other:
        owner, follower = Ingest(settings, one, counting), Ingest(settings, other, counting)
        standbys = Standbys(follower, Membership(joined=True), 1, kafka.bootstrap)
        follower.take_standby = standbys.take
        async with TopicReader(kafka.bootstrap) as reader:
            assert await owner.open(0) == 0
            for some in ([], orders[: len(orders) // 2], orders[len(orders) // 2 :]):
                await owner.work({0: some} if some else {}, {})
                await owner.flush()
                delivered = owner.partitions[0].store.purchases_offset
                async with asyncio.timeout(PATIENCE_S):  # what is committed can be read some milliseconds later
                    await standbys._follow_all(reader)
                    while (offset := standbys._open[0].store.purchases_offset) < delivered:
                        await standbys._follow_all(reader)
                found.append(offset)
                assert list(standbys._open[0].store.outbox()) == []
            await owner.close(0)
        assert await follower.open(0) == len(orders)
        await follower.close(0)
    return found


def test_a_standby_counts_only_orders_whose_deltas_are_delivered(kafka: Broker, tmp_path: Path) -> None:
    """Of others it could not know in which parts their owner will deliver them, and would have to be rebuilt."""
    topics = made_topics(kafka.bootstrap, "delivered", purchases=1, items=1)
    send_orders(kafka, topics, 0, 60)

    assert asyncio.run(follow_an_owner(kafka, topics, tmp_path)) == [0, 30, 60]
