"""WebSockets of the library `websockets`, without compression: a connection for each stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bench.peers.peer import NoStatistics, OnReady, WaitForEnd
from bench.streams.stream_peer import SOURCE, AioStream

END_S = 0.1


async def handle(connection: ServerConnection) -> None:
    assert connection.request is not None
    with contextlib.suppress(websockets.ConnectionClosed):
        if connection.request.path == f"/{SOURCE}":
            payload = await connection.recv()
            while True:
                await connection.send(payload)
        async for message in connection:
            await connection.send(message)


class WebsocketsClient(NoStatistics):
    def __init__(self, port: int) -> None:
        self._port = port

    @contextlib.asynccontextmanager
    async def open(self, service: str, payload: bytes) -> AsyncIterator[AioStream]:
        where = f"ws://127.0.0.1:{self._port}/{service}"
        options = {"compression": None, "max_size": None, "proxy": None, "close_timeout": END_S}
        async with connect(where, **options) as connection:  # type: ignore[arg-type]
            if service == SOURCE:
                await connection.send(payload)
            yield AioStream(connection.send, aiter(connection), connection.recv)


class Websockets:
    async def serve(self, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        options = {"compression": None, "max_size": None, "close_timeout": END_S}
        async with serve(handle, "127.0.0.1", 0, **options) as server:  # type: ignore[arg-type]
            on_ready(next(iter(server.sockets)).getsockname()[1])
            await asyncio.to_thread(wait_for_end)

    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[WebsocketsClient]:
        yield WebsocketsClient(port)


PEER = Websockets()
