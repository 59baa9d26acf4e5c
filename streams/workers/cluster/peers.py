"""Requests to other workers over HTTP: the client, and the messages of routes that only workers use.

Most requests go to the public routes. Those to `/internal/` routes carry the messages below, as MessagePack. All are
signed, and so are the answers: an address in a consumer group may be anybody's.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, NamedTuple
from urllib.parse import urlencode

import msgspec
import numpy as np
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from streams.endpoint.addresses import host_and_port
from streams.endpoint.answers import FORWARDED_BY, NotKnown
from streams.endpoint.customers import HeldIds
from streams.endpoint.problems import NOT_KNOWN
from streams.recommendations.request import MOST_CUSTOMERS, RecommendationRequest
from streams.workers.cluster.signatures import SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse

    from state.related_store import StoredList
    from streams.workers.cluster.signatures import Signer

MSGPACK = "application/msgpack"
INTERNAL = "/internal/"
LISTS_PATH = f"{INTERNAL}lists"
RECOMMENDATIONS_PATH = f"{INTERNAL}recommendations"
CONNECTING_S = 0.5
ANSWERING_S = 2.0
COMPUTING_S = 10.0
"""For lists computed on request, which wait until the counts are free."""
LARGEST_ANSWER_BYTES = 32 << 20
"""Of another worker; those that are passed on have half of that at most."""
MOST_LISTS = 500
"""In one answer, which takes some 25 ms."""
_MOST_CONNECTIONS = 64  # to one worker


class ListsQuestion(msgspec.Struct):
    """Asks for the published lists of items whose partitions one worker owns."""

    item_ids: Annotated[list[str], msgspec.Meta(max_length=MOST_LISTS)]


class PublishedList(msgspec.Struct, array_like=True):
    """A list of k entries: their ids, and the score, N and E of each as float64."""

    item_ids: list[str]
    figures: bytes

    def __post_init__(self) -> None:
        """Check a decoded one, since another worker may be of another version, or none.

        Raises:
            ValueError: the figures are not those of so many entries.
        """
        if len(self.figures) != 3 * 8 * len(self.item_ids) or not np.isfinite(self.columns()).all():
            raise ValueError(f"figures of {len(self.figures)} bytes for {len(self.item_ids)} items")

    @classmethod
    def of(cls, item_ids: list[str], stored: StoredList) -> PublishedList:
        """A stored list; `item_ids` are the ids of its items."""
        return cls(item_ids, np.concatenate([stored.score, stored.together, stored.expected]).tobytes())

    def columns(self) -> np.ndarray:
        """(3, k) float64."""
        return np.frombuffer(self.figures, np.float64).reshape(3, len(self.item_ids))


class Visit(msgspec.Struct):
    """A visitor with this history, who asks for recommendations."""

    held: HeldIds
    request: RecommendationRequest


class RecommendationsQuestion(msgspec.Struct):
    """Asks for recommendations for visitors; sent by workers without item partitions."""

    visits: Annotated[list[Visit], msgspec.Meta(max_length=MOST_CUSTOMERS)]


encode = msgspec.msgpack.Encoder().encode
decode_lists_question = msgspec.msgpack.Decoder(ListsQuestion).decode
decode_lists = msgspec.msgpack.Decoder(list[PublishedList]).decode
decode_recommendations = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_recommendations_question = msgspec.msgpack.Decoder(RecommendationsQuestion).decode


class PeerUnavailable(Exception):
    """A worker cannot be reached, or cannot answer."""


class Reply(NamedTuple):
    """What a worker answered."""

    body: bytes
    version: str
    """Its ETag without the quotes; empty if there is none, or if the document is unchanged."""

    @property
    def document(self) -> msgspec.Raw:
        """The body as part of another document."""
        return msgspec.Raw(self.body)


class PeerClient:
    """Sends requests to other workers, signed and marked as forwarded. Answers that are not signed are none.

    Args:
        address: of this worker.
        signer: has the key of the workers.
    """

    def __init__(self, address: str, signer: Signer) -> None:
        self._address = address
        self._signer = signer
        self._session: ClientSession | None = None

    async def get(
        self,
        peer: str,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        unless: str | None = None,
        timeout_s: float = ANSWERING_S,
    ) -> Reply:
        """Request a document.

        Args:
            peer: host:port.
            path: percent-encoded.
            query: parameters; a sequence repeats its parameter.
            unless: a known version, which need not be sent again.
            timeout_s: limit for the whole reply.

        Raises:
            NotKnown: there is no such item or customer.
            PeerUnavailable: the worker cannot be reached, or cannot answer.
        """
        headers = {} if unless is None else {"If-None-Match": f'W/"{unless}"'}
        return await self._ask("GET", peer, path, timeout_s, query=query, headers=headers)

    async def post(
        self, peer: str, path: str, body: bytes, content_type: str = "application/json", timeout_s: float = ANSWERING_S
    ) -> Reply:
        """Request a document with a body; raises the same errors as `get`."""
        return await self._ask("POST", peer, path, timeout_s, body=body, headers={"Content-Type": content_type})

    async def _ask(
        self,
        method: str,
        peer: str,
        path: str,
        timeout_s: float,
        *,
        headers: dict[str, str],
        query: Mapping[str, object] | None = None,
        body: bytes = b"",
    ) -> Reply:
        if host_and_port(peer) is None:
            raise PeerUnavailable(f"{peer[:100]!r} is not host:port, so it is no worker's address")
        url = URL(f"http://{peer}{path}{_query_text(query)}", encoded=True)
        signature = self._signer.sign_request(method, url.raw_path_qs, body, peer)
        timeout = ClientTimeout(total=timeout_s, connect=CONNECTING_S)
        try:
            async with self._connected().request(
                method,
                url,
                timeout=timeout,
                headers={**headers, SIGNATURE: signature},
                data=body or None,
                allow_redirects=False,
            ) as response:
                answer = await _read_answer(peer, response)
        except (ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise PeerUnavailable(f"worker {peer} does not answer: {error!r}") from error
        version = response.headers.get("ETag", "")
        given = response.headers.get(SIGNATURE, "")
        if not self._signer.verifies_answer(given, signature, response.status, version, answer):
            raise PeerUnavailable(
                f"{peer} answers {response.status} without the signature of a worker, so the answer is not used: it is "
                "none, of another version, or has another --worker-secret"
            )
        if response.status == HTTPStatus.NOT_FOUND and _part(answer, "type") == NOT_KNOWN.uri:
            raise NotKnown(_detail(answer))
        if response.status == HTTPStatus.NOT_MODIFIED:
            return Reply(b"", "")
        if response.status != HTTPStatus.OK:
            raise PeerUnavailable(f"worker {peer} answers {response.status}: {_detail(answer)}")
        return Reply(answer, version.removeprefix("W/").strip('"'))

    def _connected(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=0, limit_per_host=_MOST_CONNECTIONS),
                cookie_jar=DummyCookieJar(),
                headers={FORWARDED_BY: self._address, "Accept": "*/*", "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _query_text(query: Mapping[str, object] | None) -> str:
    return f"?{urlencode(query, doseq=True)}" if query else ""


async def _read_answer(peer: str, response: ClientResponse) -> bytes:
    """The body of an answer.

    Raises:
        PeerUnavailable: it is larger than any worker's.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_ANSWER_BYTES:
            raise PeerUnavailable(f"{peer} answers with more than {LARGEST_ANSWER_BYTES} bytes")
    return bytes(body)


def _detail(body: bytes) -> str:
    """The detail of a problem document."""
    return _part(body, "detail") or body[:200].decode(errors="replace")


def _part(body: bytes, name: str) -> str:
    """A member of a problem document; empty if it is none."""
    try:
        return str(msgspec.json.decode(body)[name])
    except (ValueError, RecursionError, KeyError, TypeError):
        return ""
