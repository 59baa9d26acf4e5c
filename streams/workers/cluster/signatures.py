"""Signatures of requests and answers between workers, made with a key that all workers of a generation share.

A signature proves that who sent a message has the key, and that the message arrived as it was sent. It hides nothing:
workers talk plain HTTP. An answer is signed together with the request it is for, so no other can stand in for it. A
request that someone recorded can be sent again: it asks the same question, and changes nothing.

The key is derived from `--worker-secret` or, without one, from the ids that the brokers drew for the topics. Whoever
may describe topics can learn those; whoever only reaches workers cannot.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNATURE = "Alsobought-Signature"
"""Header: of a request, its nonce and signature; of an answer, its signature."""
_KEY_BYTES = 32
_NONCE_BYTES = 16
_DIGEST = "sha256"


class Signer:
    """Signs messages between workers, and checks their signatures.

    Args:
        key: 32 bytes, the same for all workers.

    >>> signer = Signer(bytes(32))
    >>> signature = signer.sign_request("GET", "/items/tea", b"", "10.0.0.7:6066")
    >>> signer.verifies_request(signature, "GET", "/items/tea", b"", "10.0.0.7:6066")
    True
    >>> signer.verifies_request(signature, "GET", "/items/milk", b"", "10.0.0.7:6066")
    False
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of_secret(cls, secret: str) -> Self:
        """With a key derived from a text that all workers were given."""
        return cls(_derived("secret", secret))

    @classmethod
    def of_topics(cls, topic_ids: Sequence[str]) -> Self:
        """With a key derived from the ids of topics, which all workers see."""
        return cls(_derived("topics", *topic_ids))

    @classmethod
    def of_one(cls) -> Self:
        """With a key of its own, for a worker that has no others."""
        return cls(secrets.token_bytes(_KEY_BYTES))

    def sign_request(self, method: str, target: str, body: bytes, receiver: str) -> str:
        """The signature of a request.

        Args:
            method: HTTP method.
            target: path and query, as they are sent.
            body: as it is sent.
            receiver: advertised address of the worker that it is sent to.
        """
        nonce = secrets.token_hex(_NONCE_BYTES)
        return f"{nonce}.{self._request(nonce, method, target, body, receiver)}"

    def verifies_request(self, signature: str, method: str, target: str, body: bytes, receiver: str) -> bool:
        """Whether a request to this worker, `receiver`, has the right signature."""
        nonce, _, given = signature.partition(".")
        return _equal(given, self._request(nonce, method, target, body, receiver))

    def sign_answer(self, request: str, status: int, version: str, body: bytes) -> str:
        """The signature of an answer.

        Args:
            request: signature of the request.
            status: of the answer.
            version: its ETag; empty if it has none.
            body: its body.
        """
        return self._mac("answer", request, str(status), version, hashlib.sha256(body).hexdigest())

    def verifies_answer(self, signature: str, request: str, status: int, version: str, body: bytes) -> bool:
        """Whether the answer to a request has the right signature."""
        return _equal(signature, self.sign_answer(request, status, version, body))

    def _request(self, nonce: str, method: str, target: str, body: bytes, receiver: str) -> str:
        return self._mac("request", nonce, receiver, method, target, hashlib.sha256(body).hexdigest())

    def _mac(self, *parts: str) -> str:
        return hmac.new(self._key, _joined(parts), _DIGEST).hexdigest()


def _derived(*parts: str) -> bytes:
    return hashlib.sha256(_joined(("alsobought workers", *parts))).digest()


def _joined(parts: Sequence[str]) -> bytes:
    """The parts with their lengths, so that no two sequences of parts give the same bytes."""
    encoded = [part.encode(errors="surrogateescape") for part in parts]
    return b"".join(len(part).to_bytes(8, "big") + part for part in encoded)


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())
