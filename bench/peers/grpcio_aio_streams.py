"""Bidirectional streams of grpcio under asyncio. Messages are bytes, without protobuf."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from bench.peers.peer import NoStatistics, OnReady, WaitForEnd
from bench.streams.stream_peer import SOURCE, AioStream

SERVICE = "bench.StreamService"


async def echo(request_iterator: Any, context: Any) -> None:
    async for message in request_iterator:
        await context.write(message)


async def source(request_iterator: Any, context: Any) -> None:
    payload = await anext(request_iterator)
    while True:
        await context.write(payload)


class GrpcioStreamClient(NoStatistics):
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel: Any = channel

    @contextlib.asynccontextmanager
    async def open(self, service: str, payload: bytes) -> AsyncIterator[AioStream]:
        call = self._channel.stream_stream(f"/{SERVICE}/{service}")()
        if service == SOURCE:
            await call.write(payload)
        try:
            yield AioStream(call.write, call, call.read)
        finally:
            call.cancel()


class GrpcioAioStreams:
    async def serve(self, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        methods: dict[str, Any] = {
            function.__name__: grpc.stream_stream_rpc_method_handler(function)
            for function in (echo, source)
        }
        server = grpc.aio.server()
        handler = grpc.method_handlers_generic_handler(SERVICE, methods)
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        on_ready(port)
        await asyncio.to_thread(wait_for_end)
        await server.stop(None)

    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[GrpcioStreamClient]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield GrpcioStreamClient(channel)


PEER = GrpcioAioStreams()
