"""Handlers that are called by HTTP, and servers with one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest
from tests.peers.http_peer import HttpPeer, Response, read_response

ECHO = "/EchoService/Echo"
PART = b"x" * 16 * 1024
FOREVER_S = 1000.0

Handler = Callable[[Any, Any], Any]


class Service:
    """A service whose method is a function that a test gives."""

    def __init__(self, handler: Handler) -> None:
        self.Echo = handler


class Served:
    """A running server with one handler, which reads bodies in parts if `reads`."""

    def __init__(self, handler: Handler, reads: bool = False, **options: Any) -> None:
        self.server = pybrpc.Server(**options)
        self.server.add_service(SERVICE, Service(handler))
        if reads:
            self.server.set_method_options("EchoService.Echo", enable_progressive_read=True)
        self.address = self.server.start("127.0.0.1:0")

    def call(self, body: bytes = b'{"message":"hi"}', **headers: str) -> Response:
        with HttpPeer(self.address) as peer:
            peer.request("POST", ECHO, body, **headers)
            return read_response(peer, "POST")

    def is_idle(self) -> bool:
        connections = self.server.unfinished_connections()
        return not self.server.unfinished() and all(each.holds == 0 for each in connections)


Serve = Callable[..., Served]


# --- generators of items that a test gives ---


def plain(*items: object) -> Handler:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield from items

    return echo


def in_task(*items: object) -> Handler:
    async def echo(request: EchoRequest, controller: pybrpc.Controller) -> AsyncIterator[object]:
        for item in items:
            yield item

    return echo


def returned(*items: object) -> Handler:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Any:
        return in_task(*items)(request, controller)

    return echo


def returned_later(*items: object) -> Handler:
    async def echo(request: EchoRequest, controller: pybrpc.Controller) -> Any:
        await asyncio.sleep(0)
        return plain(*items)(request, controller)

    return echo


KINDS = [plain, in_task, returned, returned_later]


def failing(after: int, error: BaseException) -> tuple[Handler, Handler]:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield from [b"part"] * after
        raise error

    async def echo_async(
        request: EchoRequest, controller: pybrpc.Controller
    ) -> AsyncIterator[object]:
        for _ in range(after):
            yield b"part"
        raise error

    return echo, echo_async
