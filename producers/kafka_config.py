"""How a Kafka cluster is reached: the properties of a Java client, as every Kafka user has them, for both our clients.

`SecuredBroker` is an address that carries them: it goes wherever a plain host:port goes, and `client_options` turns
either into the options of kafka-python or aiokafka. Secrets stay in it: nothing prints or logs them.
"""

from __future__ import annotations

import difflib
import os
import re
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import javaproperties

from producers.errors import KafkaConfigInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from producers.oauth import Token

VARIABLE = "ALSOBOUGHT_KAFKA_"
"""What the names of environment variables begin with: ALSOBOUGHT_KAFKA_SASL_MECHANISM is sasl.mechanism."""

_BY_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_OAUTH, _MSK = "OAUTHBEARER", "AWS_MSK_IAM"
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

_ALIASES = {  # librdkafka's names
    "sasl.mechanisms": "sasl.mechanism",
    "ssl.ca.location": "ssl.truststore.location",
    "ssl.ca.pem": "ssl.truststore.certificates",
    "ssl.certificate.location": "ssl.keystore.location",
    "ssl.certificate.pem": "ssl.keystore.certificate.chain",
    "ssl.key.pem": "ssl.keystore.key",
    "sasl.oauthbearer.client.id": "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.secret": "sasl.oauthbearer.client.credentials.client.secret",
    "metadata.broker.list": "bootstrap.servers",
}
_REGISTRY_TLS = (
    *("truststore.location", "truststore.type", "truststore.certificates", "truststore.password"),
    *("keystore.location", "keystore.type", "keystore.certificate.chain", "keystore.key", "keystore.password"),
    *("key.location", "key.password", "endpoint.identification.algorithm"),
)
_KNOWN = {
    "bootstrap.servers",
    "client.id",
    "client.rack",
    "security.protocol",
    "sasl.mechanism",
    "sasl.jaas.config",
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.login.callback.handler.class",
    "sasl.client.callback.handler.class",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.password",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.password",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    # of a schema registry, which `import` asks
    "schema.registry.url",
    "schema.registry.basic.auth.user.info",
    *(f"schema.registry.ssl.{name}" for name in _REGISTRY_TLS),
    "basic.auth.credentials.source",
    "basic.auth.user.info",
    "bearer.auth.credentials.source",
    "bearer.auth.token",
    *_ALIASES,
}
_DECIDED_HERE = {
    *("acks", "retries", "batch.size", "linger.ms", "enable.idempotence", "compression.type", "max.request.size"),
    *("delivery.timeout.ms", "request.timeout.ms", "default.api.timeout.ms", "transactional.id", "buffer.memory"),
    *("group.id", "group.instance.id", "auto.offset.reset", "enable.auto.commit", "isolation.level", "check.crcs"),
    *("session.timeout.ms", "heartbeat.interval.ms", "max.poll.records", "max.poll.interval.ms", "fetch.min.bytes"),
    *("key.serializer", "value.serializer", "key.deserializer", "value.deserializer", "client.dns.lookup"),
    *("retry.backoff.ms", "reconnect.backoff.ms", "metadata.max.age.ms", "ssl.protocol", "ssl.enabled.protocols"),
    *("partition.assignment.strategy", "max.in.flight.requests.per.connection", "connections.max.idle.ms"),
}
"""Properties that files of other clients hold and that have no effect here."""


class KafkaConfig(NamedTuple):
    """What a file and the environment say."""

    properties: Mapping[str, str]
    """The properties that have an effect, by the Java client's names."""
    without_effect: list[str]
    """Those that other clients need, and that alsobought decides itself."""
    source: str
    """Where they are from, for messages."""


class SecuredBroker(str):  # noqa: SLOT000 - subclass of str with attributes
    """An address, host:port or several with commas, with what it takes to be let in.

    Attributes:
        options: of both clients, besides the address.
        token: what OAUTHBEARER shows; None for other mechanisms.
        rack: where we are; a consumer reads from the nearest replica.
        properties: all that was said, for what else belongs to the cluster, such as a schema registry.
        file: the properties file, for messages.
    """

    options: Mapping[str, Any]
    token: Token | None
    rack: str | None
    properties: Mapping[str, str]
    file: Path | None = None

    def __str__(self) -> str:
        """The address, which stays what it is: `str(broker)` is no way to lose how it is reached."""
        return self


def client_options(broker: str, *, aio: bool) -> dict[str, Any]:
    """The options with which a client of `broker` is made.

    Args:
        broker: host:port, several with commas; a `SecuredBroker` for one that asks for more.
        aio: for aiokafka; otherwise for kafka-python.
    """
    found: dict[str, Any] = {"bootstrap_servers": broker.split(",")}
    if isinstance(broker, SecuredBroker):
        found |= broker.options
        if broker.token is not None:
            from producers.oauth import providers_of  # noqa: PLC0415 - loads a client

            found["sasl_oauth_token_provider"] = providers_of(broker.token)[aio]
    return found


def consumer_options(broker: str) -> dict[str, Any]:
    """The options with which a consumer of aiokafka is made."""
    rack = broker.rack if isinstance(broker, SecuredBroker) else None
    return client_options(broker, aio=True) | ({} if rack is None else {"client_rack": rack})


def read_config(path: Path | None, environment: Mapping[str, str] = os.environ) -> KafkaConfig | None:
    """What a properties file and the environment say; the environment counts more. None: nothing.

    Raises:
        KafkaConfigInvalid: the file cannot be read, or a property is unknown.
    """
    properties: dict[str, str] = {}
    sources = []
    if path is not None:
        sources.append(str(path))
        try:
            with path.open(encoding="utf-8") as file:
                properties |= javaproperties.load(file)
        except (OSError, UnicodeDecodeError, javaproperties.InvalidUEscapeError) as error:
            raise KafkaConfigInvalid(f"--kafka-config {path} cannot be read: {error}") from None
    for name, value in environment.items():
        if name.startswith(VARIABLE) and name != f"{VARIABLE}CONFIG":
            properties[name.removeprefix(VARIABLE).lower().replace("_", ".")] = value
            sources.append(name)
    if not properties:
        return None
    source = ", ".join(sources)
    _check_known(properties, source)
    plain = {_ALIASES.get(name, name): value.strip() for name, value in properties.items() if name not in _DECIDED_HERE}
    return KafkaConfig(plain, sorted(properties.keys() & _DECIDED_HERE), source)


def _check_known(names: Iterable[str], source: str) -> None:
    for name in names:
        if name not in _KNOWN and name not in _DECIDED_HERE:
            alike = difflib.get_close_matches(name, _KNOWN, n=1)
            advice = f"did you mean {alike[0]}?" if alike else f"known are: {', '.join(sorted(_KNOWN))}"
            raise KafkaConfigInvalid(f"{source}: the property {name} is not known; {advice}")


def secured(broker: str | None, config: KafkaConfig | None) -> str:
    """The broker to connect to, with what the configuration says.

    Args:
        broker: host:port of the command line, which counts more than bootstrap.servers; None: there is none.
        config: of `read_config`; None: there is none.

    Raises:
        KafkaConfigInvalid: no address is given, or the configuration says what cannot be.
    """
    address = broker or ("" if config is None else config.properties.get("bootstrap.servers", ""))
    if not address:
        raise KafkaConfigInvalid("no broker is given: add --broker HOST:PORT, or bootstrap.servers to --kafka-config")
    if config is None:
        return address
    answer = SecuredBroker(",".join(place.strip() for place in address.split(",")))
    try:
        answer.options, answer.token = _access(config.properties)
    except KafkaConfigInvalid as error:
        raise KafkaConfigInvalid(f"{config.source}: {error}") from None
    answer.rack = config.properties.get("client.rack")
    answer.properties = config.properties
    return answer


def _access(found: Mapping[str, str]) -> tuple[dict[str, Any], Token | None]:
    """The options of clients, and what OAUTHBEARER shows."""
    protocol = _one_of("security.protocol", found.get("security.protocol", "PLAINTEXT").upper(), _PROTOCOLS)
    for word, where in (("sasl", "SASL_SSL"), ("ssl", "SSL or SASL_SSL")):
        if word.upper() not in protocol.split("_") and any(name.startswith(f"{word}.") for name in found):
            raise KafkaConfigInvalid(f"there are {word} properties, but security.protocol is {protocol}, not {where}")
    options: dict[str, Any] = {"security_protocol": protocol}
    if "client.id" in found:
        options["client_id"] = found["client.id"]
    if protocol.endswith("SSL"):
        options["ssl_context"] = ssl_context(found)
    return options, _authenticate(found, protocol, options) if protocol.startswith("SASL") else None


def _one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    if value not in allowed:
        raise KafkaConfigInvalid(f"{name} is {value}, not one of {', '.join(allowed)}")
    return value


def _authenticate(found: Mapping[str, str], protocol: str, options: dict[str, Any]) -> Token | None:
    """Add to `options` how we say who we are; return the token of OAUTHBEARER."""
    if "sasl.mechanism" not in found:
        raise KafkaConfigInvalid(f"security.protocol is {protocol}, but there is no sasl.mechanism")
    mechanism = _one_of("sasl.mechanism", found["sasl.mechanism"].upper(), (*_BY_PASSWORD, _OAUTH, _MSK))
    jaas = jaas_options(found.get("sasl.jaas.config", ""))
    if mechanism in _BY_PASSWORD:
        username = jaas.get("username") or found.get("sasl.username")
        password = jaas.get("password") or found.get("sasl.password")
        if not username or password is None:
            raise KafkaConfigInvalid(
                f"sasl.mechanism is {mechanism}, but there is no user name and password: sasl.jaas.config with "
                'username="..." password="...", or sasl.username and sasl.password'
            )
        options |= {"sasl_mechanism": mechanism, "sasl_plain_username": username, "sasl_plain_password": password}
        return None
    from producers.oauth import ClientCredentials, MskToken  # noqa: PLC0415 - loads a client

    options["sasl_mechanism"] = _OAUTH
    if mechanism == _MSK:
        if protocol != "SASL_SSL":
            raise KafkaConfigInvalid(f"sasl.mechanism is {_MSK}, which needs security.protocol=SASL_SSL")
        return MskToken(jaas.get("awsProfileName"), jaas.get("awsRoleArn"))
    credentials = "sasl.oauthbearer.client.credentials.client"
    wanted = {
        "sasl.oauthbearer.token.endpoint.url": found.get("sasl.oauthbearer.token.endpoint.url"),
        f"{credentials}.id": jaas.get("clientId") or found.get(f"{credentials}.id"),
        f"{credentials}.secret": jaas.get("clientSecret") or found.get(f"{credentials}.secret"),
    }
    if missing := [name for name, value in wanted.items() if not value]:
        raise KafkaConfigInvalid(f"sasl.mechanism is {_OAUTH}, but there is no {', no '.join(missing)}")
    extensions = {name.removeprefix("extension_"): value for name, value in jaas.items() if "extension_" in name}
    scope = jaas.get("scope") or found.get("sasl.oauthbearer.scope")
    url, client, secret = (str(value) for value in wanted.values())
    return ClientCredentials(url, client, secret, scope, extensions, options.get("ssl_context"))


def jaas_options(text: str) -> dict[str, str]:
    r"""The options of a JAAS entry, as sasl.jaas.config holds it.

    >>> jaas_options('org.apache.kafka.common.security.plain.PlainLoginModule required username="a" password="x\\"y";')
    {'username': 'a', 'password': 'x"y'}
    """
    return {
        name: re.sub(r"\\(.)", r"\1", quoted if quoted is not None else plain)
        for name, quoted, plain in (
            found.group(1, 2, 3) for found in re.finditer(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', text)
        )
    }


def ssl_context(found: Mapping[str, str]) -> ssl.SSLContext:
    """How a server's certificate is checked, and which one is shown to it, by the properties that begin with ssl.

    Raises:
        KafkaConfigInvalid: a file cannot be used.
    """
    trusted = found.get("ssl.truststore.location")
    if trusted is not None:
        _check_pem("truststore", trusted, found)
    try:
        context = ssl.create_default_context(cafile=trusted, cadata=found.get("ssl.truststore.certificates"))
    except (OSError, ssl.SSLError) as error:
        raise KafkaConfigInvalid(
            f"ssl.truststore.{'location' if trusted else 'certificates'} cannot be used: {_reason(error)}; "
            "expected: certificates in PEM"
        ) from None
    if found.get("ssl.endpoint.identification.algorithm") in ("", "none"):
        context.check_hostname = False
    own = found.get("ssl.keystore.location")
    password = found.get("ssl.key.password") or found.get("ssl.keystore.password")
    try:
        if own is not None:
            _check_pem("keystore", own, found)
            context.load_cert_chain(own, found.get("ssl.key.location"), password or _no_password)
        elif "ssl.keystore.certificate.chain" in found:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # only its owner may read it
                file.write("\n".join(found.get(f"ssl.keystore.{part}", "") for part in ("certificate.chain", "key")))
                file.flush()
                context.load_cert_chain(file.name, None, password or _no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise KafkaConfigInvalid(
            f"the ssl.keystore cannot be used: {_reason(error)}; expected: a key and its certificates in PEM, and "
            "ssl.key.password if the key is encrypted"
        ) from None
    return context


def _no_password() -> str:
    """Asked for an encrypted key, where OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted, and there is no ssl.key.password")


def _check_pem(store: str, location: str, found: Mapping[str, str]) -> None:
    kind = found.get(f"ssl.{store}.type", "PEM").upper()
    try:
        head = Path(location).read_bytes()[: 1 << 20]
    except OSError as error:
        raise KafkaConfigInvalid(f"ssl.{store}.location: {location} cannot be read: {error.strerror}") from None
    if kind != "PEM" or b"-----BEGIN" not in head:
        raise KafkaConfigInvalid(
            f"ssl.{store}.location: {location} is no PEM file, which is what we read. Convert it: keytool "
            f"-importkeystore -srckeystore {location} -destkeystore {store}.p12 -deststoretype PKCS12; then openssl "
            f"pkcs12 -in {store}.p12 -out {store}.pem -nodes; and ssl.{store}.location={store}.pem, "
            f"ssl.{store}.type=PEM"
        )


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
