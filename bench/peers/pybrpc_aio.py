"""pybrpc under asyncio: tasks that call, and a server whose handler is a coroutine function."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from bench.figures import Figures
from bench.peers.peer import AioCall, OnReady, WaitForEnd
from bench.peers.pybrpc_modes import protocol
from bench.peers.pybrpc_sync import statistics_of
from bench.work import TIMEOUT_S


class EchoService:
    def __init__(self, answer: AioCall) -> None:
        self.answer = answer

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(payload=await self.answer(request.payload, request.sleep_us))


class PybrpcAioClient:
    def __init__(self, channel: pybrpc.aio.Channel) -> None:
        self.channel = channel
        self.stub: Any = pybrpc.Stub(SERVICE, channel)

    async def call(self, payload: bytes, sleep_us: int) -> Any:
        return (await self.stub.Echo(EchoRequest(payload=payload, sleep_us=sleep_us))).payload

    def statistics(self) -> Figures:
        return statistics_of(self.channel)


class PybrpcAio:
    async def serve(self, answer: AioCall, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        async with pybrpc.Server() as server:
            server.add_service(SERVICE, EchoService(answer))
            on_ready(server.start("127.0.0.1:0").port)
            await asyncio.to_thread(wait_for_end)

    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[PybrpcAioClient]:
        address = f"127.0.0.1:{port}"
        made = pybrpc.aio.Channel(address, timeout=TIMEOUT_S, protocol=protocol())
        async with made as channel:
            yield PybrpcAioClient(channel)


PEER = PybrpcAio()
