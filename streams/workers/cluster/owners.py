"""Which worker owns which partition: read from the consumer groups, whose client ids are the workers' addresses."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

KNOWN_FOR_S = 1.0
_ASKING_S = 2.0
_PREFIX = "alsobought@"
_STABLE = "Stable"
_MEMBERS = 5  # index of the members in a described group: error, group, state, protocol type, protocol, members


class StagePartition(NamedTuple):
    """A partition of a stage: `ingest` has purchases partitions, `tally` item partitions."""

    stage: str
    partition: int

    def __str__(self) -> str:
        kind = "purchases" if self.stage == "ingest" else "item"
        return f"{kind} partition {self.partition}"


class PartitionOwners(Protocol):
    """Knows the owners of all partitions."""

    async def of(self, place: StagePartition) -> str | None:
        """Address of the worker that owns a partition; None if nobody does."""

    async def of_all(self) -> dict[StagePartition, str]:
        """Every partition that has an owner."""

    def forget(self) -> None:
        """Ask again before the next answer: what is known has proved wrong."""

    async def close(self) -> None:
        """Close the connection to the broker."""


def client_id_of(address: str) -> str:
    """The client id of a worker's consumers in Kafka.

    >>> client_id_of("10.0.0.7:6066"), address_of("alsobought@10.0.0.7:6066"), address_of("kcat")
    ('alsobought@10.0.0.7:6066', '10.0.0.7:6066', None)
    """
    return f"{_PREFIX}{address}"


def address_of(client_id: str) -> str | None:
    """The address in a client id; None if it has none."""
    return client_id.removeprefix(_PREFIX) if client_id.startswith(_PREFIX) else None


class GroupOwners:
    """The owners of all partitions, as Kafka's group coordinators know them.

    The coordinators are asked at most once a second, in the background; meanwhile the last answer serves. After
    `forget` the next question waits for a new answer. During a rebalance the previous owners stay: they answer until
    others are assigned.

    Args:
        broker: host:port.
        groups: stage -> its consumer group.
    """

    def __init__(self, broker: str, groups: Mapping[str, str]) -> None:
        self._broker = broker
        self._stages = {group: stage for stage, group in groups.items()}
        self._owners: dict[StagePartition, str] = {}
        self._reported_twice: set[str] = set()
        self._known_at = -KNOWN_FOR_S
        self._forgotten = True
        self._asking: asyncio.Task[None] | None = None
        self._admin: Any = None

    async def of(self, place: StagePartition) -> str | None:
        """Address of the worker that owns a partition; None if nobody does."""
        await self._refresh()
        return self._owners.get(place)

    async def of_all(self) -> dict[StagePartition, str]:
        """Every partition that has an owner."""
        await self._refresh()
        return dict(self._owners)

    def forget(self) -> None:
        """Ask again before the next answer: what is known has proved wrong."""
        self._forgotten = True

    async def _refresh(self) -> None:
        now = time.monotonic()
        if self._asking is None and (self._forgotten or now - self._known_at > KNOWN_FOR_S):
            self._asking = asyncio.create_task(self._ask())
        if self._forgotten and self._asking is not None:
            await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_ASKING_S):
                if self._admin is None:
                    admin = AIOKafkaAdminClient(bootstrap_servers=self._broker)
                    await admin.start()
                    self._admin = admin
                # one at a time: of several groups in one answer aiokafka 0.14 reads the second in the wrong place
                answers = [await self._admin.describe_consumer_groups([group]) for group in self._stages]
            for (answer,) in answers:
                for group in answer.groups:
                    self._take(*group[: _MEMBERS + 1])
            self._forgotten = False
        except (KafkaError, TimeoutError, OSError) as error:
            logger.warning("the owners of partitions are unknown: %r", error)
            await self.close()
        finally:
            self._known_at = time.monotonic()
            self._asking = None

    def _take(self, error: int, group: str, state: str, _: str, __: str, members: list[Any]) -> None:
        stage = self._stages[group]
        if error:
            return
        addresses = [address for member in members if (address := address_of(member[1])) is not None]
        twice = {address for address in addresses if addresses.count(address) > 1} - self._reported_twice
        if twice:
            self._reported_twice |= twice
            logger.warning(
                "%d workers are known as %s: unless one was just restarted, give each an --advertise of its own",
                len(addresses),
                ", ".join(sorted(twice)),
            )
        if state != _STABLE and members:
            return
        current = {
            StagePartition(stage, partition): address
            for _, client_id, _, _, assignment in members
            if (address := address_of(client_id)) is not None and assignment
            for _, partitions in ConsumerProtocolMemberAssignment.decode(assignment).assignment
            for partition in partitions
        }
        self._owners = {place: owner for place, owner in self._owners.items() if place.stage != stage} | current

    async def close(self) -> None:
        """Close the connection to the broker."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()


class SoleOwner:
    """The owner of all partitions where a worker runs without fencing: there is no other worker.

    The embedded broker describes groups without client ids and assignments, so it cannot be asked.

    Args:
        address: host:port of the worker.
        purchases: how many purchases partitions there are.
        items: how many item partitions there are.
    """

    def __init__(self, address: str, purchases: int, items: int) -> None:
        self._address = address
        self._places = [StagePartition("ingest", number) for number in range(purchases)]
        self._places += [StagePartition("tally", number) for number in range(items)]

    async def of(self, place: StagePartition) -> str | None:
        """Address of the worker; None if there is no such partition."""
        return self._address if place in self._places else None

    async def of_all(self) -> dict[StagePartition, str]:
        """Every partition, and the worker's address."""
        return dict.fromkeys(self._places, self._address)

    def forget(self) -> None:
        """Nothing changes: it stays the owner."""

    async def close(self) -> None:
        """Nothing is open."""
