"""Refuses to start a worker at an address that another worker of the generation advertises already.

Workers reach each other at the addresses in their client ids. Of two that share one, only one would ever be asked.
"""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from mode import Service

from producers.kafka_config import client_options
from streams.workers.kafka.errors import AddressUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

logger = logging.getLogger(__name__)

_PAUSE_S = 0.2
_GRACE_S = 3.0  # Kafka looks at sessions at intervals
_MEMBERS = 5  # index of the members in a described group: error, group, state, protocol type, protocol, members
_CLIENT_ID = 1  # index of the client id in a member


class AddressGuard(Service):
    """Starts once no consumer of the groups has our client id.

    A worker that was killed is a member until its session ends. It would hold up its successor anyway: Kafka waits for
    it before it assigns partitions.

    Args:
        broker: host:port.
        groups: the consumer groups of the generation's stages.
        client_id: of this worker's consumers, which have not joined yet.
        address: that this worker advertises.
        stages: how many of the stages run here, each as a member of its group.
        session_timeout_ms: after which a member that died is none.
    """

    def __init__(
        self, broker: str, groups: Sequence[str], client_id: str, address: str, *, stages: int, session_timeout_ms: int
    ) -> None:
        super().__init__()
        self._broker = broker
        self._groups = groups
        self._client_id = client_id
        self._address = address
        self._stages = stages
        self._patience_s = session_timeout_ms / 1000 + _GRACE_S

    async def on_start(self) -> None:
        """Wait until the address is free.

        Raises:
            AddressUnavailable: another worker, which lives, has it.
        """
        async with self._admin() as admin:
            await self._wait_for_members(admin, 0)

    @Service.task
    async def _look_again(self) -> None:
        """Two workers that start at the same time see each other only once they have joined."""
        await self.sleep(self._patience_s)
        if not self.should_stop:
            async with self._admin() as admin:
                await self._wait_for_members(admin, self._stages)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(**client_options(self._broker, aio=True))
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def _wait_for_members(self, admin: AIOKafkaAdminClient, most: int) -> None:
        """Return once at most so many consumers of the groups have our client id.

        Raises:
            AddressUnavailable: more have it for longer than the session of one that died.
        """
        deadline = time.monotonic() + self._patience_s
        while not self.should_stop and await self._members(admin) > most:
            if time.monotonic() > deadline:
                raise AddressUnavailable(
                    f"another worker that advertises {self._address} is running, in the consumer groups "
                    f"{', '.join(self._groups)}: give each worker an --advertise, or --admin, of its own, at which the "
                    "others reach it"
                )
            await self.sleep(_PAUSE_S)

    async def _members(self, admin: AIOKafkaAdminClient) -> int:
        """How many consumers of the groups have our client id."""
        count = 0
        for group in self._groups:
            try:
                (answer,) = await admin.describe_consumer_groups([group])
            except KafkaError as error:  # a group that never was has no coordinator yet
                logger.debug("the members of %s are unknown: %r", group, error)
                continue
            for described in answer.groups:
                count += sum(member[_CLIENT_ID] == self._client_id for member in described[_MEMBERS])
        return count
