"""What operators do to topics. Some of it workers must survive, after the rest they must refuse to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka import KafkaAdminClient
from kafka.admin import NewPartitions

from tests.faults.load import CUSTOMERS
from tests.faults.registry import fault
from tests.faults.world import ITEM_PARTITIONS, PURCHASES
from tests.test_topic_watch import delete, make_again
from tests.workers import read_topic, send_orders

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.world import World


@fault("lists made again")
def lists_again(world: World) -> str:
    """The topic of lists is deleted and made again: all lists are published to it."""
    make_again(world.broker, world.topics, "related-items", ITEM_PARTITIONS)
    world.foreign.clear()
    return ""


@fault("catalogue made again")
def catalogue_again(world: World) -> str:
    """The topic of the catalogue is deleted and made again: workers forget what it had."""
    make_again(world.broker, world.topics, "items")
    world.title = None
    return ""


def refused(world: World, change: Callable[[], None], message: str) -> str:
    """Change something, and expect every worker to end, now and when it is started again, having counted nothing.

    A worker without partitions may hold nothing, and may then begin with the topics as they are: it does not take part.
    """
    before = sum(map(len, read_topic(world.broker.bootstrap, world.topics.co_purchases)))
    workers, world.wanted = [worker for worker in world.wanted if world.counts(worker)], []
    for worker in world.workers:
        if worker not in workers:
            worker.kill()
    change()
    for advice in ("--generation", message):  # while it runs, it may find the records missing before the topic
        for worker in workers:
            if not worker.running:
                worker.start()
            assert worker.wait() == 1, f"it did not refuse: {worker}"
            said = worker.log.read_text(errors="replace")[-20_000:]
            assert advice in said, f"it does not say '{advice}': {worker}"
    after = sum(map(len, read_topic(world.broker.bootstrap, world.topics.co_purchases)))
    assert after <= before, f"{after - before} records of deltas were written all the same"
    return f"{len(workers)} workers refuse"


@fault("partitions added to purchases", fatal=True)
def partitions_added(world: World) -> str:
    """Customers would be in two partitions."""

    def change() -> None:
        admin = KafkaAdminClient(bootstrap_servers=world.broker.bootstrap)
        admin.create_partitions({world.topics.purchases: NewPartitions(PURCHASES + 1)})
        admin.close()

    return refused(world, change, f"with {PURCHASES} partitions, it has {PURCHASES + 1}")


@fault("purchases made again", fatal=True)
def purchases_again(world: World) -> str:
    """Offsets would mean other orders."""

    def change() -> None:
        make_again(world.broker, world.topics, "purchases", PURCHASES)
        send_orders(world.broker, world.topics, 0, 20 * CUSTOMERS)

    return refused(world, change, "it was deleted and made again")


@fault("co-purchases made again", fatal=True)
def deltas_again(world: World) -> str:
    """What was counted would be counted no more."""

    def change() -> None:
        make_again(world.broker, world.topics, "co-purchases", ITEM_PARTITIONS)

    return refused(world, change, "it was deleted and made again")


@fault("purchases deleted", fatal=True)
def purchases_deleted(world: World) -> str:
    """Nothing would ever arrive."""
    return refused(world, lambda: delete(world.broker, world.topics.purchases), "there ")
