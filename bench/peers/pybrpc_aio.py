"""pybrpc under asyncio, in the server and in the client."""

from __future__ import annotations

import pybrpc
import pybrpc.aio
from bench.closed_loop import Window, run_tasks
from bench.echo_messages import SERVICE, EchoRequest
from bench.loads import MESSAGE, TIMEOUT_S, Load, Style
from bench.peers.peer import OnReady, WaitForEnd, run_loop
from bench.peers.pybrpc_sync import PybrpcSync


class PybrpcAio:
    """The server is the one of the threads: pybrpc needs no other for asyncio clients."""

    def serve(self, style: Style, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        PybrpcSync().serve(style, on_ready, wait_for_end)

    def run_client(self, load: Load, port: int, window: Window) -> float:
        return run_loop(load.style, run_client(load, port, window))


async def run_client(load: Load, port: int, window: Window) -> float:
    async with pybrpc.aio.Channel(f"127.0.0.1:{port}", timeout=TIMEOUT_S) as channel:
        stub = pybrpc.Stub(SERVICE, channel)

        async def call() -> str:
            answer = await stub.Echo(EchoRequest(message=MESSAGE))
            return str(answer.message)

        return await run_tasks(call, load.in_flight, window)


PEER = PybrpcAio()
