"""A schema registry, asked over HTTP: what the schema ids stand for that records begin with.

Every registry that speaks Confluent's REST interface will do: Confluent's own, Apicurio (below /apis/ccompat/v7),
Karapace, Redpanda. Credentials are in no message.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple

from producers.errors import RegistryError, UnknownSchema
from producers.kafka_config import SecuredBroker, jaas_options, ssl_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

AVRO, JSON_SCHEMA, PROTOBUF = "AVRO", "JSON", "PROTOBUF"
_TIMEOUT_S = 3
_PAUSE_S = 0.5
_ATTEMPTS = 2
_MOST_BYTES = 8 << 20
"""Of an answer."""
_SCHEMES = ("http", "https")
_PREFIX = "schema.registry."
_UNAUTHORIZED = (401, 403)
_MISSING = 404


class Reference(NamedTuple):
    """A schema that another one imports."""

    name: str
    """By which it is imported."""
    subject: str
    version: int


class Schema(NamedTuple):
    """A schema as it is registered."""

    kind: str
    """AVRO, JSON_SCHEMA or PROTOBUF."""
    text: str
    references: tuple[Reference, ...]


class Access(NamedTuple):
    """How a registry is reached."""

    url: str
    """Without credentials."""
    authorization: str | None
    """What the header says; None: nothing is asked for."""
    user: str | None
    """Who we are, for messages."""
    context: ssl.SSLContext | None


def registry_access(url: str | None, broker: str) -> Access:
    """How the registry is reached that belongs to a Kafka.

    Args:
        url: of the registry; None: `schema.registry.url` of the broker's configuration.
        broker: a `SecuredBroker` carries user, password and certificates for the registry, too.

    Raises:
        RegistryError: no address is given, or it is none.
        KafkaConfigInvalid: a certificate cannot be used.
    """
    found: Mapping[str, str] = broker.properties if isinstance(broker, SecuredBroker) else {}
    address = url or found.get(f"{_PREFIX}url", "")
    if not address:
        raise RegistryError(
            "no schema registry is given: add --schema-registry URL, or schema.registry.url to --kafka-config"
        )
    place = urllib.parse.urlsplit(address.split(",")[0].strip().rstrip("/"))
    if place.scheme not in _SCHEMES or not place.hostname:
        raise RegistryError("--schema-registry is no URL such as http://registry:8081")
    host = f"[{place.hostname}]" if ":" in place.hostname else place.hostname
    plain = f"{place.scheme}://{host}{f':{place.port}' if place.port else ''}{place.path}"
    user, authorization = _authorization(place, found)
    return Access(plain, authorization, user, _context(found) if place.scheme == "https" else None)


def _authorization(place: urllib.parse.SplitResult, found: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The user and the header that shows who we are."""
    token = found.get("bearer.auth.token")
    if token:
        return "bearer.auth.token", f"Bearer {token}"
    source = found.get("basic.auth.credentials.source", "USER_INFO").upper()
    info = found.get(f"{_PREFIX}basic.auth.user.info") or found.get("basic.auth.user.info", "")
    if source == "SASL_INHERIT":
        jaas = jaas_options(found.get("sasl.jaas.config", ""))
        info = ":".join(jaas.get(name) or found.get(f"sasl.{name}", "") for name in ("username", "password"))
    elif place.username and not info:
        info = f"{urllib.parse.unquote(place.username)}:{urllib.parse.unquote(place.password or '')}"
    if not info.strip(":"):
        return None, None
    return info.partition(":")[0], f"Basic {base64.b64encode(info.encode()).decode()}"


def _context(found: Mapping[str, str]) -> ssl.SSLContext:
    """How the registry's certificate is checked: by its own properties, else as the brokers' are."""
    own = {name.removeprefix(_PREFIX): value for name, value in found.items() if name.startswith(f"{_PREFIX}ssl.")}
    return ssl_context(own or {name: value for name, value in found.items() if name.startswith("ssl.truststore.")})


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An answer that sends us elsewhere is an error: our password is for the registry alone."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401
        return None


class SchemaRegistry:
    """A registry. Schemas never change, so each is asked for once.

    Args:
        access: how it is reached.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        handlers: list[Any] = [_NoRedirects()]
        if access.context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=access.context))
        self._opener = urllib.request.build_opener(*handlers)
        self._schemas: dict[str, Schema] = {}

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return self._access.url

    def check(self) -> None:
        """Check that it answers, and accepts our credentials.

        Raises:
            RegistryError: it does not.
        """
        if self._asked("/schemas/types") is None:
            raise RegistryError(
                f"what answers at {self.url} is no schema registry: it has no /schemas/types. Correct "
                "--schema-registry; Apicurio's URL ends in /apis/ccompat/v7"
            )

    def schema(self, number: int) -> Schema:
        """The schema of an id.

        Raises:
            UnknownSchema: the registry has none.
            RegistryError: it does not answer.
        """
        found = self._schema(f"/schemas/ids/{number}")
        if found is None:
            raise UnknownSchema(number, self.url)
        return found

    def referenced(self, reference: Reference) -> Schema:
        """A schema that another imports.

        Raises:
            RegistryError: there is none, or the registry does not answer.
        """
        subject = urllib.parse.quote(reference.subject, safe="")
        found = self._schema(f"/subjects/{subject}/versions/{reference.version}")
        if found is None:
            raise RegistryError(
                f"the schema registry at {self.url} has no version {reference.version} of subject {reference.subject}, "
                f"which a schema imports as {reference.name}: register it again"
            )
        return found

    def _schema(self, path: str) -> Schema | None:
        if path not in self._schemas:
            answer = self._asked(path)
            if answer is None:
                return None
            try:
                references = tuple(
                    Reference(str(each["name"]), str(each["subject"]), int(each["version"]))
                    for each in answer.get("references") or ()
                )
                self._schemas[path] = Schema(str(answer.get("schemaType") or AVRO), str(answer["schema"]), references)
            except (KeyError, TypeError, ValueError, AttributeError):
                raise RegistryError(f"what {self.url}{path} answers is no schema: it is no registry's") from None
        return self._schemas[path]

    def _asked(self, path: str) -> Any | None:  # noqa: ANN401 - JSON
        """What the registry answers; None: it has no such thing.

        Raises:
            RegistryError: it does not answer, or not as one does.
        """
        headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if self._access.authorization is not None:
            headers["Authorization"] = self._access.authorization
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)  # noqa: S310 - the scheme was checked
        why = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S)
            try:
                with self._opener.open(request, timeout=_TIMEOUT_S) as response:
                    return json.loads(response.read(_MOST_BYTES))
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == _MISSING:
                    return None
                if error.code in _UNAUTHORIZED:
                    raise RegistryError(self._refused(error.code)) from None
                why = f"{error.code} {error.reason}"
            except (OSError, HTTPException) as error:
                why = str(getattr(error, "reason", None) or error)
            except ValueError:
                raise RegistryError(f"what answers at {self.url}{path} is no schema registry: it is no JSON") from None
        raise RegistryError(
            f"the schema registry at {self.url} does not answer: {why}; tried {_ATTEMPTS} times. Start it, or correct "
            "--schema-registry (schema.registry.url); the authority of its certificate is named by "
            "schema.registry.ssl.truststore.location"
        )

    def _refused(self, code: int) -> str:
        who = "we show none" if self._access.user is None else f"we are {self._access.user}"
        return (
            f"the schema registry at {self.url} does not accept our credentials ({code}; {who}): correct "
            "basic.auth.user.info=USER:PASSWORD in --kafka-config, or in ALSOBOUGHT_KAFKA_BASIC_AUTH_USER_INFO"
        )
