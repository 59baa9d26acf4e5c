"""Reaching a broker: with retries, and with a message a person can act on when there is none."""

from __future__ import annotations

import logging
import random
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from producers.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafka import KafkaConsumer, TopicPartition

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


def wait_for_broker(address: str, timeout_s: float) -> None:
    """Return once a broker accepts connections; retries pause twice as long each time, up to LONGEST_PAUSE_S.

    Args:
        address: host:port, several separated by commas; one that answers will do.
        timeout_s: how long to try; at least one attempt is made.

    Raises:
        BrokerUnavailable: none answered in time, or the address is invalid.
    """
    places = [_host_and_port(place) for place in address.split(",")]
    deadline = time.monotonic() + timeout_s
    pause = FIRST_PAUSE_S
    while True:
        for place in places:
            try:
                # a client would log for minutes what a socket tells in microseconds
                socket.create_connection(place, timeout=5).close()
            except OSError as error:
                failure = error
            else:
                return
        if time.monotonic() + pause > deadline:
            raise BrokerUnavailable(
                f"no Kafka broker answers at {address} ({failure.strerror or failure}); tried for {timeout_s:g} s: "
                "start one, or correct --broker"
            )
        logger.warning("no broker answers at %s (%s); trying again", address, failure.strerror or failure)
        time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - so that workers do not return all at once
        pause = min(2 * pause, LONGEST_PAUSE_S)


@contextmanager
def admin_client(address: str, timeout_s: float) -> Iterator[KafkaAdminClient]:
    """An admin client, once a broker answers.

    Raises:
        BrokerUnavailable: none did in time, or what answers does not speak Kafka.
    """
    wait_for_broker(address, timeout_s)
    quieten_client()
    milliseconds = int(max(timeout_s, 5) * 1000)
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=address.split(","), bootstrap_timeout_ms=milliseconds, request_timeout_ms=30_000
        )
    except KafkaError as error:
        raise BrokerUnavailable(f"what answers at {address} is no Kafka broker that we understand: {error}") from None
    try:
        yield admin
    finally:
        admin.close()


def polled(consumer: KafkaConsumer, partition: TopicPartition, end: int) -> Iterator[Any]:
    """The records of an assigned partition from the consumer's position on, at least up to offset `end`.

    The last ones may be beyond it.
    """
    while consumer.position(partition) < end:
        for records in consumer.poll(timeout_ms=500).values():
            yield from records


def quieten_client() -> None:
    """Silence the Kafka clients' logs: they report every retry, and what matters they raise."""
    for name in ("kafka", "aiokafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _host_and_port(place: str) -> tuple[str, int]:
    host, _, port = place.strip().rpartition(":")
    if not host or not port.isdigit():
        raise BrokerUnavailable(f"--broker is {place!r}, not host:port")
    return host, int(port)
