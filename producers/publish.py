"""Orders onto Kafka: the only producer code that talks to a broker."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, NamedTuple, Self

import xxhash
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from producers.connection import admin_client, polled
from producers.errors import BrokerRefuses, BrokerUnavailable, LogError, PublishingFailed, TopicMissing
from producers.kafka_config import client_options
from producers.logs.reading import open_format, open_log, plain_format
from producers.logs.survey import RowDigest
from producers.orders import DAY_MS, Rejection
from producers.partitioning import customer_partition
from producers.resending import LOG_HEADER, again_headers
from producers.rights import grant, missing_operations
from producers.wire import encode_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from producers.log_format import LogFormat
    from producers.orders import Orders

_LONGEST_LOOK = 1 << 16  # records looked at from the end of a partition for the last of a log


class Publisher:
    """An idempotent producer of one topic that waits for every acknowledgement before it closes.

    Args:
        broker: host:port.
        topic: where to.
        timeout_s: how long to wait for a broker, and for each acknowledgement.

    Raises:
        BrokerUnavailable: no broker answers.
        TopicMissing: the topic is not there.
    """

    def __init__(self, broker: str, topic: str, timeout_s: float = 30) -> None:
        with admin_client(broker, timeout_s) as admin:
            (described,) = admin.describe_topics([topic])
            if missing := missing_operations(described, ["WRITE"]):
                raise BrokerRefuses(f"this user may not write. Grant it: {grant(missing, 'topic', topic)}")
            if described["error_code"] == UnknownTopicOrPartitionError.errno:
                raise TopicMissing(f"there is no topic {topic} at {broker}; make it: alsobought topics --partitions N")
        self.topic = topic
        self._timeout_s = timeout_s
        self._failure: Exception | None = None
        try:
            self._producer = KafkaProducer(
                **client_options(broker, aio=False),
                enable_idempotence=True,
                acks="all",
                linger_ms=5,
                batch_size=256 << 10,
                max_block_ms=int(timeout_s * 1000),
                delivery_timeout_ms=int(max(timeout_s, 35) * 1000),
            )
            self.partitions = len(self._producer.partitions_for(topic))
        except KafkaError as error:
            raise BrokerUnavailable(f"{broker}: {error}") from None

    def partition_of(self, key: bytes) -> int:
        """The partition of records with this key."""
        return customer_partition(key, self.partitions)

    def send(
        self,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        """Hand a record over; it is on its way, not there. Without a value it is a tombstone.

        Raises:
            PublishingFailed: an earlier one was not taken.
        """
        if self._failure is not None:
            raise PublishingFailed(f"topic {self.topic}: {self._failure!r}") from self._failure
        try:
            # never the event's time: Kafka refuses records from the future, and judges retention by it
            future = self._producer.send(self.topic, key=key, value=value, partition=partition, headers=headers or [])
        except KafkaError as error:
            raise PublishingFailed(f"topic {self.topic}: {error!r}") from error
        future.add_errback(self._failed)

    def _failed(self, error: Exception) -> None:
        self._failure = self._failure or error

    def flush(self) -> None:
        """Return once the broker has everything.

        Raises:
            PublishingFailed: it does not.
        """
        try:
            self._producer.flush(timeout=self._timeout_s)
        except KafkaError as error:
            raise PublishingFailed(f"topic {self.topic}: {error!r}") from error
        if self._failure is not None:
            raise PublishingFailed(f"topic {self.topic}: {self._failure!r}") from self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._producer.close(timeout=self._timeout_s if kind is None else 1)


class Published(NamedTuple):
    """How far a replay onto a topic has come."""

    path: Path
    log: str
    """What tells it from other logs."""
    fraction: float
    """Of the file, 0 to 1."""
    orders: int
    """Sent in this run, over all files."""
    lines: int
    rejected: list[Rejection]
    """Lines rejected since the last report: they are not sent."""


class Pace:
    """Lets orders pass at a multiple of the speed at which they happened.

    Args:
        speed: seconds of event time to a second of ours; None: as fast as can be.
        clock, sleep: of the real world, unless a test says otherwise.
    """

    def __init__(
        self,
        speed: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._began: tuple[float, int] | None = None

    def wait(self, time_ms: int) -> None:
        """Return when it is the turn of an event of `time_ms`; those out of order pass at once.

        >>> waits = []
        >>> pace = Pace(60.0, clock=lambda: 100.0, sleep=waits.append)
        >>> pace.wait(0), pace.wait(120_000), waits
        (None, None, [2.0])
        """
        if self._speed is None:
            return
        if self._began is None:
            self._began = (self._clock(), time_ms)
        due = self._began[0] + (time_ms - self._began[1]) / 1000 / self._speed
        left = due - self._clock()
        if left > 0:
            self._sleep(left)


def publish_logs(
    broker: str,
    topic: str,
    paths: Iterable[Path],
    columns: Mapping[str, str],
    *,
    formats: Mapping[Path, LogFormat] | None = None,
    names: Mapping[Path, str] | None = None,
    pace: Pace | None = None,
    timeout_s: float = 30,
    latest_ms: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    copy: str = "",
) -> Iterator[Published]:
    """Send logs to a topic; each goes on where the topic says that it stopped. Yields how far it has come.

    Every record tells its log and row, so that the topic itself knows what of a log is there: a replay that was
    interrupted, by whatever, and is started again sends the rest, each order once. Order ids travel as the numbers that
    stand for them, `producers.orders.order_key`.

    Args:
        broker: host:port.
        topic: of the orders.
        paths: the log files, in order.
        columns: field -> column of the files.
        formats: how files are read that are not plain logs.
        names: where files are from that were fetched; others are known by their paths.
        pace: how fast.
        timeout_s: how long to wait for the broker.
        latest_ms: lines later than this are rejected; by default a day from now.
        stop: asked after each batch whether to stop.
        copy: the topic to which orders are copied by customer, if there is one: it tells what has expired.

    Raises:
        LogError: a file cannot be read; what came before it is sent.
        TopicMissing: the topic is not there.
        PublishingFailed: the broker did not take a record.
        BrokerUnavailable: no broker answers.
    """
    pace = pace or Pace(None)
    latest = int(time.time() * 1000) + DAY_MS if latest_ms is None else latest_ms
    sent = lines = 0
    with Publisher(broker, topic, timeout_s) as publisher:
        for path in paths:
            log_format = (formats or {}).get(path) or plain_format(path, columns)
            identity = _Identity(path, log_format, (names or {}).get(path, str(path.resolve())))
            rows = _rows_there(broker, publisher, identity, copy)
            log = open_log(path, log_format, min(rows), latest)
            digest = identity.at(min(rows))
            for batch in log:
                digest.update(batch.content, batch.end)
                name = identity.name(digest)
                for order in range(len(batch.orders)):
                    pace.wait(int(batch.orders.time[order]))
                    count = _send(publisher, batch.orders, order, log_format, name, rows)
                    sent += count > 0
                    lines += count
                yield Published(path, identity.log, log.fraction, sent, lines, batch.rejected)
                if stop():
                    return


def _send(publisher: Publisher, orders: Orders, order: int, log_format: LogFormat, log: str, rows: list[int]) -> int:
    """Send one order unless it is there; return how many lines it has."""
    partition = publisher.partition_of(orders.customers[orders.customer[order]].encode())
    after = int(orders.after[order])
    if after <= rows[partition]:
        return 0
    key, record = encoded_order(orders, order, log_format)
    publisher.send(key, record, partition=partition, headers=[(LOG_HEADER, f"{log}:{after}".encode())])
    return int(orders.start[order + 1] - orders.start[order]) or 1


def encoded_order(orders: Orders, order: int, log_format: LogFormat) -> tuple[bytes, bytes]:
    """Key and value of the record of one of some orders; its order id is the number that stands for it."""
    customer_id = orders.customers[orders.customer[order]]
    begin, end = orders.start[order], orders.start[order + 1]
    ids = [orders.items[item] for item in orders.item[begin:end].tolist()]
    number = int(orders.key[order])
    record = encode_order(
        customer_id,
        int(orders.time[order]),
        zip(ids, orders.quantity[begin:end].tolist(), strict=True),
        order_id=str(number) if number else None,
        kind=int(orders.kind[order]),
        log_format=log_format,
    )
    return customer_id.encode(), record


def send_repaired(publisher: Publisher, log_format: LogFormat, orders: Orders, order: int, ids: Sequence[str]) -> None:
    """Send one of some orders, of rejected lines with these ids; the format says of which types they are.

    Raises:
        PublishingFailed: an earlier record was not taken.
    """
    key, record = encoded_order(orders, order, log_format)
    publisher.send(key, record, partition=publisher.partition_of(key), headers=again_headers(ids))


class _Identity:
    """What tells a log from others: a digest of its first rows, which each record on the topic names.

    Args:
        path: the file.
        log_format: how it is read.
        name: where it is from.
    """

    def __init__(self, path: Path, log_format: LogFormat, name: str) -> None:
        self._path = path
        self._format = log_format
        self._first = self.at(1).hexdigest()[:16]
        self._place = xxhash.xxh3_64_hexdigest(name.encode())

    @property
    def log(self) -> str:
        """What tells the log from others, as long as its first row stays."""
        return f"rows-{self._first}-{self._place}"

    def at(self, rows: int) -> RowDigest:
        """The digest of the first rows; of all, if there are fewer."""
        digest = RowDigest()
        if rows:
            for content in open_format(self._path, self._format).contents():
                digest.update((content,), min(rows, content.end))
                if content.end >= rows:
                    break
        return digest

    def name(self, digest: RowDigest) -> str:
        """What a record says of the log that it is from: "rows-...:number of rows"."""
        return f"{self.log}-{digest.hexdigest()}:{digest.rows}"

    def is_of(self, name: str) -> bool:
        """Whether a record with this name is from the log.

        Raises:
            LogError: it is from a log at the same path that began alike, and differs from what is there now.
        """
        text, _, length = name.partition(":")
        if not text.startswith("rows-"):  # as earlier versions wrote them: of the first MiB
            return _first_bytes_digest(self._path, int(length)) == text
        _, first, place, _ = text.split("-")
        if first != self._first:
            return False
        same = self.name(self.at(int(length))).rpartition("-")[2] == name.rpartition("-")[2]
        if not same and place == self._place:
            raise LogError(
                f"{self._path} has changed since it was sent, before row {int(length):,}: sending on would skip or "
                "repeat lines. Restore the file; if it is another log that begins alike, give it another name"
            )
        return same


def _first_bytes_digest(path: Path, length: int) -> str:
    """SHA-256 of a file's first bytes; "" if it has fewer."""
    with path.open("rb") as file:
        head = file.read(length)
    return hashlib.sha256(head).hexdigest() if len(head) == length else ""


def _rows_there(broker: str, publisher: Publisher, identity: _Identity, copy: str) -> list[int]:
    """The row behind a log's last order in each partition; 0 where none is."""
    consumer = KafkaConsumer(**client_options(broker, aio=False), enable_auto_commit=False)
    try:
        has_copy = copy in consumer.topics()
        rows = []
        for number in range(publisher.partitions):
            partition = TopicPartition(publisher.topic, number)
            row = _last_row(consumer, partition, identity)
            if row is None and has_copy and consumer.beginning_offsets([partition])[partition]:
                row = _last_row_copied(consumer, copy, identity, publisher, number)
            rows.append(row or 0)
        return rows
    finally:
        consumer.close()


def _last_row_copied(
    consumer: KafkaConsumer, copy: str, identity: _Identity, publisher: Publisher, number: int
) -> int | None:
    """The row behind a log's last order in a partition, by the copy of the topic: its keys are the customers."""
    every = sorted(consumer.partitions_for_topic(copy) or set())
    places = [number] if len(every) == publisher.partitions else every  # customers are placed alike
    rows = [
        _last_row(
            consumer, TopicPartition(copy, each), identity, lambda key: publisher.partition_of(key or b"") == number
        )
        for each in places
    ]
    return max((row for row in rows if row is not None), default=None)


def _last_row(
    consumer: KafkaConsumer,
    partition: TopicPartition,
    identity: _Identity,
    is_wanted: Callable[[bytes | None], bool] = lambda _: True,
) -> int | None:
    """The row behind a log's last order in a partition, looked for from the end on."""
    consumer.assign([partition])
    begin, upper = consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition]
    known: dict[str, bool] = {}
    records_back = 256
    while upper > begin:
        lower = max(begin, upper - records_back)
        consumer.seek(partition, lower)
        found = None
        for record in polled(consumer, partition, upper):
            header = dict(record.headers).get(LOG_HEADER)
            if record.offset >= upper or header is None or not is_wanted(record.key):
                continue
            name, _, row = header.decode().rpartition(":")
            if name not in known:
                known[name] = identity.is_of(name)
            if known[name]:
                found = int(row)
        if found is not None:
            return found
        upper, records_back = lower, min(4 * records_back, _LONGEST_LOOK)
    return None
