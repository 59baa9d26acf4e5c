"""Reaching a broker: with retries, and with a message a person can act on when there is none."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from producers.errors import BrokerRefuses, BrokerUnavailable
from producers.kafka_config import client_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafka import KafkaConsumer, TopicPartition

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
_KNOCK_TIMEOUT_S = 5
_BOOTSTRAP_S = 6
_CORRELATION = b"also"
_API_VERSIONS = b"\x00\x00\x00\x0a\x00\x12\x00\x00" + _CORRELATION + b"\xff\xff"
"""A request, version 0, without a client id."""
_TLS_ALERT = b"\x15\x03"


def wait_for_broker(address: str, timeout_s: float) -> tuple[str, int]:
    """Wait until a broker accepts connections; retries pause twice as long each time, up to LONGEST_PAUSE_S.

    Args:
        address: host:port, several separated by commas; one that answers will do.
        timeout_s: how long to try; at least one attempt is made.

    Returns:
        Host and port of the one that answered.

    Raises:
        BrokerUnavailable: none answered in time, or the address is invalid.
        BrokerRefuses: one answers, but its certificate is not accepted, or it does not speak as we do.
    """
    places = [_host_and_port(place) for place in address.split(",")]
    deadline = time.monotonic() + timeout_s
    pause = FIRST_PAUSE_S
    while True:
        for place in places:
            try:
                _knock(address, place)  # a client would log for minutes what a socket tells in microseconds
            except OSError as error:
                failure = error
            else:
                return place
        if time.monotonic() + pause > deadline:
            raise BrokerUnavailable(
                f"no Kafka broker answers at {address} ({failure.strerror or failure}); tried for {timeout_s:g} s: "
                "start one, or correct --broker"
            )
        logger.warning("no broker answers at %s (%s); trying again", address, failure.strerror or failure)
        time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - so that workers do not return all at once
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _knock(address: str, place: tuple[str, int]) -> None:
    """Connect, and ask what every broker answers to everybody: which requests it knows.

    Raises:
        OSError: it does not answer, perhaps not yet.
        BrokerRefuses: it never will.
    """
    where = f"{place[0]}:{place[1]}"
    context = client_options(address, aio=False).get("ssl_context")
    with socket.create_connection(place, timeout=_KNOCK_TIMEOUT_S) as plain:
        try:
            connection = plain if context is None else context.wrap_socket(plain, server_hostname=place[0])
            connection.sendall(_API_VERSIONS)
            answer = connection.recv(8)
        except ssl.SSLCertVerificationError as error:
            raise BrokerRefuses(
                f"the certificate of {where} is not accepted: {error.verify_message}. If it is the right broker, name "
                "the certificate of its authority in ssl.truststore.location, as PEM"
            ) from None
        except ssl.SSLError as error:
            if "ALERT" in str(error.reason) or "CERTIFICATE_REQUIRED" in str(error.reason):
                raise BrokerRefuses(
                    f"{where} refuses our certificate ({error.reason}): set ssl.keystore.location to one that it trusts"
                ) from None
            raise BrokerRefuses(
                f"{where} does not speak TLS ({error.reason}), but security.protocol says so: is it the port of "
                "another listener?"
            ) from None
    if answer[:2] == _TLS_ALERT:
        raise BrokerRefuses(f"{where} speaks TLS: set security.protocol=SSL or SASL_SSL in --kafka-config")
    if not answer:
        raise ConnectionResetError(0, "it closes the connection at once; does it speak TLS, or want a certificate?")
    if answer[4:8] != _CORRELATION:
        raise BrokerRefuses(f"what answers at {where} is no Kafka broker: it says {answer!r}")


async def _sign_in(address: str, place: tuple[str, int]) -> None:
    """Show a broker our credentials; the admin client would try wrong ones again and again, and not say why.

    Raises:
        BrokerRefuses: they are not accepted.
        BrokerUnavailable: the broker does not answer.
    """
    from aiokafka import errors  # noqa: PLC0415 - loaded for brokers that ask
    from aiokafka.conn import create_conn  # noqa: PLC0415

    options = client_options(address, aio=True)
    del options["bootstrap_servers"]
    try:
        connection = await create_conn(*place, **options, request_timeout_ms=1000 * _BOOTSTRAP_S)
    except (errors.SaslAuthenticationFailed, errors.UnsupportedSaslMechanismError) as error:
        why = str(error) if isinstance(error, errors.SaslAuthenticationFailed) else "it has another sasl.mechanism"
        raise BrokerRefuses(f"{address} does not accept our credentials: {why}") from None
    except (errors.KafkaError, OSError) as error:
        raise BrokerUnavailable(f"{address} speaks Kafka, but does not let us sign in: {error!r}") from None
    connection.close()


@contextmanager
def admin_client(address: str, timeout_s: float) -> Iterator[KafkaAdminClient]:
    """An admin client, once a broker answers.

    Raises:
        BrokerUnavailable: none did in time, or what answers does not speak Kafka.
    """
    place = wait_for_broker(address, timeout_s)
    quieten_client()
    try:
        options = client_options(address, aio=False)
        if "sasl_mechanism" in options:
            asyncio.run(_sign_in(address, place))
        admin = KafkaAdminClient(**options, bootstrap_timeout_ms=1000 * _BOOTSTRAP_S, request_timeout_ms=30_000)
    except KafkaError as error:
        raise BrokerUnavailable(
            f"{address} speaks Kafka, but does not tell us of its cluster: {error}. If it asks who we are, set "
            "security.protocol and sasl.mechanism in --kafka-config"
        ) from None
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
