"""Tokens for OAUTHBEARER: of an OpenID provider by client credentials, or signed for Amazon MSK."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from aiokafka.abc import AbstractTokenProvider as AsyncProvider
from kafka.net.sasl.oauth import AbstractTokenProvider as Provider

from producers.errors import KafkaConfigInvalid

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_TIMEOUT_S = 8
_LIVES_S = 300
"""Of a token whose provider does not say how long it lives."""
_USED = 0.8
"""The part of a token's life for which it is used."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Token(ABC):
    """A token that is fetched again before it expires; any thread may ask for it.

    Attributes:
        extensions: sent along with it.
    """

    def __init__(self, extensions: Mapping[str, str]) -> None:
        self.extensions = dict(extensions)
        self._lock = threading.Lock()
        self._text = ""
        self._until = 0.0

    def text(self) -> str:
        """The token.

        Raises:
            KafkaConfigInvalid: there is none to be had.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                self._text, lives_s = self._fetch()
                self._until = time.monotonic() + _USED * lives_s
            return self._text

    @abstractmethod
    def _fetch(self) -> tuple[str, float]:
        """A new token, and how many seconds it lives."""


class ClientCredentials(Token):
    """The token of an OpenID provider, for a client's id and secret (RFC 6749, 4.4).

    Args:
        url: of the token endpoint.
        client, secret: who asks.
        scope: what for.
        extensions: sent along with the token.
        context: how the provider's certificate is checked; None: as any other.
    """

    def __init__(
        self,
        url: str,
        client: str,
        secret: str,
        scope: str | None,
        extensions: Mapping[str, str],
        context: ssl.SSLContext | None,
    ) -> None:
        super().__init__(extensions)
        place = urllib.parse.urlsplit(url)
        if place.scheme != "https" and not (place.scheme == "http" and place.hostname in _LOOPBACK):
            raise KafkaConfigInvalid(
                f"sasl.oauthbearer.token.endpoint.url is {url}, not https: the secret is sent there"
            )
        self._url, self._client, self._secret, self._scope, self._context = url, client, secret, scope, context

    def _fetch(self) -> tuple[str, float]:
        form = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        quoted = f"{urllib.parse.quote(self._client, safe='')}:{urllib.parse.quote(self._secret, safe='')}"
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url,
            urllib.parse.urlencode(form).encode(),
            {"Authorization": f"Basic {base64.b64encode(quoted.encode()).decode()}", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._context) as response:  # noqa: S310
                answer = json.loads(response.read(1 << 20))
            return str(answer["access_token"]), float(answer.get("expires_in", _LIVES_S))
        except urllib.error.HTTPError as error:
            why = f"{error.code} {error.reason}; check client id, secret and scope"
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = f"{getattr(error, 'reason', None) or error!r}"
        raise KafkaConfigInvalid(f"no token from {self._url} (sasl.oauthbearer.token.endpoint.url): {why}")


class MskToken(Token):
    """A token signed with AWS credentials, as found by the AWS SDK, for Amazon MSK.

    Args:
        profile: of the AWS configuration; None: the SDK's choice.
        role: ARN of a role to take; None: none.
    """

    def __init__(self, profile: str | None, role: str | None) -> None:
        super().__init__({})
        self._profile, self._role = profile, role
        try:
            import aws_msk_iam_sasl_signer  # noqa: F401, PLC0415 - only who uses MSK has it
        except ImportError:
            raise KafkaConfigInvalid(
                "sasl.mechanism is AWS_MSK_IAM, which needs a package more: pip install 'alsobought[msk]'"
            ) from None

    def _fetch(self) -> tuple[str, float]:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
        from botocore.session import Session  # noqa: PLC0415

        try:
            # the AWS SDK for Python only knows the other name
            region = os.environ.get("AWS_REGION") or Session(profile=self._profile).get_config_variable("region")
            if not region:
                raise KafkaConfigInvalid("no AWS region is configured: set AWS_REGION to that of the cluster")
            if self._role:
                text, expires_ms = MSKAuthTokenProvider.generate_auth_token_from_role_arn(region, self._role)
            elif self._profile:
                text, expires_ms = MSKAuthTokenProvider.generate_auth_token_from_profile(region, self._profile)
            else:
                text, expires_ms = MSKAuthTokenProvider.generate_auth_token(region)
        except (BotoCoreError, ClientError) as error:
            raise KafkaConfigInvalid(f"AWS signs no token: {error}") from None
        return text, expires_ms / 1000 - time.time()


class _Sync(Provider):  # type: ignore[misc]
    def __init__(self, token: Token) -> None:
        self._token = token

    def token(self) -> str:
        return self._token.text()

    def extensions(self) -> dict[str, str]:
        return self._token.extensions


class _Async(AsyncProvider):  # type: ignore[misc]
    def __init__(self, token: Token) -> None:
        self._token = token

    async def token(self) -> str:
        return await asyncio.to_thread(self._token.text)

    def extensions(self) -> dict[str, str]:
        return self._token.extensions


def providers_of(token: Token) -> tuple[Any, Any]:
    """A token as kafka-python asks for it, and as aiokafka does."""
    return _Sync(token), _Async(token)
