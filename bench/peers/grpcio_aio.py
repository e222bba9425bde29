"""grpcio under asyncio, in the server and in the client."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from bench.closed_loop import Window, run_tasks
from bench.echo_messages import EchoRequest, EchoResponse
from bench.loads import MESSAGE, TIMEOUT_S, Load, Style
from bench.peers.grpcio_sync import echo_handlers, echo_stub
from bench.peers.peer import OnReady, WaitForEnd, run_loop


class GrpcioAio:
    def serve(self, style: Style, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        run_loop(style, serve(on_ready, wait_for_end))

    def run_client(self, load: Load, port: int, window: Window) -> float:
        return run_loop(load.style, run_client(load, port, window))


async def echo(request: Any, context: Any) -> Any:
    return EchoResponse(message=request.message)


async def serve(on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((echo_handlers(echo),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    on_ready(port)
    await asyncio.to_thread(wait_for_end)
    await server.stop(None)


async def run_client(load: Load, port: int, window: Window) -> float:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = echo_stub(channel)

        async def call() -> str:
            answer = await stub(EchoRequest(message=MESSAGE), timeout=TIMEOUT_S)
            return str(answer.message)

        return await run_tasks(call, load.in_flight, window)


PEER = GrpcioAio()
