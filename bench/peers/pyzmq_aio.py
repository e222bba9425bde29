"""pyzmq under asyncio: one DEALER for all tasks, answers matched by a number in the first part."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import zmq
import zmq.asyncio

from bench.peers.peer import NoStatistics


class PyzmqAioClient(NoStatistics):
    def __init__(self, dealer: zmq.asyncio.Socket) -> None:
        self._dealer = dealer
        self._number = 0
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}

    async def call(self, payload: bytes, sleep_us: int) -> Any:
        self._number += 1
        head = sleep_us.to_bytes(4, "big") + self._number.to_bytes(8, "big")
        future = self._waiting[head] = asyncio.get_running_loop().create_future()
        await self._dealer.send_multipart((head, payload))
        return await future

    async def read(self) -> None:
        while True:
            head, payload = await self._dealer.recv_multipart()
            self._waiting.pop(head).set_result(payload)


class PyzmqAio:
    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[PyzmqAioClient]:
        context = zmq.asyncio.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.connect(f"tcp://127.0.0.1:{port}")
        client = PyzmqAioClient(dealer)
        reader = asyncio.create_task(client.read())
        yield client
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
        context.destroy(linger=0)


PEER = PyzmqAio()
