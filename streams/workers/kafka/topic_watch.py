"""Watches the topics while a worker runs: a topic that is deleted, made again or enlarged changes what offsets mean.

Clients follow a topic by its name and would go on reading at the old offset of the new topic, or wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from kafka.errors import KafkaError
from mode import Service

from producers.errors import BrokerUnavailable
from state.errors import OtherLog
from state.log_identity import check_same
from streams.workers.kafka.errors import TopicsUnfit
from streams.workers.kafka.topics import read_identities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from state.log_identity import LogIdentity
    from streams.workers.kafka.topics import Named

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 2.0
MISSING_FOR_S = 20.0  # a broker that restarts may not know a topic for some seconds
_REQUEST_TIMEOUT_S = 5.0
SOURCE_ADVICE = (
    "its copy has orders of both. Send orders to new topics (another --topic-prefix), or delete the copy as well, make "
    "it again (alsobought topics --rekey) and start a new --generation"
)
"""What to do if a topic that is copied by customer was made again."""
IMPORT_ADVICE = "if it has other orders, import it by another --group; else import the topic that has the others"
"""What to do if a topic that is imported was made again."""
_ADVICE = {"source": SOURCE_ADVICE, "imported": IMPORT_ADVICE}
_COUNTED = ("purchases", "co-purchases")


class TopicWatch(Service):
    """Compares the topics with those of the start, and ends the worker if they are others.

    Args:
        broker: host:port.
        topics: their names.
        logs: what they were at the start, by role.
        on_catalogue_replaced: called if the topic `items` was made again.

    Attributes:
        missing: names of the topics that do not exist now.
    """

    def __init__(
        self,
        broker: str,
        topics: Named,
        logs: Mapping[str, LogIdentity],
        on_catalogue_replaced: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.missing: list[str] = []
        self._broker = broker
        self._topics = topics
        self._logs = dict(logs)
        self._on_catalogue_replaced = on_catalogue_replaced
        self._missing_since = 0.0

    @Service.task
    async def _run(self) -> None:
        while not self.should_stop:
            await self.sleep(WATCH_EVERY_S)
            if self.should_stop:
                return
            try:
                found = await asyncio.to_thread(
                    read_identities, self._broker, self._topics, timeout_s=_REQUEST_TIMEOUT_S
                )
            except (KafkaError, BrokerUnavailable, OSError) as error:
                logger.debug("the topics are unknown: %r", error)  # whoever needs the broker reports it
            else:
                self.compare(found, time.monotonic())

    def compare(self, found: Mapping[str, LogIdentity], now: float) -> None:
        """Compare the topics that there are with those of the start.

        Args:
            found: by role; those that do not exist are left out.
            now: in seconds, of a clock that only rises.

        Raises:
            TopicsUnfit: they are others, or one has been missing for long.
        """
        for role, identity in found.items():
            self._compare(role, identity)
        names = self._topics.names()
        missing = [name for role, name in names.items() if role in self._logs and role not in found]
        if missing and not self.missing:
            self._missing_since = now
            logger.error("there is no topic %s any more", ", ".join(missing))
        self.missing = missing
        if missing and now - self._missing_since > MISSING_FOR_S:
            raise TopicsUnfit(
                f"there has been no topic {', '.join(missing)} for {MISSING_FOR_S:.0f} s. What was deleted from "
                "purchases or co-purchases is lost to this generation: make the topics (alsobought topics) and start "
                "a new --generation. Other topics can be made again, and this worker started"
            )

    def _compare(self, role: str, found: LogIdentity) -> None:
        known = self._logs.get(role, found)
        name = self._topics.names()[role]
        if role in _COUNTED:
            try:
                check_same("this worker has read", role, known, found)
            except OtherLog as error:
                raise TopicsUnfit(str(error)) from None
        elif role in _ADVICE:
            if found.log_id != known.log_id:
                raise TopicsUnfit(f"topic {name} was deleted and made again: {_ADVICE[role]}")
        elif role == "items":
            if found.log_id != known.log_id:
                logger.warning("topic %s was made again: the catalogue is read again", name)
                self._on_catalogue_replaced()
                self._logs[role] = found
        elif found.partitions < known.partitions or (role == "related-items" and found.partitions > known.partitions):
            raise TopicsUnfit(
                f"topic {name} has {found.partitions} partitions now, it had {known.partitions}: each belongs to one "
                "partition of what is counted. Delete it and make it with as many as before (alsobought topics)"
            )
        elif role == "related-items" and found.log_id != known.log_id:
            raise TopicsUnfit(
                f"topic {name} was made again, without the lists that were published: start this worker again, and it "
                "publishes all of them"
            )
