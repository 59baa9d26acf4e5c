"""Kafka as shops have it: with TLS, passwords, certificates and rights; and what is said when one of them is wrong."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from producers.kafka_config import KafkaConfig, client_options, read_config, secured
from tests.commands import ran, refused
from tests.secured_kafka import written

if TYPE_CHECKING:
    from pathlib import Path

    from tests.secured_kafka import SecuredKafka

SOON_S = 10


@pytest.mark.parametrize("way", ["by_password", "by_certificate"])
def test_commands_reach_a_secured_broker(way: str, secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    file = written(tmp_path / "client.properties", getattr(secured_kafka, way)("owner"))
    options = ("--kafka-config", file, "--topic-prefix", f"{way}-")

    made = ran("topics", "--partitions", "2", *options)
    sent = ran("generate", "--orders", "50", *options)
    rejected = ran("rejected", *options)

    assert made.returncode == 0, made.stderr
    assert f"{way}-purchases: created" in made.stdout
    assert (sent.returncode, rejected.returncode) == (0, 0), sent.stderr + rejected.stderr
    assert rejected.stdout == ""


def test_one_of_several_brokers_that_answers_is_enough(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    properties = secured_kafka.by_password("owner")
    properties["bootstrap.servers"] = f"127.0.0.1:1,{properties['bootstrap.servers']}"

    done = ran(
        "topics", "--kafka-config", written(tmp_path / "client.properties", properties), "--topic-prefix", "one-"
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"sasl_jaas_config": 'x required username="owner" password="guessed";'}, "does not accept our credentials"),
        ({"sasl_jaas_config": 'x required username="nobody" password="guessed";'}, "does not accept our credentials"),
        ({"ssl_truststore_location": ""}, "certificate of 127.0.0.1"),
        ({"security_protocol": "PLAINTEXT"}, "there are sasl properties"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "does not accept our credentials"),
    ],
    ids=["password", "user", "authority", "protocol", "mechanism"],
)
def test_what_is_wrong_is_said_soon(
    changed: dict[str, str], expected: str, secured_kafka: SecuredKafka, tmp_path: Path
) -> None:
    properties = {name: value for name, value in secured_kafka.by_password("owner", **changed).items() if value}
    file = written(tmp_path / "client.properties", properties)

    begun = time.monotonic()
    done = ran("topics", "--kafka-config", file)
    took_s = time.monotonic() - begun

    assert done.returncode in (1, 2)
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert "guessed" not in done.stdout + done.stderr
    assert took_s < SOON_S


@pytest.mark.parametrize(
    ("properties", "port", "expected"),
    [
        ({}, "certificate_port", "speaks TLS: set security.protocol"),
        ({"security.protocol": "SSL"}, "port", "does not speak TLS"),
        ({"security.protocol": "SSL"}, "certificate_port", "refuses our certificate"),
        ({"security.protocol": "SSL"}, "password_port", "If it asks who we are"),
    ],
    ids=["plain to TLS", "TLS to plain", "no certificate", "no password"],
)
def test_the_wrong_listener_is_told_from_the_wrong_broker(
    properties: dict[str, str], port: str, expected: str, secured_kafka: SecuredKafka, tmp_path: Path
) -> None:
    if properties:
        properties = properties | {"ssl.truststore.location": str(secured_kafka.trusted)}
    file = written(tmp_path / "client.properties", properties)

    begun = time.monotonic()
    done = ran("topics", "--broker", f"127.0.0.1:{getattr(secured_kafka, port)}", "--kafka-config", file)

    assert done.returncode == 1
    assert expected in done.stderr
    assert time.monotonic() - begun < SOON_S


class TokenEndpoint(BaseHTTPRequestHandler):
    """Gives whoever knows the secret of "shop" an unsigned token for the user "owner", as our broker takes it."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        allowed = self.headers["Authorization"] == f"Basic {b64encode(b'shop:a%20secret').decode()}"
        self.send_response(200 if allowed and form["grant_type"] == ["client_credentials"] else 401)
        self.end_headers()
        if allowed:
            claims = {"sub": "owner", "iat": time.time(), "exp": time.time() + 60, "scope": form["scope"][0]}
            parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims)]
            token = b".".join([*parts, b""]).decode()
            self.wfile.write(json.dumps({"access_token": token, "expires_in": 60}).encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.mark.parametrize("secret", ["a secret", "another"])
def test_a_token_is_fetched_for_client_credentials(secret: str, secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), TokenEndpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
        properties = secured_kafka.by_password("owner") | {
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:{server.server_port}/token",
            "sasl.jaas.config": f'{login} clientId="shop" clientSecret="{secret}" scope="kafka";',
        }
        file = written(tmp_path / "client.properties", properties)
        done = ran("topics", "--kafka-config", file, "--topic-prefix", "by-token-")
        server.shutdown()

    if secret == "a secret":  # noqa: S105 - of a test
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1
        assert "no token from http://127.0.0.1" in done.stderr
        assert "401" in done.stderr
        assert secret not in done.stderr


def test_msk_tokens_are_signed_with_the_credentials_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    properties = {"security.protocol": "SASL_SSL", "sasl.mechanism": "AWS_MSK_IAM"}
    broker = secured("b-1.shop.kafka.eu-west-1.amazonaws.com:9098", KafkaConfig(properties, [], "a test"))
    provider = client_options(broker, aio=False)["sasl_oauth_token_provider"]

    token = urlsafe_b64decode(provider.token() + "==").decode()

    assert token.startswith("https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect")
    assert "X-Amz-Credential=key%2F" in token
    assert provider.token() == provider.token()  # until it is about to expire


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sasl.mechansim=PLAIN", "the property sasl.mechansim is not known; did you mean sasl.mechanism?"),
        ("security.protocol=TLS", "security.protocol is TLS, not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("security.protocol=SASL_SSL", "there is no sasl.mechanism"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI", "sasl.mechanism is GSSAPI, not one of PLAIN"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "there is no user name and password"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER", "there is no sasl.oauthbearer.token.endpoint.url"),
        ("sasl.username=a", "there are sasl properties, but security.protocol is PLAINTEXT"),
        ("security.protocol=SSL\nssl.truststore.location=/nonexistent", "/nonexistent cannot be read: No such file"),
        ("security.protocol=SSL\nssl.truststore.location=README.md", "README.md is no PEM file"),
        ("security.protocol=SSL\nssl.truststore.certificates=x", "expected: certificates in PEM"),
        ("security.protocol=SSL\nssl.keystore.certificate.chain=x", "the ssl.keystore cannot be used"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_anything_is_tried(text: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text(text)

    error = refused("topics", "--broker", "127.0.0.1:1", "--kafka-config", file)

    assert f"{file}: " in error
    assert expected in error


def test_variables_count_more_than_the_file_and_names_of_librdkafka_do(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("sasl.mechanisms=PLAIN\nsasl.username=clerk\nsasl.password=x\nacks=all\nbootstrap.servers=a:1,b:2")
    variables = {
        "ALSOBOUGHT_KAFKA_SECURITY_PROTOCOL": "sasl_plaintext",
        "ALSOBOUGHT_KAFKA_SASL_PASSWORD": "y",
        "ALSOBOUGHT_KAFKA_CONFIG": str(file),
        "ALSOBOUGHT_PREFIX": "of something else",
    }

    config = read_config(file, variables)
    assert config is not None
    broker = secured(None, config)

    assert client_options(broker, aio=True) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "clerk",
        "sasl_plain_password": "y",
    }
    assert config.without_effect == ["acks"]
    assert str(broker) is broker


def test_plain_brokers_need_no_file() -> None:
    assert read_config(None, {}) is None
    assert client_options(secured("127.0.0.1:9092", None), aio=True) == {"bootstrap_servers": ["127.0.0.1:9092"]}
