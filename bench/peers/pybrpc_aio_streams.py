"""Streams of pybrpc under asyncio, on both sides."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from bench.figures import Figures
from bench.peers.peer import OnReady, WaitForEnd
from bench.peers.pybrpc_streams import LISTS, options_for
from bench.peers.pybrpc_sync import statistics_of
from bench.streams import stream_peer
from bench.streams.stream_peer import ECHO, TOGETHER
from bench.work import TIMEOUT_S
from pybrpc.streams import AioStream


class AioStreamService:
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        payload = request.payload

        async def send_on(stream: AioStream) -> None:
            while True:
                await stream.send(payload)

        bodies = {ECHO: echo, LISTS: echo_lists}
        body = bodies.get(request.message, send_on)
        controller.accept_stream(options_for(request.message), body=body)
        return EchoResponse()


async def echo(stream: AioStream) -> None:
    async for message in stream:
        await stream.send(message)


async def echo_lists(stream: AioStream) -> None:
    async for batch in stream.batches(TOGETHER):
        await stream.send_many(batch)


class PybrpcAioStreamClient:
    def __init__(self, channel: pybrpc.aio.Channel, together: int) -> None:
        self._channel = channel
        self._stub: Any = pybrpc.Stub(SERVICE, channel)
        self._together = together

    @contextlib.asynccontextmanager
    async def open(self, service: str, payload: bytes) -> AsyncIterator[stream_peer.AioStream]:
        message = LISTS if self._together and service == ECHO else service
        request = EchoRequest(message=message, payload=payload)
        async with self._stub.Echo.stream(request, options=options_for(service)) as call:
            stream: AioStream = call.stream
            if self._together:
                batches, send = stream.batches(TOGETHER), stream.send_many
                yield stream_peer.AioStream(send, batches, stream.recv, self._together)
            else:
                yield stream_peer.AioStream(stream.send, stream, stream.recv)

    def statistics(self) -> Figures:
        return statistics_of(self._channel)


class PybrpcAioStreams:
    def __init__(self, together: int = 0) -> None:
        self._together = together

    async def serve(self, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        async with pybrpc.Server() as server:
            server.add_service(SERVICE, AioStreamService())
            on_ready(server.start("127.0.0.1:0").port)
            await asyncio.to_thread(wait_for_end)
            server.stop(grace=1.0)

    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[PybrpcAioStreamClient]:
        async with pybrpc.aio.Channel(f"127.0.0.1:{port}", timeout=TIMEOUT_S) as channel:
            yield PybrpcAioStreamClient(channel, self._together)


PEER = PybrpcAioStreams()
LISTS_PEER = PybrpcAioStreams(TOGETHER)
