"""Apache Kafka as a managed service has it: TLS, passwords or client certificates, and rights for each user."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import javaproperties
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from streams.demo.ports import free_port
from tests.brokers import ApacheKafka, Listener

if TYPE_CHECKING:
    from pathlib import Path

PASSWORDS = {"owner": "of everything", "clerk": 'a "quoted" \\ one'}
"""User -> password. The owner may do everything, all others what they are granted."""
_PROPERTIES = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:owner
ssl.keystore.type=PEM
ssl.keystore.location={store}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.password.sasl.enabled.mechanisms=SCRAM-SHA-512,OAUTHBEARER
listener.name.password.oauthbearer.sasl.jaas.config=\
    org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.password.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.certificate.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^.*CN=(.*?)(,.*)?$/$1/,DEFAULT
"""


class SecuredKafka(ApacheKafka):
    """A broker with a listener for passwords over TLS and one for client certificates, beside the plain one of tests.

    Attributes:
        passwords: of users.
        authority: who signs the certificates; `authority.pem` in `directory` is its own.
        password_port, certificate_port: of the listeners.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.passwords: dict[str, str] = {}
        self.authority = trustme.CA()
        self.trusted = self.directory / "authority.pem"
        self.authority.cert_pem.write_to_path(self.trusted)
        self.password_port, self.certificate_port = free_port(), free_port()
        self._store = self.directory / "broker.pem"
        self._store.write_bytes(_as_java_reads(self.authority.issue_cert("127.0.0.1")))

    def listeners(self) -> dict[str, Listener]:
        return super().listeners() | {
            "PASSWORD": Listener(self.password_port, self.password_port, "SASL_SSL"),
            "CERTIFICATE": Listener(self.certificate_port, self.certificate_port, "SSL"),
        }

    def more_properties(self) -> str:
        return _PROPERTIES.format(store=self._store, authority=self.trusted)

    def start(self) -> None:
        super().start()
        for user, password in PASSWORDS.items():
            self.add_user(user, password)

    def add_user(self, user: str | None = None, password: str = "a password") -> str:  # noqa: S107 - of a test
        """Let a user sign in, who may do nothing yet; return the name."""
        user = user or f"user{len(self.passwords)}"
        self.passwords[user] = password
        change = UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, password)
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            assert set(admin.alter_user_scram_credentials([change]).values()) == {None}
        return user

    def grant(self, user: str, what: ResourceType, name: str, *operations: ACLOperation) -> None:
        """Let a user do something with a topic, or with the groups or transactional ids whose names begin so."""
        how = ACLResourcePatternType.LITERAL if what == ResourceType.TOPIC else ACLResourcePatternType.PREFIXED
        pattern = ResourcePattern(what, name, how)
        rules = [ACL(f"User:{user}", "*", each, ACLPermissionType.ALLOW, pattern) for each in operations]
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            assert not admin.create_acls(rules)["failed"]

    def by_password(self, user: str, **properties: str) -> dict[str, str]:
        """A client's properties for the listener of passwords; those given, with _ for ., count more."""
        quoted = self.passwords[user].replace("\\", "\\\\").replace('"', '\\"')
        jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        return {
            "bootstrap.servers": f"127.0.0.1:{self.password_port}",
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": f'{jaas} username="{user}" password="{quoted}";',
            "ssl.truststore.location": str(self.trusted),
            "ssl.truststore.type": "PEM",
            **_named(properties),
        }

    def by_certificate(self, user: str, **properties: str) -> dict[str, str]:
        """The same for the listener of client certificates."""
        store = self.directory / f"{user}.pem"
        self.authority.issue_cert(
            f"{user}.shop.example", common_name=user
        ).private_key_and_cert_chain_pem.write_to_path(store)
        return {
            "bootstrap.servers": f"127.0.0.1:{self.certificate_port}",
            "security.protocol": "SSL",
            "ssl.truststore.location": str(self.trusted),
            "ssl.keystore.location": str(store),
            "ssl.keystore.type": "PEM",
            **_named(properties),
        }


def _as_java_reads(leaf: trustme.LeafCert) -> bytes:
    """A key in PKCS #8 and its certificates."""
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return b"".join([pem, *(blob.bytes() for blob in leaf.cert_chain_pems)])


def _named(properties: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "."): value for name, value in properties.items()}


def written(path: Path, properties: dict[str, str]) -> Path:
    """A file of properties, as Java writes them."""
    with path.open("w", encoding="utf-8") as file:
        javaproperties.dump(properties, file)
    return path
