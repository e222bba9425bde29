"""A server with an application of ASGI that has websockets, and a client of `websockets`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.peers.asgi_apps import Application, Mounted

GREETING = (
    b"GET /app/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n"
)


class MountedWebsockets(Mounted):
    """A running server with one application, which only has websockets, at /app."""

    def __init__(self, application: Application, **options: Any) -> None:
        async def only_websockets(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "websocket"
            try:
                await application(scope, receive, send)
            except BaseException as error:
                self.raised.append(error)
                raise

        self.raised: list[BaseException] = []
        super().__init__(only_websockets, **options)

    def connect(self, **options: Any) -> ClientConnection:
        return connect(
            f"ws://{self.address}/app/chat?room=1", compression=None, proxy=None, **options
        )


Mount = Callable[..., MountedWebsockets]


async def accept(receive: Any, send: Any, **more: Any) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **more})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
