"""A bare asyncio.Protocol with a 12-byte header: what asyncio can do, without an RPC.

Answers to what came in one read leave in one write. A request leaves when it is made; uvloop
gathers those of one turn of the loop itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

from bench.peers.answers import aio_echo
from bench.peers.header import HEADER
from bench.peers.peer import AioCall, NoStatistics, OnReady, WaitForEnd

OnFrame = Callable[[int, int, bytes], None]


class Framed(asyncio.Protocol):
    """Cuts the stream into frames, and calls `on_frame(number, sleep_us, payload)` for each."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data if self._rest else data, 0
        while len(data) >= (begin := at + HEADER.size):
            size, number, sleep_us = HEADER.unpack_from(data, at)
            if len(data) < begin + size:
                break
            at = begin + size
            self.on_frame(number, sleep_us, data[begin:at])
        self._rest = data[at:]

    def on_frame(self, number: int, sleep_us: int, payload: bytes) -> None:
        raise NotImplementedError


class ServerSide(Framed):
    def __init__(self, answer: AioCall) -> None:
        super().__init__()
        self._answer = answer
        self._answers: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answers:
            self.transport.write(b"".join(self._answers))
            self._answers.clear()

    def on_frame(self, number: int, sleep_us: int, payload: bytes) -> None:
        if self._answer is aio_echo and not sleep_us:
            self._answers += (HEADER.pack(len(payload), number, 0), payload)
        else:
            task = asyncio.create_task(self._answer_later(number, sleep_us, payload))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_later(self, number: int, sleep_us: int, payload: bytes) -> None:
        answer = await self._answer(payload, sleep_us)
        self.transport.write(HEADER.pack(len(answer), number, 0) + answer)


class ClientSide(Framed, NoStatistics):
    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._waiting: dict[int, asyncio.Future[bytes]] = {}

    def call(self, payload: bytes, sleep_us: int) -> asyncio.Future[bytes]:
        number = self._number = (self._number + 1) & 0xFFFFFFFF
        future = self._waiting[number] = self._loop.create_future()
        self.transport.write(HEADER.pack(len(payload), number, sleep_us) + payload)
        return future

    def on_frame(self, number: int, sleep_us: int, payload: bytes) -> None:
        self._waiting.pop(number).set_result(payload)

    def connection_lost(self, error: Exception | None) -> None:
        for future in self._waiting.values():
            future.set_exception(error or ConnectionResetError("the server has closed"))


class BareProtocol:
    async def serve(self, answer: AioCall, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: ServerSide(answer), "127.0.0.1", 0)
        on_ready(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(wait_for_end)
        server.close()

    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[ClientSide]:
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_connection(ClientSide, "127.0.0.1", port)
        yield client
        transport.close()


PEER = BareProtocol()
