"""A log as Kafka keeps it: partitions of records, transactions, fencing, and consumer groups."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.errors import ProducerFenced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiokafka import TopicPartition
    from aiokafka.structs import OffsetAndMetadata

    from streams.workers.kafka.producers import OutgoingRecord

TRANSACTION_TIMEOUT_S = 30.0
APPENDED_MS = 1_893_456_000_000
"""When every record is appended: the year 2030, later than any order is."""


class LogRecord(NamedTuple):
    """A record as a consumer gets it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


@dataclass
class Transaction:
    """Open until it is committed or aborted; every partition written then gets a marker."""

    name: str
    epoch: int
    begun: float
    partitions: dict[tuple[str, int], int] = field(default_factory=dict)
    """Those that it wrote to, with the offset of its first record."""
    offsets: dict[tuple[str, TopicPartition], OffsetAndMetadata] = field(default_factory=dict)
    """Of consumer groups, which are committed with it."""
    state: str = "open"


@dataclass
class Entry:
    """An offset of a partition: a record, or the marker of a transaction's end."""

    record: LogRecord | None
    transaction: Transaction | None

    @property
    def committed(self) -> bool:
        return self.transaction is None or self.transaction.state == "committed"


class Broker:
    """The log.

    Args:
        topics: partitions of each.

    Attributes:
        offsets: of consumer groups, as far as transactions have committed them.
    """

    def __init__(self, topics: dict[str, int]) -> None:
        self.partitions: dict[tuple[str, int], list[Entry]] = {
            (topic, number): [] for topic, count in topics.items() for number in range(count)
        }
        self.topics = topics
        self.offsets: dict[tuple[str, TopicPartition], OffsetAndMetadata] = {}
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}
        self._waiting: list[asyncio.Future[None]] = []

    async def news(self, within_s: float) -> None:
        """Return when something was written, or after a while."""
        loop = asyncio.get_running_loop()
        news = loop.create_future()
        self._waiting.append(news)
        timer = loop.call_later(within_s, _resolve, news)
        await news
        timer.cancel()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            _resolve(news)

    # writing

    def append(self, record: OutgoingRecord, transaction: Transaction | None = None) -> int:
        """Append a record; return its offset."""
        place = record.topic, record.partition
        entries = self.partitions[place]
        offset = len(entries)
        stored = LogRecord(*place, offset, record.key, record.value, record.headers, APPENDED_MS)
        entries.append(Entry(stored, transaction))
        if transaction is not None:
            transaction.partitions.setdefault(place, offset)
        self._tell()
        return offset

    def fence(self, name: str) -> int:
        """Start a new epoch of a transactional id: its open transaction is aborted, its earlier epochs are refused."""
        self._end(name, "aborted")
        self._epochs[name] = self._epochs.get(name, -1) + 1
        return self._epochs[name]

    def begin(self, name: str, epoch: int) -> Transaction:
        """Begin a transaction.

        Raises:
            ProducerFenced: a later epoch has begun.
        """
        self.check(name, epoch)
        self._open[name] = Transaction(name, epoch, time.monotonic())
        return self._open[name]

    def check(self, name: str, epoch: int) -> None:
        """Raise ProducerFenced unless the epoch is the last one."""
        self.expire()
        if self._epochs[name] != epoch:
            raise ProducerFenced

    def commit(self, transaction: Transaction) -> None:
        """Commit a transaction.

        Raises:
            ProducerFenced: it was aborted meanwhile.
        """
        self.check(transaction.name, transaction.epoch)
        if transaction.state != "open":
            raise ProducerFenced
        self._end(transaction.name, "committed")

    def abort(self, transaction: Transaction) -> None:
        """Abort a transaction, unless it has ended."""
        if transaction.state == "open":
            self._end(transaction.name, "aborted")

    def expire(self) -> None:
        """Abort transactions that have been open for too long, and fence their producers."""
        for name, transaction in list(self._open.items()):
            if time.monotonic() - transaction.begun > TRANSACTION_TIMEOUT_S:
                self.fence(name)

    def _end(self, name: str, state: str) -> None:
        transaction = self._open.pop(name, None)
        if transaction is not None:
            transaction.state = state
            if state == "committed":
                self.offsets |= transaction.offsets
            for place in sorted(transaction.partitions):
                self.partitions[place].append(Entry(None, transaction))
            self._tell()

    # reading

    def end(self, topic: str, partition: int, *, committed: bool) -> int:
        """The offset up to which a partition can be read."""
        self.expire()
        place = topic, partition
        end = len(self.partitions[place])
        if committed:
            end = min([end, *(each.partitions.get(place, end) for each in self._open.values())])
        return end

    def read(self, topic: str, partition: int, begin: int, end: int, *, committed: bool) -> list[LogRecord]:
        """The records of a range of offsets, without markers and, if `committed`, without aborted ones."""
        return [
            entry.record
            for entry in self.partitions[topic, partition][begin:end]
            if entry.record is not None and (entry.committed or not committed)
        ]

    def committed_records(self, topic: str) -> Iterable[LogRecord]:
        """All committed records of a topic, partition by partition."""
        for number in range(self.topics[topic]):
            end = self.end(topic, number, committed=True)
            yield from self.read(topic, number, 0, end, committed=True)


def _resolve(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


class Group:
    """A consumer group's coordinator: members, their heartbeats, and the partitions that each has.

    Args:
        partitions: how many there are to assign.
        deal: (members, partitions, previous owners) -> partitions of each member.
    """

    def __init__(self, partitions: int, deal: Callable[[list[Any], int], dict[Any, set[int]]]) -> None:
        self.partitions = partitions
        self.members: list[Any] = []
        self.committed: dict[int, int] = {}
        self.generation = 0
        self.wanted = False
        """Whether partitions are to be divided anew."""
        self._deal = deal

    def join(self, member: Any) -> None:  # noqa: ANN401 - a consumer
        """Add a member."""
        if member not in self.members:
            self.members.append(member)
        self.wanted = True

    def leave(self, member: Any) -> None:  # noqa: ANN401
        """Remove a member, which left or was silent for too long."""
        if member in self.members:
            self.members.remove(member)
            self.wanted = True

    def divide(self) -> dict[Any, set[int]]:
        """A new generation: which partitions each member has."""
        self.generation += 1
        self.wanted = False
        return self._deal(self.members, self.partitions) if self.members else {}
