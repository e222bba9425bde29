"""The lines of pybrpc's API that the demo uses; it shows their source."""

from __future__ import annotations

import inspect
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse


class EchoService:
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(message=request.message)


def serve() -> pybrpc.Server:
    server = pybrpc.Server()
    server.add_service(SERVICE, EchoService())
    server.start("127.0.0.1:0")
    return server


def call(address: str) -> str:
    with pybrpc.Channel(address, timeout=5) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        return str(stub.Echo(EchoRequest(message="hello")).message)


async def call_from_a_task(address: str) -> str:
    async with pybrpc.aio.Channel(address, timeout=5, share_with_threads=True) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        return str((await stub.Echo(EchoRequest(message="hello"))).message)


SHOWN = EchoService, serve, call, call_from_a_task


def source() -> str:
    """The source of what is above, for people."""
    return "\n".join(inspect.getsource(part) for part in SHOWN)
