"""A network between a worker and its broker that can be cut, in both directions or one, slowed, and made to lose.

What a cut holds back arrives when it is over, as TCP has it, unless the connections were reset meanwhile. A lost packet
is one that comes after the time in which TCP sends it again.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

TO_BROKER, TO_WORKER = BOTH = ("to broker", "to worker")
_CHUNK_BYTES = 1 << 16
_POLL_S = 0.02
_RETRANSMISSION_S = (0.2, 0.9)


@dataclass(frozen=True, slots=True)
class Condition:
    """How a network is. By default nothing is wrong with it.

    Attributes:
        cut: directions in which nothing arrives.
        delay_s: of every chunk.
        loss: the fraction of chunks that are lost at first.
    """

    cut: tuple[str, ...] = ()
    delay_s: float = 0.0
    loss: float = 0.0


class Proxy:
    """Forwards connections from one port to another; `with` opens and closes it. Any thread may use it.

    Attributes:
        port: where it listens, once it is open.
        condition: of the network.
    """

    def __init__(self) -> None:
        self.port = 0
        self.condition = Condition()
        self._target = 0
        self._chance = Random(0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lead_to(self, port: int) -> None:
        """Say where connections go to."""
        self._target = port

    def reset(self) -> None:
        """Break all connections."""
        self._run(self._reset())

    def _run(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(30)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _reset(self) -> None:
        for writer in self._writers:
            with suppress(OSError):  # closed already
                # with nothing lingering, the other side sees a reset rather than an end
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._reset()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(there[1])
        ways = [
            asyncio.create_task(self._forward(reader, there[1], TO_BROKER)),
            asyncio.create_task(self._forward(there[0], writer, TO_WORKER)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (writer, there[1]):
                each.transport.abort()
                self._writers.discard(each)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._pass(way)
                writer.write(chunk)
                await writer.drain()
        except OSError:
            return

    async def _pass(self, way: str) -> None:
        """Return when the network has taken a chunk to the other side."""
        if self.condition.loss and self._chance.random() < self.condition.loss:
            await asyncio.sleep(self._chance.uniform(*_RETRANSMISSION_S))
        if self.condition.delay_s:
            await asyncio.sleep(self.condition.delay_s)
        while way in self.condition.cut:  # noqa: ASYNC110 - another thread changes it
            await asyncio.sleep(_POLL_S)
