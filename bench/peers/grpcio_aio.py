"""grpcio under asyncio, in the server and in the client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from bench.echo_messages import EchoRequest, EchoResponse
from bench.peers.grpcio_service import SERVER_OPTIONS, echo_handlers, echo_stub
from bench.peers.peer import AioCall, NoStatistics, OnReady, WaitForEnd
from bench.work import TIMEOUT_S


class GrpcioAioClient(NoStatistics):
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.echo = echo_stub(channel)

    async def call(self, payload: bytes, sleep_us: int) -> Any:
        request = EchoRequest(payload=payload, sleep_us=sleep_us)
        return (await self.echo(request, timeout=TIMEOUT_S)).payload


class GrpcioAio:
    async def serve(self, answer: AioCall, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        async def echo(request: Any, context: Any) -> Any:
            return EchoResponse(payload=await answer(request.payload, request.sleep_us))

        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((echo_handlers(echo),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        on_ready(port)
        await asyncio.to_thread(wait_for_end)
        await server.stop(None)

    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[GrpcioAioClient]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield GrpcioAioClient(channel)


PEER = GrpcioAio()
