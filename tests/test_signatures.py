"""Workers recognise each other: what a stranger asks or answers is refused, wherever the stranger is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
import pytest
from aiohttp import ClientSession, web

from streams.endpoint.answers import NotKnown
from streams.endpoint.bodies import read_body
from streams.endpoint.problems import NOT_KNOWN, Problem
from streams.endpoint.serving import SERVER_OPTIONS
from streams.workers.answering.authentication import authenticated_workers
from streams.workers.cluster import peers
from streams.workers.cluster.owners import address_of
from streams.workers.cluster.peers import PeerClient, PeerUnavailable
from streams.workers.cluster.signatures import SIGNATURE, Signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SIGNER = Signer.of_secret("sixteen characters or more")
ME = "127.0.0.1:1"


@asynccontextmanager
async def serving(answer: Handler, signer: Signer | None = SIGNER) -> AsyncIterator[str]:
    """A server that answers everything alike, as a worker or, without a signer, as anybody; yields its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, **SERVER_OPTIONS)
    address = ""
    if signer is not None:

        @web.middleware
        async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await authenticated_workers(signer, address)(request, handler)

        app.middlewares.append(authenticate)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield address
    finally:
        await runner.cleanup()


@asynccontextmanager
async def peer_client(signer: Signer = SIGNER) -> AsyncIterator[PeerClient]:
    client = PeerClient(ME, signer)
    try:
        yield client
    finally:
        await client.close()


async def echo(request: web.Request) -> web.StreamResponse:
    """Answers with what was asked."""
    body = await read_body(request)
    return web.json_response({"path": request.raw_path, "body": body.decode()}, headers={"ETag": 'W/"7"'})


async def unknown(_: web.Request) -> web.StreamResponse:
    return Problem(HTTPStatus.NOT_FOUND, "no such item", kind=NOT_KNOWN).response("/")


async def unchanged(_: web.Request) -> web.StreamResponse:
    return web.Response(status=304, headers={"ETag": 'W/"7"'})


@pytest.mark.parametrize("query", [None, {"q": "crème & sugar/50%25 +", "limit": "3"}])
def test_a_worker_asks_and_is_answered(query: dict[str, str] | None) -> None:
    async def asked() -> tuple[dict[str, str], str]:
        async with serving(echo) as address, peer_client() as client:
            reply = await client.get(address, "/items/a%2Fb%20%F0%9F%8D%AE/related", query)
            return msgspec.json.decode(reply.body), reply.version

    document, version = asyncio.run(asked())
    assert document["path"].startswith("/items/a%2Fb%20%F0%9F%8D%AE/related")
    assert version == "7"


def test_errors_and_unchanged_documents_are_signed_too() -> None:
    async def asked() -> None:
        async with serving(unknown) as missing, serving(unchanged) as same, peer_client() as client:
            with pytest.raises(NotKnown, match="no such item"):
                await client.get(missing, "/items/tea")
            assert (await client.get(same, "/items/tea", unless="7")).body == b""

    asyncio.run(asked())


async def unsigned(_: web.Request) -> web.StreamResponse:
    return web.json_response({"related": ["what the stranger sells"]})


async def signed_with_anything(_: web.Request) -> web.StreamResponse:
    return web.json_response({"related": ["what the stranger sells"]}, headers={SIGNATURE: "0" * 64})


async def not_known(_: web.Request) -> web.StreamResponse:
    return web.Response(status=404, text="erased, says the stranger")


async def elsewhere(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("http://127.0.0.1:1/latest/meta-data")


@pytest.mark.parametrize("stranger", [unsigned, signed_with_anything, not_known, elsewhere])
def test_what_a_stranger_answers_is_not_used(stranger: Handler) -> None:
    """Whoever may join a consumer group can have workers ask at any address, and would be the owner of a history."""

    async def asked() -> None:
        async with serving(stranger, signer=None) as address, peer_client() as client:
            with pytest.raises(PeerUnavailable, match="without the signature"):
                await client.get(address, "/customers/ann")

    asyncio.run(asked())


def test_a_redirect_is_not_followed() -> None:
    """It would lead wherever the stranger likes, from inside the private network."""
    reached = []

    async def target(request: web.Request) -> web.StreamResponse:
        reached.append(request.path)
        return web.Response()

    async def asked() -> None:
        async with serving(target, signer=None) as inside:

            async def redirect(_: web.Request) -> web.StreamResponse:
                raise web.HTTPTemporaryRedirect(f"http://{inside}/secrets")

            async with serving(redirect) as address, peer_client() as client:
                with pytest.raises(PeerUnavailable):
                    await client.get(address, "/items/tea")

    asyncio.run(asked())
    assert reached == []


def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "LARGEST_ANSWER_BYTES", 1 << 20)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))

    async def asked() -> None:
        async with serving(endless, signer=None) as address, peer_client() as client:
            with pytest.raises(PeerUnavailable, match="more than 1048576 bytes"):
                await client.get(address, "/items/tea")

    asyncio.run(asked())


def test_the_answer_to_another_question_is_not_used() -> None:
    """Not even one that a worker signed: a stranger in between could keep it."""

    async def asked() -> None:
        kept: list[tuple[bytes, str]] = []

        async with serving(echo) as worker:

            async def between(_: web.Request) -> web.StreamResponse:
                if not kept:
                    headers = {SIGNATURE: SIGNER.sign_request("GET", "/items/old", b"", worker)}
                    async with (
                        ClientSession() as session,
                        session.get(f"http://{worker}/items/old", headers=headers) as old,
                    ):
                        kept.append((await old.read(), old.headers[SIGNATURE]))
                body, signature = kept[0]
                return web.Response(body=body, headers={SIGNATURE: signature, "ETag": 'W/"7"'})

            async with serving(between, signer=None) as address, peer_client() as client:
                with pytest.raises(PeerUnavailable, match="without the signature"):
                    await client.get(address, "/items/new")

    asyncio.run(asked())


def test_a_stranger_is_not_answered_at_internal_routes() -> None:
    async def asked() -> list[int]:
        statuses = []
        async with serving(echo) as address, ClientSession() as session:
            for signature in (
                None,
                "",
                "0.0",
                "é",
                Signer.of_one().sign_request("POST", "/internal/lists", b"", address),
            ):
                headers = {} if signature is None else {SIGNATURE: signature}
                async with session.post(f"http://{address}/internal/lists", headers=headers) as response:
                    statuses.append(response.status)
            async with session.get(f"http://{address}/items/tea") as response:
                statuses.append(response.status)
                assert SIGNATURE not in response.headers
        return statuses

    assert asyncio.run(asked()) == [401] * 5 + [200]


def test_a_signature_holds_for_one_request_to_one_worker() -> None:
    signature = SIGNER.sign_request("POST", "/internal/lists", b"body", "10.0.0.7:6066")

    assert SIGNER.verifies_request(signature, "POST", "/internal/lists", b"body", "10.0.0.7:6066")
    for method, target, body, receiver in [
        ("GET", "/internal/lists", b"body", "10.0.0.7:6066"),
        ("POST", "/internal/list", b"body", "10.0.0.7:6066"),
        ("POST", "/internal/lists", b"bodY", "10.0.0.7:6066"),
        ("POST", "/internal/lists", b"body", "10.0.0.8:6066"),
    ]:
        assert not SIGNER.verifies_request(signature, method, target, body, receiver)


def test_keys_differ_with_what_they_are_derived_from() -> None:
    keys = [
        Signer.of_secret("a secret of workers"),
        Signer.of_topics(["a secret of workers"]),
        Signer.of_topics(["a secret of", " workers"]),
        Signer.of_one(),
    ]

    assert len({signer._key for signer in keys}) == len(keys)


@pytest.mark.parametrize(
    "client_id",
    [
        "alsobought@10.0.0.7",
        "alsobought@10.0.0.7:80/latest/meta-data?",
        "alsobought@10.0.0.7:80#",
        "alsobought@http://10.0.0.7:80",
        "alsobought@user:password@10.0.0.7:80",
        "alsobought@10.0.0.7:80 ",
        "alsobought@10.0.0.7:80\r\nX: y",
        "alsobought@:80",
        "alsobought@10.0.0.7:0",
        "alsobought@10.0.0.7:70000",
        "kcat",
    ],
)
def test_a_member_of_the_group_that_is_at_no_host_and_port_is_no_worker(client_id: str) -> None:
    assert address_of(client_id) is None


@pytest.mark.parametrize("peer", ["127.0.0.1:1/x", "user@127.0.0.1:1", "127.0.0.1", "127.0.0.1:1#"])
def test_nothing_is_sent_to_any_other_form_of_address(peer: str) -> None:
    async def asked() -> None:
        async with peer_client() as client:
            with pytest.raises(PeerUnavailable, match="is not host:port"):
                await client.get(peer, "/items/tea")

    asyncio.run(asked())
