"""Which worker owns which partition: read from the consumer groups, whose client ids are the workers' addresses."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from producers.kafka_config import client_options
from streams.endpoint.addresses import host_and_port

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

OWNERS_VALID_S = 1.0
_REQUEST_TIMEOUT_S = 2.0
_PREFIX = "alsobought@"
_STABLE = "Stable"
_MEMBERS = 5  # index of the members in a described group: error, group, state, protocol type, protocol, members


class StagePartition(NamedTuple):
    """A partition of a stage: `ingest` has purchases partitions, `tally` item partitions."""

    stage: str
    number: int

    def __str__(self) -> str:
        kind = "purchases" if self.stage == "ingest" else "item"
        return f"{kind} partition {self.number}"


class PartitionOwners(Protocol):
    """Knows the owners of all partitions."""

    async def of(self, partition: StagePartition) -> str | None:
        """Address of the worker that owns a partition; None if no worker does."""

    async def of_all(self) -> dict[StagePartition, str]:
        """Every partition that has an owner."""

    def forget(self) -> None:
        """Look the owners up again before the next answer: those known have proved wrong."""

    async def close(self) -> None:
        """Close the connection to the broker."""


def client_id_of(address: str) -> str:
    """The client id of a worker's consumers in Kafka.

    >>> client_id_of("10.0.0.7:6066"), address_of("alsobought@10.0.0.7:6066"), address_of("kcat")
    ('alsobought@10.0.0.7:6066', '10.0.0.7:6066', None)
    >>> address_of("alsobought@10.0.0.7:80/latest?"), address_of("alsobought@user@10.0.0.7:80")
    (None, None)
    """
    return f"{_PREFIX}{address}"


def address_of(client_id: str) -> str | None:
    """The address in a client id; None if it has none, or one that is not host:port: any member may call itself so."""
    address = client_id.removeprefix(_PREFIX)
    return address if client_id.startswith(_PREFIX) and host_and_port(address) is not None else None


class GroupOwners:
    """The owners of all partitions, as Kafka's group coordinators know them.

    The coordinators are asked at most once a second, in the background; until they reply, the last reply is used. After
    `forget`, the next call waits for a new reply, unless they did not reply within the last second. During a rebalance
    the previous owners are kept: they answer until partitions are assigned again.

    Args:
        broker: host:port.
        groups: consumer group by stage.
    """

    def __init__(self, broker: str, groups: Mapping[str, str]) -> None:
        self._broker = broker
        self._stages = {group: stage for stage, group in groups.items()}
        self._owners: dict[StagePartition, str] = {}
        self._reported_shared: set[str] = set()
        self._read_at = self._failed_at = -OWNERS_VALID_S
        self._forgotten = True
        self._request: asyncio.Task[None] | None = None
        self._admin: Any = None

    async def of(self, partition: StagePartition) -> str | None:
        """Address of the worker that owns a partition; None if no worker does."""
        await self._refresh()
        return self._owners.get(partition)

    async def of_all(self) -> dict[StagePartition, str]:
        """Every partition that has an owner."""
        await self._refresh()
        return dict(self._owners)

    def forget(self) -> None:
        """Look the owners up again before the next answer: those known have proved wrong."""
        self._forgotten = True

    async def _refresh(self) -> None:
        now = time.monotonic()
        due = now - (self._failed_at if self._forgotten else self._read_at) > OWNERS_VALID_S
        if self._request is None and due:
            self._request = asyncio.create_task(self._read_groups())
        if self._forgotten and self._request is not None:
            await asyncio.shield(self._request)

    async def _read_groups(self) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                if self._admin is None:
                    admin = AIOKafkaAdminClient(**client_options(self._broker, aio=True))
                    await admin.start()
                    self._admin = admin
                # one group per request: aiokafka 0.14 misparses the second group of a response
                answers = [await self._admin.describe_consumer_groups([group]) for group in self._stages]
            for (answer,) in answers:
                for group in answer.groups:
                    self._read_group(*group[: _MEMBERS + 1])
            self._forgotten = False
        except (KafkaError, TimeoutError, OSError) as error:
            logger.warning("the owners of partitions are unknown: %r", error)
            self._failed_at = time.monotonic()
            await self.close()
        finally:
            self._read_at = time.monotonic()
            self._request = None

    def _read_group(self, error: int, group: str, state: str, _: str, __: str, members: list[Any]) -> None:
        stage = self._stages[group]
        if error:
            return
        addresses = [address for member in members if (address := address_of(member[1])) is not None]
        shared = {address for address in addresses if addresses.count(address) > 1} - self._reported_shared
        if shared:
            self._reported_shared = set(addresses) & (self._reported_shared | shared)
            logger.warning(
                "%d workers share the address %s: unless one was just restarted, give each its own --advertise",
                len(addresses),
                ", ".join(sorted(shared)),
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
        others = {partition: owner for partition, owner in self._owners.items() if partition.stage != stage}
        self._owners = others | current

    async def close(self) -> None:
        """Close the connection to the broker."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()


class SoleOwner:
    """The owner of all partitions if a worker runs without fencing, which allows no other worker.

    The embedded broker describes groups without client ids and assignments, so it cannot be asked.

    Args:
        address: host:port of the worker.
        purchases: how many purchases partitions there are.
        items: how many item partitions there are.
    """

    def __init__(self, address: str, purchases: int, items: int) -> None:
        self._address = address
        self._partitions = [StagePartition("ingest", number) for number in range(purchases)]
        self._partitions += [StagePartition("tally", number) for number in range(items)]

    async def of(self, partition: StagePartition) -> str | None:
        """Address of the worker; None if there is no such partition."""
        return self._address if partition in self._partitions else None

    async def of_all(self) -> dict[StagePartition, str]:
        """Every partition, and the worker's address."""
        return dict.fromkeys(self._partitions, self._address)

    def forget(self) -> None:
        """Do nothing: the owner never changes."""

    async def close(self) -> None:
        """Do nothing: no connection is open."""
